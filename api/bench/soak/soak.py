#!/usr/bin/env python3
"""Honest senders and analysts beside one attacker after another, and what the honest notice of it.

    api/bench/soak/soak.py --sluice target/release/sluice --seconds 600

Starts `sluice run` in a folder of its own, with 20 senders (a token each), 5 analysts (a token each) and
one attacker at a time, each with a token of the role it needs. Prints a table: for the calm and for each
attacker the p99 of answers to honest pushes and of event -> finding on the live stream, honest requests
that were refused, probes whose finding did not come, what the attacker was answered, and the memory of the
process. An attacker is another machine: its process gets only the processor time that nothing else wants
(SCHED_IDLE), while what the service does for it counts in full. Needs nothing but Python 3.11. Exits with 1 if a finding was lost or the process has ended.
"""

import argparse
import collections
import gzip
import http.client
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

SENDERS, ANALYSTS = 20, 5
# Each sender: a request of so many records every so many seconds. The first record is a probe.
RECORDS, EVERY = 20, 0.5
# How long a finding may take before its probe counts as lost.
LOST_S = 60

RULE = """/*---
id: {id}
title: A rule of the soak
severity: {severity}
status: stable
entity: {{user_name: user}}
false_positives: [none]
runbook: Ask.
---*/
SELECT time, user_name, src_ip
FROM authentication
WHERE user_name LIKE '{prefix}-%'
"""


def record(user, event=None, ip="203.0.113.9"):
    """A refused sign-in, as Okta's log has it."""
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000Z"
    return json.dumps({
        "uuid": event or str(uuid.uuid4()), "published": when, "eventType": "user.session.start",
        "outcome": {"result": "FAILURE", "reason": "INVALID_CREDENTIALS"},
        "actor": {"id": "00u", "type": "User", "alternateId": user},
        "client": {"ipAddress": ip}, "target": [],
    })


class Node:
    """Where the service is, and the tokens for it."""

    def __init__(self, address, tokens):
        self.host, self.port = address.split(":")
        self.tokens = tokens

    def ask(self, token, method, path, body=None, kind="application/json", headers=(), timeout=60):
        """One request on a connection of its own: (status, body)."""
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=timeout)
        try:
            head = {"Authorization": f"Bearer {self.tokens[token]}", "Content-Type": kind, **dict(headers)}
            connection.request(method, path, body, head)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self):
        return socket.create_connection((self.host, int(self.port)), timeout=30)

    def head(self, token, first):
        return f"{first} HTTP/1.1\r\nHost: sluice\r\nAuthorization: Bearer {self.tokens[token]}\r\n"


# ---- attackers: each does one step, and says what it was answered ----

CROSS = "SELECT count(*) FROM authentication a, authentication b, authentication c WHERE a.user_name || b.user_name = c.user_name"


def hunt(node, sql, headers=()):
    return node.ask("attack-analyst", "POST", "/api/v1/hunts", json.dumps({"sql": sql}), headers=headers)[0]


def growth(node, _):
    """1: values that grow in a hunt."""
    return [hunt(node, sql) for sql in (
        "SELECT array_length(array_repeat(array_repeat(1, 1000000), 2000))",
        "SELECT length(concat_ws(repeat('x', 1000000), 'a', 'b', 'c', 'd'))",
        "SELECT length(repeat(repeat('a', 1000000), 1000000))")]


def tiny(node, _):
    """2: millions of tiny records in a small body."""
    body = gzip.compress(b"1\n" * 4_000_000, 9)
    push = lambda b, h: node.ask("attack-sender", "POST", "/api/v1/ingest/attack", b, headers=h)[0]
    return [push(body, [("Content-Encoding", "gzip")]), push(b"1\n" * 49_000, []), push(b"{}" * 49_000, [])]


def others_id(node, state):
    """3: the id of another input's record, with another user."""
    state.setdefault("n", 0)
    state["n"] += 1
    lines = "\n".join(record(f"other-{state['n']}", f"known-{i}") for i in range(50))
    return [node.ask("attack-sender", "POST", "/api/v1/ingest/attack", lines)[0]]


def connections(node, state):
    """5: idle connections, and as many streams as there may be."""
    held = state.setdefault("held", [])
    for _ in range(100):
        try:
            held.append(node.connect())
        except OSError:
            break
    for _ in range(20):
        try:
            stream = node.connect()
            stream.sendall((node.head("attack-viewer", "GET /api/v1/findings/stream") + "\r\n").encode())
            held.append(stream)
        except OSError:
            break
    for old in held[:-600]:
        old.close()
    state["held"] = held[-600:]
    time.sleep(0.5)
    return ["held"]


