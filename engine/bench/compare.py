#!/usr/bin/env python3
"""Measures `sluice eval` of two commits in turns on one core, and the correlation lane beside rsigma.

    engine/bench/compare.py --old OLD --new NEW --tree OLD_CHECKOUT --files FOLDER [--rounds 3]

OLD and NEW are two release builds of `sluice`; OLD_CHECKOUT is a checkout of OLD's commit, whose rules
both run, each with the mappings of its own commit. The generator beside NEW makes the logs in FOLDER.
With --lane FOLDER (rules, mappings, sigma.yml, timed.py, and ../correlation.ndjson.zst) and --rsigma
PATH, the three threshold rules of the lane run too. Needs taskset, GNU time and zstd.

CPU is user and system time; that of a run over one record, which is starting and compiling rules, is
taken off. Rates are of medians. MiB is resident memory at the peak; own MiB is what of it is the process's
own (RssAnon, read every 20 ms), without the pages of files, which the binary is. The findings of both, by id, rule, entity, title and time, must be
equal in every row, or the row says DIFFERENT and the script ends with 1.
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
COPIES = ("identity/brute_force_success.sql", "identity/mfa_fatigue_success.sql")


def run(core, command, out):
    """Seconds of CPU, MiB at the peak, and those of them that are the process's own, of a command on one core."""
    with open(out, "wb") as stdout, open(f"{out}.err", "w+") as stderr:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), "/usr/bin/time", "-f", "@ %U %S %M", *command],
            stdout=stdout, stderr=stderr)
        own = 0
        while process.poll() is None:
            own = max(own, own_memory(process.pid))
            time.sleep(0.02)
        stderr.seek(0)
        told = stderr.read()
    user, system, rss = map(float, re.findall(r"^@ (.*)$", told, re.M)[-1].split())
    if process.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{told[-2000:]}")
    return user + system, rss / 1024, own / 1024


