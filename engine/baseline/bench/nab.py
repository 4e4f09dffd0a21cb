"""The Numenta Anomaly Benchmark with its own scorer, standard profile, beside rcf3 alone.

    nab.py SLUICE NAB.tar.zst

58 series; the first min(15 %, 750) rows are probation. A window scores by its earliest hit, later is
worth less; each hit outside of windows costs up to 0.11; one threshold for all series; 0 is no hit at
all, 100 is every window hit at its start.
"""

import csv
import datetime
import io
import json
import math
import os
import sys
import tarfile
import tempfile

import zstandard
from rcf3 import Forest

from figures import here, quantile, score, write_events, write_labels


def series(path):
    """name -> ([time], [value], [(first, last) row of each window])."""
    with open(path, "rb") as file:
        packed = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(file.read())).read()
    tar = tarfile.open(fileobj=io.BytesIO(packed))
    texts = {m.name: tar.extractfile(m).read().decode() for m in tar if m.isfile()}
    name = next(n for n in texts if n.endswith("combined_windows.json"))
    found = {}
    for file, windows in json.loads(texts[name]).items():
        rows = list(csv.DictReader(io.StringIO(texts[next(n for n in texts if n.endswith(file))])))
        times = [datetime.datetime.fromisoformat(r["timestamp"]) for r in rows]
        values = [float(r["value"]) for r in rows]
        spans = []
        for first, last in windows:
            inside = [
                i
                for i, t in enumerate(times)
                if datetime.datetime.fromisoformat(first) <= t <= datetime.datetime.fromisoformat(last)
            ]
            spans.append((inside[0], inside[-1]))
        found[file] = (times, values, spans)
    return found


def probation(rows):
    return min(math.floor(0.15 * rows), 750)


def sigmoid(position):
    return 2 / (1 + math.exp(5 * position)) - 1 if position <= 3 else -1.0


def standard(data, scores):
    """The best normalised score over thresholds."""
    pooled = [s for file, (t, v, w) in data.items() for s in scores[file][probation(len(v)) :]]
    thresholds = {quantile(pooled, 1 - 10 ** (-k / 25)) for k in range(10, 125)}
    windows = sum(len(w) for _, _, w in data.values())
    best = -math.inf
    for threshold in sorted(thresholds):
        total = 0.0
        for file, (_, values, spans) in data.items():
            start = probation(len(values))
            hits = [i for i in range(start, len(values)) if scores[file][i] >= threshold]
            for first, last in spans:
                inside = [i for i in hits if first <= i <= last]
                if inside:
                    position = -(last - inside[0] + 1) / (last - first + 1)
                    total += sigmoid(position) / sigmoid(-1.0)
                else:
                    total -= 1.0
            for i in hits:
                if any(first <= i <= last for first, last in spans):
                    continue
                before = [(first, last) for first, last in spans if last < i]
                if before:
                    first, last = before[-1]
                    total += 0.11 * sigmoid((i - last) / max(1, last - first))
                else:
                    total -= 0.11
        best = max(best, 100 * (total + windows) / (2 * windows))
    return best


def ours(sluice, data):
    folder = tempfile.mkdtemp()
    files = [os.path.join(folder, name) for name in ("events.ndjson", "labels.csv", "scores.ndjson")]
    rows, truth = [], {}
    for file, (times, values, spans) in data.items():
        start = probation(len(values))
        # Rows of one minute and repeated stamps keep their order by a running second.
        base = times[0]
        for i, value in enumerate(values):
            time = (base + datetime.timedelta(minutes=5 * i)).strftime("%Y-%m-%dT%H:%M:%SZ")
            rows.append({"time": time, "entity": file, "value": value})
            if i >= start:
                truth[(file, str(i))] = int(any(first <= i <= last for first, last in spans))
    rows.sort(key=lambda row: row["time"])
    write_events(files[0], rows)
    write_labels(files[1], truth)
    _, found = score(sluice, here("nab.sql"), *files)
    of = {file: [0.0] * len(values) for file, (_, values, _) in data.items()}
    for (file, unit), s in found.items():
        of[file][int(unit)] = s
    return of


def forest(data):
    """rcf3 alone, shingles of 8 rows, one forest per series."""
    of = {}
    for file, (_, values, _) in data.items():
        model = Forest(input_dim=1, shingle_size=8, num_trees=50, capacity=256, seed=1)
        of[file] = []
        for value in values:
            of[file].append(float(model.score([value]) or 0.0))
            model.update([value])
    return of


def main(sluice, path):
    data = series(path)
    print(f"{len(data)} series, {sum(len(w) for _, _, w in data.values())} windows", flush=True)
    print(f"sluice   {standard(data, ours(sluice, data)):.1f}", flush=True)
    print(f"rcf3     {standard(data, forest(data)):.1f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
