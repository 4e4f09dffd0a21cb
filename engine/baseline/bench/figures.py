"""What the scripts of this folder share: data, figures, the command that scores. Not a benchmark itself."""

import bisect
import csv
import io
import json
import os
import subprocess

import zstandard

DAY = 86_400


def read(path):
    """The text of a file, unpacked if it is zstd."""
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    return data.decode()


def events(path):
    return [json.loads(line) for line in read(path).splitlines()]


def labels(path):
    """(entity, unit) -> 0 or 1."""
    rows = list(csv.reader(io.StringIO(read(path))))[1:]
    return {(entity, unit): int(label) for entity, unit, label in rows}


def figures(scores, truth):
    """AUC, average precision, recall at 0.1 % and 1 % false positives; ties are one threshold."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    positives = sum(truth)
    negatives = len(truth) - positives
    tp = fp = area = precision = at_001 = at_01 = 0.0
    i = 0
    while i < len(order):
        j, hits = i, 0
        while j < len(order) and scores[order[j]] == scores[order[i]]:
            hits += truth[order[j]]
            j += 1
        misses = j - i - hits
        area += misses * (tp + hits / 2)
        tp += hits
        fp += misses
        if hits:
            precision += hits / positives * tp / (tp + fp)
        if fp <= 0.001 * negatives:
            at_001 = tp / positives
        if fp <= 0.01 * negatives:
            at_01 = tp / positives
        i = j
    return {
        "auc": area / (positives * negatives),
        "ap": precision,
        "tpr_0.1%": at_001,
        "tpr_1%": at_01,
    }


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def rank(values, x):
    """Share of sorted values at or above x."""
    return 1 - bisect.bisect_left(values, x) / max(1, len(values))


def score(sluice, baseline, events_file, labels_file, out):
    """Runs `sluice baseline eval`; its summary and the score of each unit."""
    command = [sluice, "baseline", "eval", "--baseline", baseline, "--events", events_file]
    command += ["--labels", labels_file, "--scores", out, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    units = [json.loads(line) for line in open(out)]
    # Days are written to the millisecond; labels say seconds.
    unit = lambda u: str(u["unit"]).replace(".000Z", "Z")
    return json.loads(done.stdout), {(u["entity"], unit(u)): u["score"] for u in units}


def write_events(path, rows):
    with open(path, "w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def write_labels(path, truth):
    with open(path, "w") as file:
        file.write("entity,unit,label\n")
        for (entity, unit), label in truth.items():
            file.write(f"{entity},{unit},{label}\n")


def here(name):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