def special_files(node, state):
    """6: a FIFO and an endless file among the rules, and reloads."""
    rules = pathlib.Path(state["folder"]) / "rules"
    if not (rules / "pipe.sql").exists():
        os.mkfifo(rules / "pipe.sql")
        os.symlink("/dev/zero", rules / "endless.sql")
    return [node.ask("attack-admin", "POST", "/api/v1/reload", "{}")[0]]


def special_files_gone(state):
    rules = pathlib.Path(state["folder"]) / "rules"
    for name in ("pipe.sql", "endless.sql"):
        (rules / name).unlink(missing_ok=True)


def long_work(node, _):
    """7: hunts that take long, and clients that leave."""
    codes = [hunt(node, "SELECT levenshtein(repeat('ab', 500000), repeat('ba', 500000))")]
    for _ in range(4):
        body = json.dumps({"sql": CROSS})
        gone = node.connect()
        gone.sendall((node.head("attack-analyst", "POST /api/v1/hunts") + "Content-Type: application/json\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        time.sleep(0.3)
        gone.close()
    return codes + ["left"]


def findings(node, state):
    """8: a finding for every event, and remarks without end on one."""
    state.setdefault("n", 0)
    lines = []
    for _ in range(5_000):
        state["n"] += 1
        lines.append(record(f"flood-{state['n']}"))
    codes = [node.ask("attack-sender", "POST", "/api/v1/ingest/attack", "\n".join(lines))[0]]
    status, body = node.ask("attack-analyst", "GET", "/api/v1/findings?q=rule_id:flood&limit=1")
    items = json.loads(body)["items"] if status == 200 else []
    if items:
        change = json.dumps({"comment": "x" * 4_000})
        codes += [node.ask("attack-analyst", "PATCH", f"/api/v1/findings/{items[0]['id']}", change)[0] for _ in range(20)]
    return codes


def slow_readers(node, state):
    """2: answers that nobody takes, and bodies that drip."""
    held = state.setdefault("held", [])
    for path in ("/api/v1/findings?limit=500", "/api/v1/dead-letters?limit=500"):
        for _ in range(8):
            reader = node.connect()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            reader.sendall((node.head("attack-analyst", f"GET {path}") + "\r\n").encode())
            held.append(reader)
    for _ in range(8):
        sender = node.connect()
        sender.sendall((node.head("attack-sender", "POST /api/v1/ingest/attack") + "Content-Length: 16000000\r\n\r\n" + " " * 100_000).encode())
        held.append(sender)
    for old in held[:-96]:
        old.close()
    state["held"] = held[-96:]
    time.sleep(1)
    return ["held"]


def bad_requests(node, _):
    """12, 13: arrays for objects, two hosts, empty gzip members, one id 500 times."""
    ask = lambda path, body, who="attack-analyst", h=(): node.ask(who, "POST", path, body, headers=h)[0]
    members = gzip.compress(b"") * 200_000
    codes = [
        ask("/api/v1/dead-letters/replay", "[null,null,null,null,true]", "attack-admin"),
        ask("/api/v1/findings/bulk", json.dumps({"ids": ["0" * 32] * 500, "comment": "x"})),
        ask("/api/v1/ingest/attack", members, "attack-sender", [("Content-Encoding", "gzip")]),
    ]
    two = node.connect()
    two.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    codes.append(int(two.recv(64).split()[1]))
    two.close()
    return codes


def searches(node, _):
    """Queries that look at everything, and bad tokens."""
    get = lambda path: node.ask("attack-viewer", "GET", path)[0]
    codes = [get("/api/v1/findings?q=" + "%28" * 200), get("/api/v1/findings?limit=500&facets=rule_id&facets=severity"),
             get("/api/v1/findings?q=" + "a+OR+" * 60 + "a")]
    return codes + [node.ask("nobody", "GET", "/api/v1/rules")[0]]


ATTACKS = [growth, tiny, others_id, connections, special_files, long_work, findings, slow_readers, bad_requests, searches]
WORKERS = {growth: 2, tiny: 4, others_id: 2, connections: 1, special_files: 1, long_work: 2, findings: 1,
           slow_readers: 1, bad_requests: 2, searches: 8}


def behind_everybody():
    """What an attacker computes is done elsewhere: it takes no processor from the service."""
    os.nice(19)
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError) as error:
        print(f"attackers run at nice 19 only: {error}", file=sys.stderr)


def before_everybody():
    """Honest clients compute elsewhere, too: what they wait for is the service, not its processor."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    except OSError as error:
        print(f"honest clients share the processor with the service: {error}", file=sys.stderr)


def as_usual():
    """The service itself has the usual priority."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except OSError:
        pass  # It never had another.


def attack(name, node, folder, until, answers):
    """The process of an attacker: its steps, in threads, until the time is over."""
    behind_everybody()
    step = globals()[name]
    counts = collections.Counter()
    state = {"folder": folder}

    def work():
        own = state if WORKERS[step] == 1 else {"folder": folder}
        while time.monotonic() < until:
            try:
                counts.update(str(code) for code in step(node, own))
            except (OSError, http.client.HTTPException) as error:
                counts[type(error).__name__] += 1
                time.sleep(0.1)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS[step])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, until - time.monotonic()) + 5)
    if step is special_files:
        special_files_gone(state)
    answers.put(dict(counts))


