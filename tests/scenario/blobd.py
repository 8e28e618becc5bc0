# SPDX-License-Identifier: Apache-2.0
"""The blob test server (tests/blobd), $SLUICE_BLOBD, on a free port of 127.0.0.1: looks like azurite.Azurite to a
BlobStore, and can fail by rule."""

import contextlib
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

from azure.storage.blob import BlobServiceClient
from azurite import ACCOUNT, KEY
from hdfs_server import die_with_parent

VERSION = "2023-11-03"


def program():
    """The program, or None."""
    path = os.environ.get("SLUICE_BLOBD")
    return path if path and Path(path).is_file() else None


class Blobd:
    """options: those of the program; tls: certificate and key."""

    def __init__(self, folder, *options, account=ACCOUNT, tls=None):
        self.folder = Path(folder)
        self.key_file = self.folder / "key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(KEY + "\n")
        self.ca = str(tls[0]) if tls else None
        more = ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])] if tls else []
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [program(), "--dir", str(self.folder), "--account", account, *more, *map(str, options)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        self.port = int(line)
        self.top = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.url = f"{self.top}/{account}"
        hns = {"namespace": "hierarchical", "dfs_endpoint": f"{self.url}.dfs"}
        self.more = hns if "--hns" in options else {}
        verify = {"connection_verify": self.ca} if tls else {}
        self.client = BlobServiceClient(
            self.url, credential={"account_name": account, "account_key": KEY}, api_version=VERSION, **verify
        )

    def ask(self, method, path, data=None):
        request = urllib.request.Request(f"{self.top}/-/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    @contextlib.contextmanager
    def failing(self, *rules):
        """The rules (tests/blobd/fault.c) are in force, and each request of this time is in log()."""
        self.ask("DELETE", "log")
        self.ask("PUT", "rules", "\n".join(rules).encode())
        try:
            yield self
        finally:
            self.calm()

    def calm(self):
        """No rule any more, and who waits goes on: in this order, or who comes between the two waits for ever."""
        self.ask("PUT", "rules", b"\n")
        self.ask("PUT", "release")

    def log(self):
        """op, method, object, status, bytes, range, action of each request, in order."""
        names = ("op", "method", "object", "status", "bytes", "range", "action")
        lines = (line.split(" ")[1:] for line in self.ask("GET", "log").splitlines())
        return [dict(zip(names, line, strict=True)) for line in lines]

    def fired(self):
        """Of those, what a rule was for."""
        return [entry for entry in self.log() if entry["action"] != "-"]

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
