#!/usr/bin/env python3
"""How much of public samples the shipped mappings fill: who, what, where, when and the outcome.

Not a benchmark of speed, and not a test of rules. `samples.py --data DIR SLUICE..` maps the CloudTrail
events of Stratus Red Team and the CloudTrail, Okta, EKS and VPC flow events of Panther's rule tests with
each binary, and prints a table in Markdown: per source and column, how many of the rows have a value.
"""
import argparse
import json
import pathlib
import subprocess
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


def fill(sluice, source, events):
    """(rows, set aside, {question: rows that answer it})."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
        file.flush()
        command = [sluice, "mapping", "run", "--source", source, file.name]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in run.stdout.splitlines()]

    def answers(row, question):
        if question == "outcome":
            return row.get("status") in ("Success", "Failure")
        if question == "when":
            return row.get("time_flag") is None
        return any(row.get(column) is not None for column in QUESTIONS[question])

    filled = {q: sum(answers(row, q) for row in rows) for q in QUESTIONS}
    return len(rows), len(events) - len(rows), filled


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("sluice", nargs="+", help="a binary, or several to compare: LABEL=PATH")
    options = parser.parse_args()
    print("| sample | binary | events | rows | " + " | ".join(QUESTIONS) + " |")
    print("|---|---|---|---|" + "---|" * len(QUESTIONS))
    for name, source, events in samples(options.data):
        for binary in options.sluice:
            label, _, path = binary.rpartition("=")
            rows, _, filled = fill(path, source, events)
            shares = " | ".join(str(filled[q]) for q in QUESTIONS)
            print(f"| {name} | {label or path} | {len(events)} | {rows} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
