#!/usr/bin/env python3
"""An authorization server that we did not write, Authlib, issues access tokens; a real server trusts it by its key
set and answers as scopes, audience and key say.

It is not a test of the build: the program is named on the command line.

    pip install authlib
    engine/signal/interop/issuer.py --sluice target/debug/sluice
"""

import argparse
import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from authlib.jose import JsonWebKey, jwt
from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator

KEY = Path(__file__).parent.parent / "tests/it/keys/one.pem"
CLIENTS = {"0oa1": "s3cret-of-the-client"}
OWN = "https://sluice.example.com"


class Client(ClientMixin):
    def __init__(self, name):
        self.client_id = name

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return scope

    def check_client_secret(self, secret):
        return CLIENTS[self.client_id] == secret

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_post"

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


class Tokens(JWTBearerTokenGenerator):
    """RFC 9068 tokens for us, or for whom `audience` names."""

    audience = OWN
    key = None

    def get_jwks(self):
        return {"keys": [self.key.as_dict(is_private=True)]}

    def get_audiences(self, client, user, scope):
        return self.audience


class Grant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]


class Server(AuthorizationServer):
    def query_client(self, client_id):
        return Client(client_id) if client_id in CLIENTS else None

    def save_token(self, token, request):
        pass

    def create_oauth2_request(self, request):
        return request

    def handle_response(self, status, body, headers):
        return status, body

    def send_signal(self, *_args, **_kwargs):
        pass


def authorization_server(issuer, key, audience=OWN):
    server = Server(scopes_supported=None)
    tokens = Tokens(issuer=issuer, alg="RS256")
    tokens.key, tokens.audience = key, audience
    server.register_token_generator("default", tokens)
    server.register_grant(Grant)
    return server


def access_token(server, scope):
    form = {"grant_type": "client_credentials", "client_id": "0oa1", "client_secret": CLIENTS["0oa1"], "scope": scope}
    request = OAuth2Request("POST", "https://login.example.com/token")
    request.payload = BasicOAuth2Payload(form)
    request._body = form
    status, body = server.create_token_response(request)
    if status != 200:
        sys.exit(f"Authlib answers {status}: {body}")
    body = body if isinstance(body, dict) else json.loads(body)
    return body["access_token"]


class Keys(http.server.BaseHTTPRequestHandler):
    jwks = {}

    def do_GET(self):
        body = json.dumps(self.jwks).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(url, token=None, method="GET", body=None):
    """Status and challenge; 0 where nobody answers."""
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("www-authenticate", "")
    except OSError:
        return 0, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sluice", required=True)
    args = parser.parse_args()
    key = JsonWebKey.generate_key("RSA", 2048, {"use": "sig", "alg": "RS256"}, is_private=True)
    key = JsonWebKey.import_key({**key.as_dict(is_private=True), "kid": "login-1"})
    other = JsonWebKey.generate_key("RSA", 2048, {"use": "sig", "alg": "RS256"}, is_private=True)
    other = JsonWebKey.import_key({**other.as_dict(is_private=True), "kid": "login-1"})
    Keys.jwks = {"keys": [key.as_dict(is_private=False)]}
    login = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=login.serve_forever, daemon=True).start()
    issuer = "https://login.example.com"
    with tempfile.TemporaryDirectory() as folder:
        folder, port = Path(folder), free_port()
        pem = folder / "key.pem"
        pem.write_text(KEY.read_text())
        pem.chmod(0o600)
        config = folder / "sluice.toml"
        config.write_text(
            f'data_dir = "{folder}/data"\nrules = []\n[sources.push]\nhttp = {{}}\n[api]\nlisten = "127.0.0.1:{port}"\n'
            f'[signals]\nissuer = "{OWN}"\nsigning_keys = ["file:{pem}"]\n'
            f'[signals.trusted_issuers.login]\nissuer = "{issuer}"\naudience = ["{OWN}"]\n'
            f'jwks_url = "http://127.0.0.1:{login.server_port}/keys"\nnetworks = ["127.0.0.0/8"]\n'
            '[signals.receivers.idp]\ntrusted_issuer = "login"\ntrusted_client = "0oa1"\n'
        )
        server = subprocess.Popen([args.sluice, "run", "--config", config], stderr=subprocess.DEVNULL)
        try:
            check(f"http://127.0.0.1:{port}", issuer, key, other)
        finally:
            server.kill()
            server.wait()


def check(api, issuer, key, other):
    for _ in range(300):
        if ask(f"{api}/healthz")[0] == 200:
            break
        time.sleep(0.1)
    good = authorization_server(issuer, key)
    streams = f"{api}/ssf/streams"

    def expect(what, found, status, challenge=""):
        if found[0] != status or challenge not in found[1]:
            sys.exit(f"{what}: {found}, not {status} {challenge}")
        print(f"{what}: {status} {found[1]}".rstrip())

    token = access_token(good, "ssf.read ssf.manage")
    expect("ssf.manage makes a stream", ask(streams, token, "POST", {}), 201)
    read = access_token(good, "ssf.read")
    expect("ssf.read reads", ask(streams, read), 200)
    expect("ssf.read makes none", ask(streams, read, "POST", {}), 403, 'insufficient_scope", scope="ssf.manage.create"')
    expect("another scope reads nothing", ask(streams, access_token(good, "profile")), 403, "insufficient_scope")
    aud = authorization_server(issuer, key, audience="https://other.example.com")
    expect("another audience", ask(streams, access_token(aud, "ssf.read")), 401, "invalid_token")
    iss = authorization_server("https://evil.example.com", key)
    expect("another issuer", ask(streams, access_token(iss, "ssf.read")), 401, "invalid_token")
    forged = authorization_server(issuer, other)
    expect("another key of the same id", ask(streams, access_token(forged, "ssf.read")), 401, "invalid_token")
    claims = {"iss": issuer, "aud": OWN, "client_id": "0oa1", "exp": int(time.time()) - 1, "scope": "ssf.read"}
    late = jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": "login-1"}, claims, key).decode()
    expect("an expired one", ask(streams, late), 401, "invalid_token")
    print("tokens of Authlib: accepted and refused as they have to be")


if __name__ == "__main__":
    main()
