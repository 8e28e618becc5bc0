# SPDX-License-Identifier: Apache-2.0
"""A real Azurite behind a network that is slow and breaks (toxiproxy): right bytes, or one clean error."""

import hashlib
import json
import os
import shutil
import subprocess
import urllib.request

import pytest
from conftest import PATIENCE, Workspace, until
from stores import BlobStore

BIG = hashlib.shake_128(b"bad network").digest(24 << 20)


class Toxiproxy:
    def __init__(self, program, folder, upstream, free_port):
        self.api = f"http://127.0.0.1:{free_port()}"
        self.port = free_port()
        with open(folder / "toxiproxy.log", "ab") as log:
            self.process = subprocess.Popen(
                [program, "-host", "127.0.0.1", "-port", self.api.rsplit(":", 1)[1]],
                env={**os.environ, "LOG_LEVEL": "error"}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until("toxiproxy", self.is_up)
        self.call("POST", "/proxies", name="blob", listen=f"127.0.0.1:{self.port}", upstream=upstream)

    def is_up(self):
        assert self.process.poll() is None, "toxiproxy did not start"
        try:
            return self.call("GET", "/version")
        except OSError:
            return None

    def call(self, method, path, **body):
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.api + path, data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as got:
            return got.read() or b"done"

    def poison(self, kind, stream="downstream", toxicity=1.0, **attributes):
        name = f"{kind}-{stream}"
        self.call(
            "POST",
            "/proxies/blob/toxics",
            name=name,
            type=kind,
            stream=stream,
            toxicity=toxicity,
            attributes=attributes,
        )
        return name

    def stop(self):
        self.process.kill()
        self.process.wait()


class Behind:
    """The server as it is seen through the proxy; objects are put and got past it."""

    def __init__(self, server, port):
        self.client, self.key_file, self.more = server.client, server.key_file, server.more
        self.url = f"http://127.0.0.1:{port}/{server.client.account_name}"


@pytest.fixture
def proxy(tmp_path, azurite):
    from ports import free_port

    program = os.environ.get("SLUICE_TOXIPROXY") or shutil.which("toxiproxy-server")
    if not program:
        pytest.skip("no toxiproxy: neither SLUICE_TOXIPROXY nor toxiproxy-server in PATH")
    p = Toxiproxy(program, tmp_path, f"127.0.0.1:{azurite.port}", free_port)
    yield p
    p.stop()


@pytest.fixture
def far(tmp_path, azurite, proxy):
    store = BlobStore(Behind(azurite, proxy.port), f"tox-{hashlib.sha256(os.fsencode(tmp_path)).hexdigest()[:12]}")
    folder = tmp_path / "ws"
    folder.mkdir()
    return Workspace(folder, store)


def test_latency_changes_nothing_but_the_time(far, proxy):
    proxy.poison("latency", latency=40, jitter=20)
    far.put("big", BIG)
    assert far.run("cat", far.ref("big"), text=False).out == BIG


@pytest.mark.parametrize(("share", "limit"), [(0.5, 3 << 20), (1.0, 3 << 20), (1.0, 64 << 10)])
def test_reads_over_connections_that_are_cut(far, proxy, share, limit):
    far.put("big", BIG)
    proxy.poison("limit_data", toxicity=share, bytes=limit)
    argv = ["sluice", "cat", far.ref("big")]
    done = subprocess.run(argv, cwd=far.cwd, capture_output=True, timeout=4 * PATIENCE)
    assert limit > 64 << 10 or done.returncode  # no block gets through
    if done.returncode:
        assert BIG.startswith(done.stdout) and done.stderr.count(b"\n") == 1 and b"'big'" in done.stderr
    else:
        assert done.stdout == BIG


def test_writes_over_connections_that_are_cut(far, proxy):
    (far.cwd / "big").write_bytes(BIG)
    proxy.poison("limit_data", stream="upstream", toxicity=0.5, bytes=3 << 20)
    argv = ["sluice", "cp", "big", far.ref("up")]
    done = subprocess.run(argv, cwd=far.cwd, capture_output=True, timeout=4 * PATIENCE)
    if done.returncode:
        assert done.stderr.count(b"\n") == 1 and b"'" in done.stderr
        assert not far.exists("up") or far.get("up") == BIG
    else:
        assert far.get("up") == BIG


def test_a_network_that_resets_everything_is_one_line(far, proxy):
    far.put("big", BIG)
    proxy.poison("reset_peer", timeout=0)
    err = far.run("cat", far.ref("big"), code=8).err
    assert err.count("\n") == 1 and "'big'" in err
