# SPDX-License-Identifier: Apache-2.0
"""Plays the endpoints that give tokens: Microsoft Entra, the metadata service of a machine, that of App Service.
The tokens are those that Azurite takes: unsigned, with the audience, issuer and times of real ones."""

import base64
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
SECRET = "s3cr3t/CANARY+~"
ASSERTION = "eyJhbGciOiJub25lIn0.CANARY.x"


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unpart(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def token(life=3600, audience="https://storage.azure.com", claims=None):
    now = int(time.time())
    times = {"iat": now - 9000, "nbf": now - 9000, "exp": now + life, "jti": str(time.time_ns())}
    claims = {"aud": audience, "iss": f"https://sts.windows.net/{TENANT}/", **times, **(claims or {})}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}.CANARY"


def signed(jwt, server):
    """Is it the assertion that the service describes, signed by the certificate?"""
    head, claims, signature = jwt.split(".")
    certificate = x509.load_pem_x509_certificate(Path(server.certificate).read_bytes())
    certificate.public_key().verify(
        unpart(signature), f"{head}.{claims}".encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )
    print256 = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    told, now = json.loads(unpart(claims)), time.time()
    return (
        json.loads(unpart(head)) == {"alg": "PS256", "typ": "JWT", "x5t#S256": print256}
        and told["iss"] == told["sub"] == CLIENT
        and told["aud"] == f"{server.url}/{TENANT}/oauth2/v2.0/token"
        and told["nbf"] - 5 < now < told["exp"] <= now + 605
        and told["jti"]
    )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def give(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def answer(self, who, right):
        self.server.owner.asked.append(who)
        if self.server.owner.fail:
            self.give(*self.server.owner.fail)
        elif not right:
            why = "AADSTS7000215: Invalid client secret provided.\r\nTrace"
            self.give(401, {"error": "invalid_client", "error_description": why})
        else:
            life = self.server.owner.life
            ends = {"expires_in": str(life), "expires_on": str(int(time.time()) + life)}
            self.give(200, {"access_token": self.server.owner.token(life), **ends})

    def arc(self, right):
        given = self.headers["Authorization"]
        if given:
            return self.answer("arc", right and given == "Basic CANARY-ARC")
        self.send_response(401)
        self.send_header("WWW-Authenticate", f"Basic realm={self.server.owner.arc_key}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def shell(self, form):
        right = form == {"resource": f"{self.server.owner.audience}/"} and self.headers["Metadata"] == "true"
        self.answer("shell", right)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
        if self.path == "/shell":
            return self.shell(form)
        audience = self.server.owner.audience
        where = {  # the second one is the older of the service, which Hadoop asks
            f"/{TENANT}/oauth2/v2.0/token": form.get("scope") == f"{audience}/.default",
            f"/{TENANT}/oauth2/token": form.get("resource") == f"{audience}/",
        }
        right = where.get(self.path) and form["grant_type"] == "client_credentials" and form["client_id"] == CLIENT
        if self.server.owner.certificate and "client_assertion" in form:
            self.answer("certificate", right and signed(form["client_assertion"], self.server.owner))
        elif "client_assertion" in form:
            kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            right &= form["client_assertion"] == ASSERTION and form["client_assertion_type"] == kind
            self.answer("workload", right)
        else:
            self.answer("secret", right and form["client_secret"] == SECRET)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        right = query.get("resource") == f"{self.server.owner.audience}/"
        which = "".join(f" {k}={v}" for k, v in query.items() if k not in ("api-version", "resource", "client_id"))
        if url.path == "/arc":
            self.arc(right and query["api-version"] == "2020-06-01")
        elif url.path == "/ml":
            right &= self.headers["secret"] == "CANARY-HEADER" and query["api-version"] == "2017-09-01"
            self.answer("ml", right)
        elif url.path == "/metadata/identity/oauth2/token":
            right &= self.headers["Metadata"] == "true" and query["api-version"] == "2018-02-01"
            self.answer("machine" + query.get("client_id", "") + which, right)
        else:
            right &= self.headers["X-IDENTITY-HEADER"] == "CANARY-HEADER"
            self.answer("service" + which, right and query["api-version"] == "2019-08-01")


class TokenServer:
    def __init__(self):
        self.asked = []  # what was asked, in order
        self.fail = None  # (status, body) that everybody gets
        self.life = 3600
        self.audience = "https://storage.azure.com"
        self.token = token
        self.certificate = None  # a file; assertions have to be signed by its key
        self.arc_key = ""
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.owner = self
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
