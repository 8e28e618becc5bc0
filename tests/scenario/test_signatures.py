# SPDX-License-Identifier: Apache-2.0
"""What is signed is what the Azure SDK for Python signs for the same request: every request of a session with odd
names, many headers and odd values passes by a recorder, and is signed again by the SDK's own policy."""

import http.client
import itertools
import json
import os
import random
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from conftest import Workspace
from stores import BlobStore

SKIP = {"connection", "transfer-encoding", "keep-alive"}


class Recorder(BaseHTTPRequestHandler):
    """Hands all on to the emulator as it came."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, self.headers.items()))
        there = http.client.HTTPConnection(self.server.to)
        there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            there.putheader(name, value)
        there.endheaders(body)
        answer = there.getresponse()
        data = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in SKIP and (name.lower() != "content-length" or self.command == "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        there.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on


@pytest.fixture
def recorder(azurite):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.to = urllib.parse.urlsplit(azurite.url).netloc
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def ws(azurite, recorder, tmp_path):
    w = Workspace(tmp_path, BlobStore(azurite, f"sign-{os.urandom(6).hex()}"))
    config = json.loads(w.config.read_text())
    for entry in config["datastores"].values():
        entry["endpoint"] = azurite.url.replace(recorder.to, f"127.0.0.1:{recorder.server_port}")
    w.config.write_text(json.dumps(config))
    return w


def signed_by_the_sdk(azurite, method, path, headers):
    from azure.core.pipeline.transport import HttpRequest
    from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy

    client = azurite.client
    policy = SharedKeyCredentialPolicy(client.account_name, client.credential.account_key)
    request = HttpRequest(method, f"http://127.0.0.1{path}", headers=dict(headers))
    request.headers.pop("Authorization", None)
    context = SimpleNamespace(transport=None)
    policy.on_request(SimpleNamespace(http_request=request, context=context))
    return request.headers["Authorization"]


NAMES = [
    "plain",
    "sp ace/ü&+/%25#?.csv",
    "日本 語/🚀",
    "a+b=c&d;e@f:g!h$i'j(k)l*m,n~o",
    "%41%zz/..x/ x",
    'quote"back`tick^[]{}|<>',
    "x" * 200,
]


def test_every_request_is_signed_as_by_the_sdk(ws, recorder, azurite):
    for name in NAMES:
        place = ws.cwd / "tree" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(name.encode())
    (ws.cwd / "big").write_bytes(os.urandom(20 << 20))
    meta = {"a": "1", "A1": "two words", "a_1": "x=y&z", "a_b": "%25+", "ab": "'q'", "a11": ",;", "B": "-", "_z": "~"}
    more = [x for k, v in meta.items() for x in ("--metadata", f"{k}={v}")]
    more += ["--tag", "a b=c/d", "--content-type", "text/csv; charset=utf-8"]
    ws.run("cp", "-R", *more, "tree", ws.ref("there"))
    assert {p: ws.get(f"there/{p}") for p in NAMES} == {p: p.encode() for p in NAMES}
    ws.run("cp", "-R", ws.ref("there"), "back")
    assert {p: (ws.cwd / "back" / p).read_bytes() for p in NAMES} == {p: p.encode() for p in NAMES}
    ws.run("cp", *more, "big", ws.ref("sp ace/ü&+.big"))
    ws.run("cp", ws.ref("sp ace/ü&+.big"), ws.ref("a+b=c&d.copy"))
    ws.run("stat", ws.ref("sp ace/ü&+.big"))
    ws.run("ls", "-R", ws.ref(""))
    ws.run("ls", ws.ref("sp ace"))
    ws.run("rm", "-R", ws.ref("there"))
    seen, verbs = recorder.seen, set()
    for method, path, headers in seen:
        given = (
            dict(headers)["Authorization"] if "Authorization" in dict(headers) else dict(headers).get("authorization")
        )
        if given is None:
            assert "sig=" in path  # the source of a copy
            continue
        assert given == signed_by_the_sdk(azurite, method, path, headers), (method, path, headers)
        verbs.add((method, urllib.parse.parse_qs(urllib.parse.urlsplit(path).query).get("comp", [""])[0]))
    assert {("PUT", ""), ("PUT", "block"), ("PUT", "blocklist"), ("GET", ""), ("GET", "list"), ("DELETE", "")} <= verbs


def test_headers_are_sorted_as_by_the_sdk():
    """The rule of blob/sign.c against the order of the SDK, which is that of the service, for all short names."""
    from azure.storage.blob._shared.authentication import _storage_header_sort

    def rule(name):
        letters = ["\x01" if c == "_" else c for c in name if c != "-"]
        return letters, [c == "-" for c in name]

    some = ["".join(p) for n in range(1, 4) for p in itertools.product("a1_-b", repeat=n)]
    names = [f"x-ms-meta-{s}" for s in some]
    random.Random(1).shuffle(names)
    assert [k for k, _ in _storage_header_sort([(n, "") for n in names])] == sorted(names, key=rule)