def own_memory(parent):
    """KiB of anonymous memory of the one child of a process; 0 if it has none now."""
    try:
        child = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0]
        return int(re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{child}/status").read_text(), re.M)[1])
    except (OSError, IndexError, TypeError):
        return 0


def findings(path):
    """What a reader sees of each finding, sorted."""
    keep = ("id", "rule_id", "entity", "entities", "title", "first_event_time", "last_event_time")
    rows = []
    for line in open(path):
        finding = json.loads(line)
        rows.append(json.dumps({k: finding[k] for k in keep if k in finding}, sort_keys=True))
    return sorted(rows)


def logs(generator, files):
    """Makes the logs that are not there yet: name -> (source, path, records)."""
    wanted = {
        "okta": ("okta.system", ["bulk", "okta.system", "--bytes", "200MB"]),
        "cloudtrail": ("aws.cloudtrail", ["bulk", "aws.cloudtrail", "--bytes", "200MB"]),
        "spray": ("linux.sshd", ["refused", "200000"]),
        "flood-12k": ("linux.sshd", ["refused", "12000", "--addresses", "1"]),
        "flood-200k": ("linux.sshd", ["refused", "200000", "--addresses", "1"]),
        "flood-1M": ("linux.sshd", ["refused", "1000000", "--addresses", "1"]),
    }
    made = {}
    for name, (source, words) in wanted.items():
        path = files / f"{name}.log"
        if not path.exists():
            with open(path, "wb") as out:
                subprocess.run([generator, *words], stdout=out, check=True)
        with open(path, "rb") as lines:
            made[name] = (source, path, sum(1 for _ in lines))
    return made


def copies(tree, files):
    """The rules of a checkout with 17 more copies of two windowed rules, which let every success through."""
    folder = files / "copies"
    if not folder.exists():
        subprocess.run(["cp", "-r", tree / "rules", folder], check=True)
        for path in COPIES:
            text = (folder / path).read_text().split("/*--- tests")[0]
            for n in range(17):
                refusal = r"(failure_reason (?:= 'mfa_denied'|IN \([^)]*\)))"
                copy = re.sub(refusal, rf"\1 AND user_agent = 'agent-{n}'", text)
                copy = re.sub(r"^id: (.*)$", rf"id: \1_{n}", copy, flags=re.M)
                (folder / path.replace(".sql", f"_{n}.sql")).write_text(copy)
    return folder


class Side:
    """One binary with its mappings."""

    def __init__(self, name, binary, mappings):
        self.name, self.binary, self.mappings = name, binary, mappings

    def command(self, source, rules, path, mappings=None):
        return [str(self.binary), "eval", "--threads", "1", "--source", source, "--mappings",
                str(mappings or self.mappings), "-r", str(rules), str(path)]


def row(title, sides, source, path, records, rules, options, mappings=None):
    """Runs both in turns; prints a row of the table. Whether the findings are equal."""
    files = options.files
    one = files / "one.log"
    with open(path, "rb") as lines:
        one.write_bytes(lines.readline())
    cpu, rss, owned, seen = ({side.name: [] for side in sides} for _ in range(4))
    for turn in range(options.rounds):
        for side in sides:
            load, *_ = run(options.core, side.command(source, rules, one, mappings), files / "x")
            out = files / f"{side.name}.findings"
            spent, peak, own = run(options.core, side.command(source, rules, path, mappings), out)
            cpu[side.name].append(max(spent - load, 0.001))
            rss[side.name].append(peak)
            owned[side.name].append(own)
            seen[side.name] = findings(out)
    rates = {s.name: records / statistics.median(cpu[s.name]) for s in sides}
    peaks = {s.name: statistics.median(rss[s.name]) for s in sides}
    owns = {s.name: statistics.median(owned[s.name]) for s in sides}
    equal = all(seen[s.name] == seen[sides[0].name] for s in sides)
    cells = [title, f"{records:,}"]
    cells += [f"{rates[s.name]:,.0f} ({1e6 / rates[s.name]:.1f} us)" for s in sides]
    cells += [f"{rates[sides[-1].name] / rates[sides[0].name]:.2f}x" if len(sides) > 1 else ""]
    cells += [f"{peaks[s.name]:.0f} ({owns[s.name]:.0f})" for s in sides]
    cells += [f"{len(seen[sides[0].name]):,}" + ("" if equal else " DIFFERENT")]
    print("| " + " | ".join(cells) + " |", flush=True)
    return equal


def lane(sides, options):
    """The correlation lane: both commits, then rsigma over the same events."""
    folder, files = options.lane, options.files
    events = files / "lane.ndjson"
    if not events.exists():
        plain = subprocess.run(["zstd", "-dc", folder.parent / "correlation.ndjson.zst"],
                               stdout=subprocess.PIPE, check=True).stdout
        with open(events, "wb") as out:
            subprocess.run([sys.executable, folder / "timed.py", "10"], input=plain, stdout=out, check=True)
    with open(events, "rb") as lines:
        records = sum(1 for _ in lines)
    equal = row("correlation lane", sides, "perf.auth", events, records, folder / "rules", options,
                folder / "mappings")
    # As it is, and with the events in what it finds, as a finding has them: at most 20.
    shown = ["--correlation-event-mode", "full", "--max-correlation-events", "20"]
    for title, more in (("", []), (", with 20 events each", shown)):
        if not options.rsigma:
            break
        command = [options.rsigma, "engine", "eval", "-r", str(folder / "sigma.yml"), "--no-detections",
                   "--suppress", "5m", "-e", f"@{events}", "--quiet", "--output-format", "ndjson", *more]
        spent, peaks, owns = [], [], []
        for _ in range(options.rounds):
            cpu, peak, own = run(options.core, command, files / "rsigma.findings")
            spent.append(cpu)
            peaks.append(peak)
            owns.append(own)
        rate = records / statistics.median(spent)
        with open(files / "rsigma.findings", "rb") as lines:
            count = sum(1 for _ in lines)
        print(f"| the same by rsigma{title} | {records:,} | | {rate:,.0f} ({1e6 / rate:.1f} us) | | | "
              f"{statistics.median(peaks):.0f} ({statistics.median(owns):.0f}) | {count:,} |", flush=True)
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--old", type=Path, required=True)
    parser.add_argument("--new", type=Path, required=True)
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--rows", default="", help="comma-separated names of rows; all without it")
    parser.add_argument("--lane", type=Path)
    parser.add_argument("--rsigma")
    options = parser.parse_args()
    options.files.mkdir(parents=True, exist_ok=True)
    old = Side("old", options.old, options.tree / "ingest/mappings")
    new = Side("new", options.new, HERE / "ingest/mappings")
    made = logs(options.new.parent / "sluice-generator", options.files)
    wanted = set(filter(None, options.rows.split(",")))
    print("| row | records | old, events/CPU s | new, events/CPU s | ratio | old MiB (own) | new MiB (own) | findings |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    equal = True
    shipped, copied = options.tree / "rules", copies(options.tree, options.files)
    rows = [(name, [old, new], name, shipped) for name in ("okta", "cloudtrail", "spray", "flood-12k", "flood-200k")]
    rows.insert(1, ("okta-copies", [old, new], "okta", copied))
    rows.append(("flood-1M", [new], "flood-1M", shipped))
    for title, sides, name, rules in rows:
        if not wanted or title in wanted:
            equal &= row(title, sides, *made[name], rules, options)
    if options.lane and (not wanted or "lane" in wanted):
        equal &= lane([old, new], options)
    sys.exit(0 if equal else 1)


main()
