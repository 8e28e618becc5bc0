# SPDX-License-Identifier: Apache-2.0
"""A small server that speaks the sessions and statements of Livy's REST.  A session is a Python process of its own, and a
statement runs in it; there is no Spark.  Apache Livy 0.7.1 makes no sessions with the Spark of the tests: its interpreters
are built for older Scalas."""

import http.server
import json
import re
import signal
import subprocess
import sys
import threading

# A statement says when it begins, and hears SIGINT from then on, and nobody else does.
REPL = """
import ast, contextlib, io, json, signal, sys, traceback
signal.signal(signal.SIGINT, signal.SIG_IGN)
names = {"__name__": "__main__"}
answers = sys.stdout
for line in sys.stdin:
    out = io.StringIO()
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("begun", file=answers, flush=True)
        with contextlib.redirect_stdout(out):
            exec(compile(json.loads(line), "<stdin>", "exec"), names)
        o = {"status": "ok", "data": {"text/plain": out.getvalue()}}
    except BaseException as e:
        o = {"status": "error", "ename": type(e).__name__, "evalue": str(e), "traceback": traceback.format_exc().splitlines(True)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(json.dumps(o), file=answers, flush=True)
"""


class Session:
    def __init__(self, n, body):
        self.n, self.name, self.body, self.statements, self.state = n, body.get("name"), body, [], "idle"
        self.settling = 0  # so often it is called busy although its statement is over
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-c", REPL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def view(self):
        state = self.state
        if state == "idle" and self.settling:
            self.settling, state = self.settling - 1, "busy"
        return {"id": self.n, "name": self.name, "kind": "pyspark", "state": state, "log": []}

    def send(self, code):
        s = {"id": len(self.statements), "code": code, "state": "waiting", "output": None, "progress": 0.0}
        self.statements.append(s)
        self.state = "busy"
        threading.Thread(target=self.run, args=(s,), daemon=True).start()
        return s

    def run(self, s):
        self.process.stdin.write(json.dumps(s["code"]) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() in ("begun\n", "")
        with self.lock:
            if s["state"] == "cancelling":
                self.process.send_signal(signal.SIGINT)
            else:
                s["state"] = "running"
        line = self.process.stdout.readline()
        if not line:
            return
        with self.lock:
            s["output"] = json.loads(line)
            self.state = "idle"  # before who waits for the statement asks for the session
            s["state"] = "cancelled" if s["state"] == "cancelling" else "available"

    def cancel(self, n):
        with self.lock:
            s = self.statements[n]
            if s["state"] == "running":
                self.process.send_signal(signal.SIGINT)
            if s["state"] in ("waiting", "running"):
                s["state"] = "cancelling"
        return {"msg": "canceled"}

    def end(self):
        self.process.kill()
        self.process.wait()


class Sessions(http.server.ThreadingHTTPServer):
    """cut: so many answers to POSTs are lost.  dead: new sessions end before they are ready.  hidden: the list of all has
    none."""

    daemon_threads = True

    def __init__(self, base="", version="0.7.1-incubating"):
        self.base, self.version, self.cut, self.dead, self.hidden = base, version, 0, False, False
        self.sessions, self.asked, self.made = {}, [], 0
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        for s in self.sessions.values():
            s.end()

    def bodies(self):
        return [b for m, p, b in self.asked if (m, p) == ("POST", f"{self.base}/sessions")]

    def views(self):
        return [] if self.hidden else [s.view() for s in list(self.sessions.values())]

    def statements(self):
        return [s for v in list(self.sessions.values()) for s in v.statements]

    def make(self, body):
        s = self.sessions[self.made] = Session(self.made, body)
        self.made += 1
        if self.dead:
            s.state = "dead"
        return s.view()

    def drop(self, n):
        self.sessions.pop(n).end()
        return {"msg": "deleted"}

    def routes(self):
        """Method and path -> what is done, with the numbers in the path and the body."""
        return [
            ("GET", "/version", lambda _: {"version": self.version}),
            ("GET", "/sessions", lambda _: {"sessions": self.views()}),
            ("POST", "/sessions", self.make),
            ("GET", "/sessions/N", lambda _, n: self.sessions[n].view()),
            ("DELETE", "/sessions/N", lambda _, n: self.drop(n)),
            ("PUT", "/sessions/N/reset-timeout", lambda _, n: self.sessions[n].view()),
            ("GET", "/sessions/N/log", lambda _, n: {"id": n, "log": ["stdout: ", "no room for the driver"]}),
            ("POST", "/sessions/N/statements", lambda b, n: self.sessions[n].send(b["code"])),
            ("GET", "/sessions/N/statements", lambda _, n: {"statements": self.sessions[n].statements}),
            ("GET", "/sessions/N/statements/N", lambda _, n, k: self.sessions[n].statements[k]),
            ("POST", "/sessions/N/statements/N/cancel", lambda _, n, k: self.sessions[n].cancel(k)),
        ]

    def answer(self, method, path, body):
        for verb, form, do in self.routes():
            found = re.fullmatch(re.escape(self.base) + form.replace("N", "([0-9]+)"), path)
            if verb == method and found:
                try:
                    return 200, do(body, *map(int, found.groups()))
                except LookupError:
                    break
        return 404, {"msg": "not here"}


class Handler(http.server.BaseHTTPRequestHandler):
    def do(self):
        n = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(n)) if n else None
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path, body))
        status, what = self.server.answer(self.command, path, body)
        if self.command == "POST" and self.server.cut:
            self.server.cut -= 1
            self.close_connection = True
            return
        data = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PUT = do

    def log_message(self, *_):
        pass
