#!/usr/bin/env python3
"""How much of public samples the shipped mappings fill: who, what, where, when and the outcome.

Not a benchmark of speed, and not a test of rules. `samples.py --data DIR SLUICE..` maps the CloudTrail
events of Stratus Red Team and the CloudTrail, Okta, EKS and VPC flow events of Panther's rule tests with
each binary, and prints two tables in Markdown: per source and question, how many of the rows have a value;
and per rule that the binary ships, how many findings it makes. A rule that differs in nothing is left out
where several binaries are compared.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

# Per question the columns that answer it; one is enough.
QUESTIONS = {
    "who": ("user_name", "user_uid", "actor_user_name", "actor_user_uid"),
    "what": ("event_code", "api_operation", "dst_ip"),
    "where from": ("src_ip", "src_hostname"),
    "when": ("time",),
    "outcome": ("status",),
}
# Panther's log type, and our source.
PANTHER = {
    "AWS.CloudTrail": "aws.cloudtrail",
    "Okta.SystemLog": "okta.system",
    "Amazon.EKS.Audit": "kubernetes.audit",
    "AWS.VPCFlow": "aws.vpc_flow",
}


def samples(data):
    """(name, source, events) of every sample."""
    stratus = []
    for path in sorted((data / "stratus/detonation-logs").glob("*.json")):
        stratus += json.loads(path.read_text())
    yield "Stratus Red Team, CloudTrail", "aws.cloudtrail", stratus
    by_type = {kind: [] for kind in PANTHER}
    for line in (data / "panther/rule-tests.jsonl").read_text().splitlines():
        test = json.loads(line)
        for kind in test["log_types"]:
            # A test of several log types says what it is in its event.
            named = test["event"].get("p_log_type", kind)
            if kind in by_type and (len(test["log_types"]) == 1 or named == kind):
                by_type[kind].append(test["event"])
    for kind, events in by_type.items():
        yield f"Panther, {kind}", PANTHER[kind], events


def run(events, *command):
    """The JSON lines that a command prints of a file of these events."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
        file.flush()
        done = subprocess.run([*command, file.name], capture_output=True, text=True, check=False)
    # 1: records that became dead letters.
    if done.returncode > 1:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def fill(sluice, source, events):
    """(rows, {question: rows that answer it})."""
    rows = run(events, sluice, "mapping", "run", "--source", source)

    def answers(row, question):
        if question == "outcome":
            return row.get("status") in ("Success", "Failure")
        if question == "when":
            return row.get("time_flag") is None
        return any(row.get(column) is not None for column in QUESTIONS[question])

    return len(rows), {q: sum(answers(row, q) for row in rows) for q in QUESTIONS}


def findings(sluice, source, events):
    """{rule: findings}."""
    found = run(events, sluice, "eval", "--source", source, "--output", "ndjson")
    return collections.Counter(finding["rule_id"] for finding in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("sluice", nargs="+", help="a binary, or several to compare: LABEL=PATH")
    options = parser.parse_args()
    binaries = [binary.rpartition("=") for binary in options.sluice]
    binaries = [(label or path, path) for label, _, path in binaries]
    print("| sample | binary | events | rows | " + " | ".join(QUESTIONS) + " |")
    print("|---|---|---|---|" + "---|" * len(QUESTIONS))
    everything = list(samples(options.data))
    for name, source, events in everything:
        for label, path in binaries:
            rows, filled = fill(path, source, events)
            shares = " | ".join(str(filled[q]) for q in QUESTIONS)
            print(f"| {name} | {label} | {len(events)} | {rows} | {shares} |", flush=True)
    print()
    print("| sample | rule | " + " | ".join(label for label, _ in binaries) + " |")
    print("|---|---|" + "---|" * len(binaries))
    for name, source, events in everything:
        found = [findings(path, source, events) for _, path in binaries]
        for rule in sorted(set().union(*found)):
            counts = [counter[rule] for counter in found]
            if len(counts) == 1 or len(set(counts)) > 1:
                print(f"| {name} | `{rule}` | " + " | ".join(map(str, counts)) + " |")


if __name__ == "__main__":
    main()
