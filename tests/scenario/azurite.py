# SPDX-License-Identifier: Apache-2.0
"""A real Azurite (npm), $SLUICE_AZURITE, on a free port of 127.0.0.1, its blobs in memory."""

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from azure.storage.blob import BlobServiceClient
from hdfs_server import die_with_parent
from ports import free_port

ACCOUNT = "devstoreaccount1"
# The emulator's published key: no secret.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-12-02"


def program():
    """The file that node runs, or None."""
    path = os.environ.get("SLUICE_AZURITE")
    return path if path and shutil.which("node") and Path(path).is_file() else None


class Azurite:
    """tls: certificate and key; then it takes bearer tokens, and checks their audience, issuer and times."""

    more = {}  # of a datastore's entry

    def __init__(self, folder, memory=True, tls=None):
        self.folder = Path(folder)
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/{ACCOUNT}"
        self.ca = str(tls[0]) if tls else None
        more = ["--cert", str(tls[0]), "--key", str(tls[1]), "--oauth", "basic"] if tls else []
        more += ["--inMemoryPersistence"] if memory else []
        self.key_file = self.folder / "key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(KEY + "\n")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    "node", program(), "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--loose",
                    "--blobHost", "127.0.0.1", "--blobPort", str(self.port), *more,
                ],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        verify = {"connection_verify": self.ca} if tls else {}
        self.client = BlobServiceClient(self.url, credential=KEY, api_version=VERSION, **verify)

    def wait(self):
        end = time.monotonic() + 180
        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        while time.monotonic() < end:
            assert self.process.poll() is None, f"Azurite did not start: {self.folder}/log"
            try:
                urllib.request.urlopen(f"{self.url}?comp=list", timeout=10, context=context)
            except urllib.error.HTTPError:
                return  # it refuses what is not signed
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"Azurite is not ready after 180 s: {self.folder}/log")

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