class Honest:
    """Senders, analysts and one who watches the stream."""

    def __init__(self, node):
        self.node, self.lock = node, threading.Lock()
        self.sent, self.stop = {}, threading.Event()
        self.reset()

    def reset(self):
        with self.lock:
            self.answers, self.reads, self.found, self.refused = [], [], [], collections.Counter()

    def start(self):
        work = [(self.watch, ())] + [(self.send, (i,)) for i in range(SENDERS)] + [(self.analyse, (i,)) for i in range(ANALYSTS)]
        for target, arguments in work:
            threading.Thread(target=target, args=arguments, daemon=True).start()

    def send(self, number):
        time.sleep(EVERY * number / SENDERS)
        while not self.stop.is_set():
            probe = uuid.uuid4().hex
            lines = [record(f"probe-{probe}")] + [record(f"user-{i}@example.com") for i in range(RECORDS - 1)]
            begun = time.monotonic()
            with self.lock:
                self.sent[probe] = begun
            try:
                status, _ = self.node.ask(f"sender-{number}", "POST", "/api/v1/ingest/push", "\n".join(lines))
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
            took = time.monotonic() - begun
            with self.lock:
                self.answers.append(took)
                if status != 202:
                    self.refused[f"push {status}"] += 1
                    # It was told, and may send again: no finding is expected.
                    self.sent.pop(probe, None)
            self.stop.wait(max(0.0, EVERY - took))

    def analyse(self, number):
        asks = [("GET", "/api/v1/findings?limit=50", None), ("GET", "/api/v1/rules", None),
                ("GET", "/api/v1/sources", None), ("GET", "/api/v1/findings?q=rule_id:probe", None)]
        if number == 0:
            asks.append(("POST", "/api/v1/hunts", json.dumps({"sql": "SELECT user_name, count(*) AS n FROM authentication GROUP BY user_name ORDER BY n DESC LIMIT 10"})))
        while not self.stop.is_set():
            for method, path, body in asks:
                begun = time.monotonic()
                try:
                    status, _ = self.node.ask(f"analyst-{number}", method, path, body)
                except (OSError, http.client.HTTPException) as error:
                    status = type(error).__name__
                with self.lock:
                    self.reads.append(time.monotonic() - begun)
                    if status != 200:
                        self.refused[f"{method} {path.split('?')[0]} {status}"] += 1
                self.stop.wait(0.5)

    def watch(self):
        """Reads the live stream; begins again where it was when it breaks."""
        last = None
        while not self.stop.is_set():
            try:
                stream = self.node.connect()
                resume = f"Last-Event-ID: {last}\r\n" if last else ""
                stream.sendall((self.node.head("watcher", "GET /api/v1/findings/stream?q=rule_id:probe") + resume + "\r\n").encode())
                stream.settimeout(60)
                for line in stream.makefile("r", encoding="utf-8", errors="replace"):
                    now = time.monotonic()
                    if line.startswith("id:"):
                        last = line[3:].strip()
                    for probe in re.findall(r"probe-([0-9a-f]{32})", line):
                        with self.lock:
                            begun = self.sent.pop(probe, None)
                            if begun is not None:
                                self.found.append(now - begun)
            except OSError:
                time.sleep(0.2)

    def lost(self):
        """Probes that were accepted so long ago that their finding will not come."""
        now = time.monotonic()
        with self.lock:
            return sum(1 for begun in self.sent.values() if now - begun > LOST_S)


