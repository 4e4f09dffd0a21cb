#!/usr/bin/env python3
"""What receivers that are slow do to detection: the same records with none, and with 100 that take every SET
and answer none of them, while levels go up and down.

    api/bench/receivers.py --sluice target/release/sluice --records 100000

Starts `sluice run` in a folder of its own, in turns without and with the receivers, pushes the records over
HTTP and prints records a second, CPU time of the process and how long queues of receivers became. Exits with 1
if a queue passed its bound. Needs Python 3.11 and `openssl`.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

RECEIVERS, QUEUE, USERS, BATCH = 100, 50, 200, 2_000
# Levels that change in a second.
CHANGES = 20


def records(run, count):
    """Sign-ins of Okta's log, most of them good."""
    begin = int(time.time()) - 600
    for n in range(count):
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begin + n * 500 // count)) + ".000Z"
        yield json.dumps({
            "uuid": f"{run}-{n}", "published": when, "eventType": "user.session.start",
            "outcome": {"result": "SUCCESS" if n % 20 else "FAILURE"},
            "actor": {"id": f"id-{n % 5000}", "type": "User", "alternateId": f"u{n % 5000}@example.com"},
            "client": {"ipAddress": f"203.0.113.{n % 250}"}, "target": [],
        })


class Slow:
    """Accepts connections, reads what comes, never answers."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.socket.getsockname()[1]
        self.held = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            self.held.append(self.socket.accept()[0])
            if len(self.held) > 2 * RECEIVERS:
                self.held.pop(0).close()


class Server:
    def __init__(self, sluice, folder, receivers, slow):
        self.folder, key = folder, folder / "key.pem"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        key.chmod(0o600)
        config = folder / "sluice.toml"
        text = (
            f'data_dir = "{folder / "data"}"\n[sources.push]\nmapping = "okta.system"\nhttp = {{}}\n'
            f'[api]\nlisten = "127.0.0.1:0"\n[signals]\nissuer = "https://sluice.example.com"\n'
            f'signing_keys = ["file:{key}"]\npush_networks = ["127.0.0.0/8"]\nqueue = {QUEUE}\n'
        )
        for n in range(receivers):
            text += f'[signals.receivers.r{n}]\npush_url = "http://127.0.0.1:{slow.port}/{n}"\nmin_interval = "0s"\n'
        config.write_text(text)
        self.token = subprocess.run(
            [sluice, "token", "create", "--data-dir", folder / "data", "--role", "admin"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
        self.process = subprocess.Popen([sluice, "run", "--config", config], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if line.startswith("listening on http://"):
                self.address = line.strip().removeprefix("listening on http://")
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def ask(self, method, path, body=None):
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request(method, path, body, {"authorization": f"Bearer {self.token}", "content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def metric(self, name):
        """Sum and largest of the samples of a metric."""
        _, text = self.ask("GET", "/metrics")
        values = [float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)]
        return sum(values), max(values, default=0.0)

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def change_levels(server, stop):
    """Raises and clears, as people do, until it is to stop."""
    n = 0
    while not stop.is_set():
        path = f"/api/v1/risk/user/r{n % USERS}@example.com/override"
        body = {"level": ("high", "low")[n // USERS % 2], "reason": "bench", "expires_in": "1h"}
        server.ask("PUT", path, json.dumps(body))
        n += 1
        time.sleep(1 / CHANGES)


def measure(args, receivers, slow, run):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args.sluice, pathlib.Path(folder), receivers, slow)
        try:
            stop = threading.Event()
            changing = threading.Thread(target=change_levels, args=(server, stop))
            changing.start()
            lines = list(records(run, args.records))
            # Receivers hang before the first record comes.
            time.sleep(3)
            begin, cpu = time.monotonic(), server.cpu()
            longest = 0.0
            for at in range(0, len(lines), BATCH):
                body = "\n".join(lines[at:at + BATCH])
                while (status := server.ask("POST", "/api/v1/ingest/push", body)[0]) != 202:
                    if status not in (429, 503):
                        sys.exit(f"a push was answered {status}")
                    time.sleep(0.05)
            while server.metric("sluice_rows_evaluated_total")[0] < args.records:
                longest = max(longest, server.metric("sluice_signal_queue")[1])
                time.sleep(0.1)
            wall = time.monotonic() - begin
            longest = max(longest, server.metric("sluice_signal_queue")[1])
            stop.set()
            changing.join()
            return args.records / wall, server.cpu() - cpu, longest
        finally:
            server.process.kill()
            server.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    slow = Slow()
    print("| receivers | records/s | CPU s | longest queue (bound %d) |\n|---|---|---|---|" % QUEUE, flush=True)
    over = False
    for run in range(args.rounds):
        for receivers in (0, RECEIVERS):
            rate, cpu, longest = measure(args, receivers, slow, f"{run}-{receivers}")
            over |= longest > QUEUE
            print(f"| {receivers} | {rate:,.0f} | {cpu:.1f} | {longest:.0f} |", flush=True)
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
