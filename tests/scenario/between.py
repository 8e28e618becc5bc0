# SPDX-License-Identifier: Apache-2.0
"""A server between sluice and a WebHDFS that passes all on, to the DataNodes too, and does to answers what a test asks for."""

import http.client
import threading
import urllib.parse
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATA = "/data/"


class Cut(bytes):
    """The beginning of a body that broke off; whole: how long it was to be."""

    whole = 0


def cut(body, n):
    part = Cut(body[:n])
    part.whole = len(body)
    return part


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen(self, body)

    do_GET = do_PUT = do_POST = do_DELETE = serve

    def log_message(self, *args):
        pass


class Between(ThreadingHTTPServer):
    """bend(op, body): what becomes of the body of an answer from a DataNode; sent: of one to it.  through: the DataNodes are reached by this server
    too.  What is before /webhdfs in a path is left out."""

    daemon_threads = True

    def __init__(self, web, bend, through, sent):
        super().__init__(("127.0.0.1", 0), Handler)
        self.names = web
        self.bend = bend
        self.sent = sent
        self.through = through
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.ops = []

    def handle_error(self, request, client_address):
        """Who asked has hung up."""

    def seen(self, handler, body):
        path, _, query = handler.path.partition("?")
        op = urllib.parse.parse_qs(query).get("op", [""])[0]
        host, data = self.names, path.startswith(DATA)
        if data:
            host, _, path = path[len(DATA) :].partition("/")
            path = "/" + path
            body = self.sent(op, body)
        else:
            path = path[path.index("/webhdfs/") :]
        self.ops.append(f"{'data-' if data else ''}{op}")
        ask = http.client.HTTPConnection(host, timeout=60)
        headers = {k: v for k, v in handler.headers.items() if k.lower() in ("content-type", "cookie")}
        ask.request(handler.command, f"{path}?{query}", body=body or None, headers=headers)
        answer = ask.getresponse()
        out = answer.read()
        ask.close()
        if data:
            out = self.bend(op, out)
        elif self.through and b'"Location"' in out:
            out = out.replace(b'"http://', f'"http://{self.address}{DATA}'.encode())
        handler.send_response(answer.status)
        for name in ("Content-Type", "Location"):
            if answer.getheader(name):
                handler.send_header(name, answer.getheader(name))
        handler.send_header("Content-Length", str(getattr(out, "whole", len(out))))
        handler.close_connection |= isinstance(out, Cut)
        handler.end_headers()
        handler.wfile.write(out)


@contextmanager
def between(web, bend=lambda op, body: body, through=True, sent=lambda op, body: body):
    with Between(web, bend, through, sent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
