#!/usr/bin/env python3
"""What decoding and mapping cost per event, of two binaries, in turns on the same files.

`mapping.py --generator GENERATOR before=OLD now=NEW` writes a file of each source, reads it with each
binary (`sluice eval --profile --threads 1`, one rule that takes nothing), and prints a table in Markdown:
per source the median of the decode and the map stage in nanoseconds per event, and their ratios. A stage's
time is what the engine itself measures; reading, matching and findings are not in it.
"""
import argparse
import pathlib
import re
import statistics
import subprocess
import tempfile

SOURCES = ["okta.system", "aws.cloudtrail", "kubernetes.audit", "aws.vpc_flow", "linux.sshd"]
STAGES = ["decode", "map"]
RULE = """/*---
id: nothing
title: Takes nothing
severity: low
---*/
SELECT * FROM {table} WHERE event_uid = 'none'
"""
TABLES = {
    "okta.system": "authentication",
    "aws.cloudtrail": "api_activity",
    "kubernetes.audit": "api_activity",
    "aws.vpc_flow": "network",
    "linux.sshd": "authentication",
}


def measure(binary, source, rule, path):
    """{stage: seconds} of one run."""
    command = [binary, "eval", "--source", source, "--threads", "1", "--profile", "-r", rule, path]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    stages = dict(re.findall(r"^(\w+) +([\d.]+) s", run.stderr, re.M))
    return {stage: float(stages[stage]) for stage in STAGES}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", required=True, help="the binary of `sluice-generator`")
    parser.add_argument("--bytes", default="60MB", help="size of each file")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("sluice", nargs=2, help="LABEL=PATH, the first is what the other is held against")
    options = parser.parse_args()
    parts = [binary.rpartition("=") for binary in options.sluice]
    binaries = [(label or path, path) for label, _, path in parts]
    labels = [label for label, _ in binaries]
    print("| source | events | " + " | ".join(f"{s}, {l}" for s in STAGES for l in labels) + " | decode | map | both |")
    print("|---|---|" + "---|" * (len(STAGES) * 2 + 3))
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            path = pathlib.Path(folder) / source
            with path.open("wb") as out:
                subprocess.run([options.generator, "bulk", source, "--bytes", options.bytes], stdout=out, check=True)
            events = path.read_bytes().count(b"\n")
            rule = pathlib.Path(folder) / "nothing.sql"
            rule.write_text(RULE.format(table=TABLES[source]))
            took = {label: {stage: [] for stage in STAGES} for label in labels}
            for run in range(options.runs + 1):
                # Each goes first in turn; the first run is not counted.
                for label, binary in binaries if run % 2 else binaries[::-1]:
                    stages = measure(binary, source, str(rule), str(path))
                    if run:
                        for stage in STAGES:
                            took[label][stage].append(stages[stage] * 1e9 / events)
            cost = {l: {s: statistics.median(took[l][s]) for s in STAGES} for l in labels}
            cells = [f"{cost[l][s]:,.0f} ns" for s in STAGES for l in labels]
            first, last = (cost[label] for label in labels)
            ratios = [f"{last[s] / first[s]:.2f}" for s in STAGES]
            ratios.append(f"{sum(last.values()) / sum(first.values()):.2f}")
            print(f"| {source} | {events:,} | " + " | ".join(cells + ratios) + " |", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