def p99(values):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * 0.99))] * 1000 if values else float("nan")


def memory(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) // 1024


def measure(honest, pid, seconds):
    """Lets the time pass; the largest memory seen, MiB."""
    honest.reset()
    until, most = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        most = max(most, memory(pid))
        time.sleep(0.25)
    return most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sluice", required=True, help="the binary, built with --release")
    parser.add_argument("--seconds", type=float, default=600, help="of the whole soak, in equal parts")
    parser.add_argument("--memory-limit", default="2GiB")
    parser.add_argument("--only", help="attackers by the names of their functions, with commas: tiny,searches")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the log and the data")
    options = parser.parse_args()
    sluice = str(pathlib.Path(options.sluice).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-soak-"))
    data = folder / "data"
    data.mkdir(mode=0o700)
    (folder / "rules").mkdir()
    for name, severity in (("probe", "high"), ("flood", "low"), ("known", "low")):
        prefix = {"known": "other"}.get(name, name)
        (folder / "rules" / f"{name}.sql").write_text(RULE.format(id=name, severity=severity, prefix=prefix))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "sluice.toml").write_text(f"""data_dir = "{data}"
rules = ["{folder}/rules"]
memory_limit = "{options.memory_limit}"
[retention]
# The probes are 2,400 findings a minute of one rule; the flood of the attacker is of another.
findings_per_minute = 5000
[api]
listen = "{address}"
[sources.push]
mapping = "okta.system"
http = {{}}
[sources.attack]
mapping = "okta.system"
http = {{}}
""")
    roles = {f"sender-{i}": ("ingest", "push") for i in range(SENDERS)}
    roles |= {f"analyst-{i}": ("analyst", None) for i in range(ANALYSTS)}
    roles |= {"watcher": ("viewer", None), "attack-sender": ("ingest", "attack"), "attack-viewer": ("viewer", None),
              "attack-analyst": ("analyst", None), "attack-admin": ("admin", None)}
    tokens = {"nobody": "slc_" + "0" * 40}
    for name, (role, source) in roles.items():
        command = [sluice, "token", "create", "--data-dir", str(data), "--role", role, "--name", name]
        command += ["--input", source] if source else []
        tokens[name] = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    node = Node(address, tokens)
    log = open(folder / "log", "wb")
    before_everybody()
    process = subprocess.Popen([sluice, "run", "--config", str(folder / "sluice.toml")], stderr=log, stdout=log,
                               preexec_fn=as_usual)
    ended = True
    try:
        for _ in range(600):
            try:
                if node.ask("watcher", "GET", "/readyz")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        honest = Honest(node)
        honest.start()
        attacks = [step for step in ATTACKS if not options.only or step.__name__ in options.only.split(",")]
        part = options.seconds / (len(attacks) + 1)
        time.sleep(min(10, part))
        rows = []
        print("| beside | push p99 ms | event to finding p99 ms | analyst p99 ms | findings | honest refusals | lost | attacker was answered | RSS MiB |")
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        for step in [None, *attacks]:
            answers = multiprocessing.Queue()
            attacker = None
            if step:
                attacker = multiprocessing.Process(target=attack, args=(step.__name__, node, str(folder), time.monotonic() + part, answers))
                attacker.start()
            most = measure(honest, process.pid, part)
            with honest.lock:
                row = (p99(honest.answers), p99(honest.found), p99(honest.reads), len(honest.found), dict(honest.refused))
            said = {}
            if attacker:
                try:
                    said = answers.get(timeout=30)
                except Exception:
                    said = {"no answer": 1}
                attacker.join(10)
                attacker.kill()
            name = step.__doc__.strip().rstrip(".") if step else "nobody: calm"
            shown = lambda counts: ", ".join(f"{k} x {v:,}" for k, v in sorted(counts.items())) or "-"
            rows.append(row)
            print(f"| {name} | {row[0]:,.0f} | {row[1]:,.0f} | {row[2]:,.0f} | {row[3]:,} | {shown(row[4])} | {honest.lost()} | {shown(said)} | {most:,} |", flush=True)
        honest.stop.set()
        time.sleep(LOST_S / 4)
        with honest.lock:
            left = len(honest.sent)
        ended = process.poll() is not None
        print(f"\nat the end: {left} probes without a finding, the process {'has ended' if ended else 'runs'}, peak memory "
              + re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text()).group(1) + " KiB")
        raise SystemExit(1 if left or ended else 0)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()
        if options.keep or ended:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
