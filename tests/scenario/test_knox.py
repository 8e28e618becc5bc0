# SPDX-License-Identifier: Apache-2.0
"""Through a real Apache Knox: who we are by a password or a token, and its encrypted redirects to data."""

import base64
import json
import os
import subprocess

import knox
import pytest
from between import between
from conftest import BAD_INPUT, NO_PERMISSION, Sluice, needs_fuse, traced, until
from stores import HdfsStore

pytestmark = pytest.mark.xdist_group("knox")
BASIC = base64.b64encode(f"guest:{knox.PASSWORD}".encode()).decode()
DATA = os.urandom(20 << 20)


@pytest.fixture(scope="module")
def gateway(hdfs, tmp_path_factory):
    if not knox.folder_of_jars():
        pytest.skip("no Knox: SLUICE_KNOX_JARS is missing (tools/dev deps scenario)")
    server = knox.Knox(tmp_path_factory.mktemp("knox"), hdfs)
    yield server
    server.stop()


class Gated(Sluice):
    """A workspace with a datastore `d` behind the gateway, whose folder belongs to guest."""

    def __init__(self, cwd, gateway):
        super().__init__(cwd)
        self.gateway = gateway
        self.run("init", ".", "--name", "test")
        self.behind = HdfsStore(gateway.hdfs, f"/knox{cwd}")
        self.behind.mkdir("")
        self.behind.ask("PUT", "", "SETOWNER", owner="guest")
        self.secret = cwd / "secret"
        self.secret.write_text(f"{knox.PASSWORD}\n")
        self.entry()

    def entry(self, topology="default", **more):
        config = json.loads((self.cwd / "config.json").read_text())
        config["datastores"]["d"] = {
            "type": "hdfs",
            "protocol": "https",
            "namenode": self.gateway.web,
            "http_path": f"/gateway/{topology}/webhdfs/v1",
            "path": self.behind.folder,
            "ca_file": str(self.gateway.ca),
            "gateway": {"user": "guest", "password": f"file:{self.secret}"},
            **more,
        }
        (self.cwd / "config.json").write_text(json.dumps(config))

    def without_gateway(self, **more):
        self.entry(**more)
        config = json.loads((self.cwd / "config.json").read_text())
        del config["datastores"]["d"]["gateway"]
        (self.cwd / "config.json").write_text(json.dumps(config))

    def with_token(self, token):
        self.secret.write_text(token)
        self.entry("tokens", gateway={"token": f"file:{self.secret}"})


@pytest.fixture
def ws(gateway, tmp_path):
    return Gated(tmp_path, gateway)


@needs_fuse
def test_files_go_in_and_come_out(ws):
    """Each range has an address of its own: one that is used twice would give other bytes of the same length."""
    (ws.cwd / "big").write_bytes(DATA)
    ws.run("cp", "big", "d:d/ä b%20")
    assert ws.behind.get("d/ä b%20") == DATA
    assert ws.behind.status("d/ä b%20")["owner"] == "guest"
    ws.run("download", "d:d", "out")
    assert (ws.cwd / "out/ä b%20").read_bytes() == DATA
    assert "1 files" in ws.run("verify", "out", "d:d").out
    with ws.mounted("d:d") as m, open(m / "ä b%20", "rb", buffering=0) as f:
        for off in (11 << 20, 3, 17 << 20, 12345):
            assert os.pread(f.fileno(), 100_000, off) == DATA[off : off + 100_000]
    ws.run("mv", "d:d/ä b%20", "d:e/f")
    ws.run("rm", "d:e/f")
    assert not ws.behind.exists("e/f")


def test_a_replaced_file_is_replaced_and_a_folder_is_renamed(ws):
    (ws.cwd / "f").write_bytes(b"new")
    ws.behind.mkdir("d")
    ws.behind.ask("PUT", "d", "SETOWNER", owner="guest")
    ws.behind.put("d/f", "old")
    ws.run("cp", "--overwrite", "f", "d:d/f")
    assert ws.behind.get("d/f") == b"new"
    ws.run("mv", "d:d/", "d:e")
    assert ws.behind.get("e/f") == b"new"


def test_a_token_and_the_next_one(ws):
    ws.with_token(ws.gateway.token("guest"))
    (ws.cwd / "f").write_bytes(DATA[:3000])
    ws.run("cp", "f", "d:f")
    assert ws.run("cat", "d:f", text=False).out == DATA[:3000]
    ws.with_token(ws.gateway.token("guest", -60))
    err = ws.run("cat", "d:f", code=NO_PERMISSION).err
    assert "token" in err and ws.secret.read_text() not in err


@needs_fuse
def test_a_mount_goes_on_with_the_token_that_somebody_renewed(ws):
    ws.behind.put("f", DATA)
    short = ws.gateway.token("guest", 30)  # time enough to mount on a busy machine
    ws.with_token(short)
    with ws.mounted("d:") as m, open(m / "f", "rb", buffering=0) as f:
        assert f.read(1000) == DATA[:1000]
        ws.secret.write_text(ws.gateway.token("guest"))
        until("the end of the first token", lambda: ws.gateway.status("tokens", short) == 401)
        assert os.pread(f.fileno(), 1000, 15 << 20) == DATA[15 << 20 :][:1000]


def test_a_wrong_password_says_whose(ws):
    ws.secret.write_text("wrongword")
    err = ws.run("ls", "d:", code=NO_PERMISSION).err
    assert "password of 'guest'" in err and "wrongword" not in err
    ws.without_gateway()
    assert '"gateway"' in ws.run("ls", "d:", code=NO_PERMISSION).err


def test_the_header_against_cross_site_requests_has_a_name(ws):
    (ws.cwd / "f").write_bytes(b"x")
    ws.entry("strict")
    assert '"csrf_header"' in ws.run("cp", "f", "d:f", code=BAD_INPUT).err
    ws.entry("strict", csrf_header="X-Of-Ours")
    ws.run("cp", "f", "d:f")
    assert ws.behind.get("f") == b"x"


def test_who_is_asked_for_one_credential_gets_one(ws):
    ws.entry(kerberos={})
    assert "more than one" in ws.run("ls", "d:", code=BAD_INPUT).err
    ws.entry(gateway={"user": "guest"})
    assert "password" in ws.run("ls", "d:", code=BAD_INPUT).err


def test_the_password_is_in_no_argument_url_or_log(ws):
    ws.behind.put("f", b"x")
    log = ws.cwd / "strace"
    subprocess.run(
        ["strace", "-f", "-qq", "-s", "6000", "-e", "trace=execve,write,sendto", "-o", log,
         "sluice", "cat", "d:f"],
        cwd=ws.cwd, env={**traced(ws.env), "SLUICE_LOG": "debug"}, check=True, capture_output=True,
    )  # fmt: skip
    text = log.read_text(errors="replace")
    assert "execve" in text and "debug" in text and not [x for x in (knox.PASSWORD, BASIC) if x in text]


def test_the_credential_goes_to_the_gateway_alone(ws, hdfs):
    """One that leads elsewhere for the data is not followed there with it."""
    ws.behind.put("f", b"x")
    with between(hdfs.web, through=False) as other:
        ws.entry(namenode=other.address, protocol="http", http_path="/elsewhere/webhdfs/v1")
        err = ws.run("cat", "d:f", code=NO_PERMISSION).err
        assert hdfs.datanode_web in err and "alone" in err
