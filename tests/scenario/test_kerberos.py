# SPDX-License-Identifier: Apache-2.0
"""An HDFS that wants Kerberos, with a KDC of its own: who we are, by keytab, by ticket, by token; and what is said when it is not
so."""

import json
import os
import random
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpfs
import kerberos_server
import pytest
from conftest import BAD_INPUT, NO_PERMISSION, NOT_FOUND, Sluice, needs_fuse, traced, until
from hdfs_server import need

pytestmark = pytest.mark.xdist_group("kerberos")
DATA = os.urandom(300_000)
CANCELED = 11


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    need()
    if kerberos_server.missing():
        pytest.skip(f"no KDC: {', '.join(kerberos_server.missing())} (Debian: krb5-kdc, krb5-admin-server, krb5-user)")
    folder = tmp_path_factory.mktemp("kerberos")
    kdc = kerberos_server.Kdc(folder / "kdc")
    kdc.alice = kdc.keytab("alice", "alice")
    server = kerberos_server.SecureHdfs(
        folder / "hdfs", kdc, **{"dfs.namenode.delegation.token.renew-interval": 100_000, "dfs.blocksize": 65536}
    )
    yield server
    server.stop()
    kdc.stop()


class Secured(Sluice):
    """A workspace with a datastore `d` on the secure HDFS."""

    def __init__(self, cwd, server):
        super().__init__(cwd)
        self.server = server
        self.run("init", ".", "--name", "test")
        self.env["KRB5_CONFIG"] = str(server.kdc.conf)
        self.env["KRB5CCNAME"] = f"FILE:{cwd}/cc"
        self.folder = f"/kerberos{cwd}"
        self.entry()

    def entry(self, **more):
        config = json.loads((self.cwd / "config.json").read_text())
        config["datastores"]["d"] = {
            "type": "hdfs", "namenode": self.server.web, "path": self.folder, "protocol": "http", **more,
        }  # fmt: skip
        (self.cwd / "config.json").write_text(json.dumps(config))

    def with_keytab(self, **more):
        self.entry(kerberos={"principal": "alice", "keytab": str(self.server.kdc.alice)}, **more)

    def kinit(self, *options, cache="cc"):
        return self.server.kdc.tickets(self.server.kdc.alice, "alice", self.cwd / cache, *options)

    def chmod(self, name, mode):
        self.server.tool(
            "fs.FsShell",
            "-chmod",
            mode,
            f"{self.folder}/{name}".rstrip("/"),
            env={"KRB5CCNAME": f"FILE:{self.kinit(cache='shell')}"},
        )

    def put(self, name, data=DATA):
        (self.cwd / "local").write_bytes(data)
        self.run("cp", "local", f"d:{name}")


@pytest.fixture
def ws(secure, tmp_path):
    return Secured(tmp_path, secure)


def test_a_keytab_writes_reads_lists_and_deletes(ws):
    ws.with_keytab()
    ws.put("a/b")
    assert ws.run("cat", "d:a/b", text=False).out == DATA
    assert ws.run("ls", "-R", "d:").out.split() == ["a/b"]
    assert ws.json("stat", "d:a/b")["detail"]["owner"] == "alice"
    ws.run("rm", "d:a/b")
    assert not ws.run("ls", "-R", "d:").out.split()


@needs_fuse
def test_a_mount_by_keytab_renews_its_token(ws, secure):
    """A token lives for 100 s here; reading goes on with it, and it is cancelled at the end."""
    ws.with_keytab()
    ws.put("f")
    renewed, canceled = (len(secure.calls(f"{c}DelegationToken")) for c in ("renew", "cancel"))
    with ws.mounted("d:") as m:
        assert (m / "f").read_bytes() == DATA
        until("a renewal", lambda: len(secure.calls("renewDelegationToken")) > renewed)
        if os.environ.get("SLUICE_DEEP"):
            until("one at half life", lambda: len(secure.calls("renewDelegationToken")) > renewed + 1)
    until("its end", lambda: len(secure.calls("cancelDelegationToken")) > canceled)


def test_a_ticket_cache_of_the_user_or_of_the_entry(ws):
    ws.with_keytab()
    ws.put("f")
    ws.entry(kerberos={})
    ws.kinit()
    assert ws.run("cat", "d:f", text=False).out == DATA
    other = ws.kinit(cache="other")
    ws.env["KRB5CCNAME"] = f"FILE:{ws.cwd}/none"
    ws.entry(kerberos={"ccache": f"FILE:{other}"})
    assert ws.run("cat", "d:f", text=False).out == DATA


def test_one_token_serves_all_requests(ws, secure):
    ws.with_keytab()
    for i in range(6):
        ws.put(f"many/{i}", b"x")
    before = len(secure.calls("getDelegationToken")), len(secure.calls("open"))
    ws.run("download", "d:many", "out")
    assert len([p for p in (ws.cwd / "out").iterdir() if p.name.isdigit()]) == 6
    assert len(secure.calls("getDelegationToken")) == before[0] + 1
    assert set(secure.calls("open")[before[1] :]) == {"alice (auth:TOKEN)"}


def refused(ws, *words):
    err = ws.run("ls", "d:", code=NO_PERMISSION).err
    assert len(err.splitlines()) == 1 and all(w in err for w in words), err
    assert all(w in told(ws) for w in words), told(ws)


def told(ws):
    """What the doctor says of the datastore."""
    done = subprocess.run(
        ["sluice", "doctor", "--output", "json"], cwd=ws.cwd, env=ws.env, capture_output=True, text=True
    )
    return next(x["detail"] for x in json.loads(done.stdout) if x["check"] == "datastore d")


def test_without_a_ticket_the_remedy_is_named(ws):
    ws.entry(kerberos={})
    refused(ws, "no Kerberos ticket", "run kinit")
    ws.entry()
    refused(ws, "wants Kerberos")


def test_an_expired_ticket(ws):
    ws.kinit("-l", "1s")
    until("the end of the ticket", lambda: is_over(ws))
    for by in {}, {"namenode": ws.server.rpc, "http_address": "localhost:1", "protocol": "native"}:
        ws.entry(kerberos={}, **by)
        refused(ws, "expired", "kinit")


def is_over(ws):
    try:
        ws.server.kdc.run("klist", "-s", "-c", f"FILE:{ws.cwd}/cc")
    except Exception:
        return True
    return False


@pytest.mark.parametrize(
    ("kerberos", "words"),
    [
        ({"principal": "bob"}, ["bob", "keytab"]),
        ({"principal": "alice@NO.WHERE"}, ["alice@NO.WHERE"]),
        ({"keytab": "/no/keytab"}, ["/no/keytab", "path"]),
    ],
)
def test_a_wrong_principal_realm_or_keytab(ws, kerberos, words):
    ws.entry(kerberos={"principal": "alice", "keytab": str(ws.server.kdc.alice), **kerberos})
    refused(ws, "no Kerberos ticket", *words)


def test_a_keytab_whose_key_was_replaced(ws):
    old = ws.server.kdc.keytab("carol", "carol")
    ws.server.kdc.admin("cpw -randkey carol")
    ws.entry(kerberos={"principal": "carol", "keytab": str(old)})
    refused(ws, "no Kerberos ticket of carol", "export the keytab anew")


def test_a_server_without_a_principal(ws):
    ws.with_keytab(namenode=ws.server.web.replace("localhost", "127.0.0.1"))
    refused(ws, "127.0.0.1", "name the server as its principal does")


@pytest.fixture
def liar(ws, tmp_path):
    """A library that is preloaded: it lies about the time and about names."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    path = tmp_path / "liar.so"
    source = Path(__file__).parent / "liar.c"
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    ws.env["LD_PRELOAD"] = str(path)


def krb5_conf(ws, *lines):
    """Its krb5.conf with other settings."""
    names = {x.split(" = ")[0] for x in lines}
    old = [x for x in ws.server.kdc.conf.read_text().splitlines() if x.strip().split(" = ")[0] not in names]
    (ws.cwd / "krb5.conf").write_text("\n".join([old[0], *(f" {x}" for x in lines), *old[1:], ""]))
    ws.env["KRB5_CONFIG"] = str(ws.cwd / "krb5.conf")


@pytest.mark.skipif(os.environ.get("SLUICE_RUNG", "scenario") != "scenario", reason="no preloading before sanitizers")
def test_a_clock_that_is_off(ws, liar):
    ws.with_keytab()
    ws.env["LIAR_SECONDS"] = "1200"
    ws.run("ls", "d:", code=NOT_FOUND)  # libkrb5 goes by the KDC's clock, if it may
    ws.env["LIAR_SECONDS"] = "7200"  # more than a ticket lives
    refused(ws, "set the clock")
    krb5_conf(ws, "kdc_timesync = 0")
    refused(ws, "Clock skew too great", "set the clock")


@pytest.mark.skipif(os.environ.get("SLUICE_RUNG", "scenario") != "scenario", reason="no preloading before sanitizers")
def test_a_reverse_look_up_that_leads_astray(ws, liar):
    ws.with_keytab()
    krb5_conf(ws, "rdns = true", "dns_canonicalize_hostname = true", "kdc_timesync = 1")
    ws.env["LIAR_NAME"] = "gate.sluice.test"
    refused(ws, "gate.sluice.test", "rdns = false")


def test_a_password_by_reference(ws):
    ws.server.kdc.admin("addprinc -pw opensesame dave")
    ws.entry(kerberos={"principal": "dave", "password": "env:DAVE"}, path="/")
    ws.run("ls", "d:", env={"DAVE": "opensesame"})
    err = ws.run("ls", "d:", env={"DAVE": "wrongword"}, code=NO_PERMISSION).err
    assert "correct the password" in err and "wrongword" not in err


def test_a_kdc_that_is_down(ws):
    conf = ws.cwd / "krb5.conf"
    ws.server.kdc.write_conf(conf, kerberos_server.REALM, 1)
    ws.env["KRB5_CONFIG"] = str(conf)
    ws.with_keytab()
    assert "Cannot contact any KDC" in told(ws) and "krb5.conf" in told(ws)


# --- on behalf of others, and by a gateway ---


def test_on_behalf_of_another_by_kerberos(ws):
    """His files are his, and who asks is known by the ticket."""
    ws.with_keytab()
    ws.put("mine")
    ws.chmod("", "777")
    ws.with_keytab(doas="bob")
    ws.put("his")
    assert ws.json("stat", "d:his")["detail"]["owner"] == "bob"
    assert ws.run("cat", "d:mine", text=False).out == DATA
    ws.with_keytab()
    ws.chmod("mine", "600")
    ws.with_keytab(doas="bob")
    assert "bob" in ws.run("cat", "d:mine", code=NO_PERMISSION).err


@pytest.fixture(scope="module")
def gateway(secure, tmp_path_factory):
    if not httpfs.jar():
        pytest.skip("no HttpFS: SLUICE_HTTPFS_JARS is missing (tools/dev deps scenario)")
    server = httpfs.SecureHttpFs(tmp_path_factory.mktemp("httpfs"), secure)
    yield server
    server.stop()


@needs_fuse
def test_httpfs_by_kerberos(ws, gateway, secure):
    """It sends for the data to itself: there the cookie goes along."""
    ws.with_keytab(namenode=gateway.web)
    ws.put("f")
    assert ws.run("cat", "d:f", text=False).out == DATA
    ws.run("download", "d:f", "out")
    assert (ws.cwd / "out/f").read_bytes() == DATA
    with ws.mounted("d:") as m:
        assert (m / "f").read_bytes() == DATA
    assert "alice via httpfs" in secure.calls("create", "rpc")[-1].replace("@SLUICE.TEST", "").replace(
        " (auth:PROXY)", ""
    )
    ws.with_keytab(namenode=gateway.web, doas="bob")
    assert ws.run("cat", "d:f", text=False).out == DATA


def test_httpfs_without_a_ticket(ws, gateway):
    ws.entry(namenode=gateway.web)
    refused(ws, "kerberos")


# --- by Hadoop's own protocols ---


def test_rpc_by_keytab_without_webhdfs(ws, secure):
    """Kerberos (GSSAPI) at the NameNode, tokens of blocks at the DataNode."""
    ws.with_keytab(namenode=secure.rpc, http_address="localhost:1", protocol="native")
    ws.put("a/b")
    assert ws.run("cat", "d:a/b", text=False).out == DATA
    assert ws.run("ls", "-R", "d:").out.split() == ["a/b"]
    assert "alice@SLUICE.TEST (auth:KERBEROS)" in secure.calls("create", "rpc")


def test_rpc_by_token_without_webhdfs(ws, secure, token_file):
    """DIGEST-MD5 with the token of a job."""
    ws.entry(namenode=secure.rpc, http_address="localhost:1", protocol="native", credential=f"file:{token_file}")
    ws.put("t")
    assert ws.run("cat", "d:t", text=False).out == DATA
    assert secure.calls("open", "rpc")[-1] == "alice@SLUICE.TEST (auth:TOKEN)"


@needs_fuse
def test_a_mount_by_rpc_and_kerberos(ws, secure):
    ws.with_keytab(rpc_address=secure.rpc)
    ws.put("f")
    opened = len(secure.calls("open"))
    with ws.mounted("d:") as m:
        assert (m / "f").read_bytes() == DATA
    assert len(secure.calls("open")) == opened  # none by WebHDFS


def test_rpc_without_a_ticket_says_so(ws, secure):
    ws.entry(namenode=secure.rpc, http_address="localhost:1", protocol="native", kerberos={})
    refused(ws, "no Kerberos ticket", "run kinit")


# --- with everything protected ---


class Sealed(kerberos_server.SecureHdfs):
    """RPC is encrypted, and so is what goes to and from DataNodes."""

    more_core = {"hadoop.rpc.protection": "privacy"}


@contextmanager
def sealed_cluster(folder, kdc, protection, **settings):
    server = Sealed(folder, kdc, **{"dfs.data.transfer.protection": protection, "dfs.blocksize": 65536, **settings})
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def sealed(secure, tmp_path_factory):
    aes = {"dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding"}
    with sealed_cluster(tmp_path_factory.mktemp("sealed"), secure.kdc, "privacy", **aes) as server:
        yield server


def write_and_read(ws):
    ws.with_keytab(namenode=ws.server.rpc, http_address="localhost:1", protocol="native")
    ws.put("a/b")
    assert ws.run("cat", "d:a/b", text=False).out == DATA
    assert ws.run("ls", "-R", "d:").out.split() == ["a/b"]


def test_rpc_and_data_are_encrypted(sealed, tmp_path):
    """3DES or Kerberos's own for RPC, AES for data; nothing goes by WebHDFS."""
    write_and_read(Secured(tmp_path, sealed))


@needs_fuse
def test_any_range_of_an_encrypted_block(sealed, tmp_path):
    ws = Secured(tmp_path, sealed)
    ws.with_keytab(namenode=sealed.rpc, http_address="localhost:1", protocol="native")
    ws.put("f")
    pick = random.Random(3)
    with ws.mounted("d:") as m, open(m / "f", "rb", buffering=0) as f:
        for _ in range(40):
            off, n = pick.randrange(len(DATA)), pick.randrange(1, 100_000)
            assert os.pread(f.fileno(), n, off) == DATA[off : off + n], (off, n)


@pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="a cluster each: SLUICE_DEEP=1")
@pytest.mark.parametrize("protection", ["authentication", "integrity", "privacy"])
def test_each_protection_of_data(secure, tmp_path, protection):
    with sealed_cluster(tmp_path / "hdfs", secure.kdc, protection) as server:
        write_and_read(Secured(tmp_path, server))


@pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="a cluster each: SLUICE_DEEP=1")
def test_the_key_of_a_secure_namenode(secure, tmp_path):
    """Encryption by the NameNode's own key, and Kerberos."""
    with sealed_cluster(tmp_path / "hdfs", secure.kdc, "privacy", **{"dfs.encrypt.data.transfer": "true"}) as server:
        write_and_read(Secured(tmp_path, server))


@pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="a cluster of its own: SLUICE_DEEP=1")
@needs_fuse
def test_https_alone_with_tokens_of_seconds(secure, tmp_path):
    """swebhdfs: names and data by https, by Kerberos; a token lives for 8 s and is renewed at half of that."""
    server = kerberos_server.HttpsHdfs(
        tmp_path / "hdfs", secure.kdc, **{"dfs.namenode.delegation.token.renew-interval": 8000}
    )
    try:
        (tmp_path / "ws").mkdir()
        ws = Secured(tmp_path / "ws", server)
        ws.with_keytab(protocol="https", ca_file=str(server.ca))
        ws.put("f")
        assert ws.run("hdfs", "d:f").out.strip() == f"swebhdfs://{server.web}{ws.folder}/f"
        with ws.mounted("d:") as m:
            assert (m / "f").read_bytes() == DATA
            until("renewals at half life", lambda: len(server.calls("renewDelegationToken")) > 4)
            ws.put("g")
            assert (m / "f").read_bytes() == DATA
        tokens = set(server.calls("open"))
        assert tokens == {"alice (auth:TOKEN)"}
        ws.with_keytab(protocol="https")
        assert "certificate" in ws.run("ls", "d:", code=NO_PERMISSION).err
    finally:
        server.stop()


# --- tokens ---


@pytest.fixture
def token_file(secure, tmp_path):
    """By Hadoop's own tool, for the RPC service; for each test its own, since nobody renews it."""
    path = tmp_path / "tokens"
    cache = secure.kdc.tickets(secure.kdc.alice, "alice", tmp_path / "judge")
    secure.tool("hdfs.tools.DelegationTokenFetcher", "--renewer", "alice", path, env={"KRB5CCNAME": f"FILE:{cache}"})
    return path


def test_a_token_file_of_hadoop(ws, secure, token_file):
    ws.with_keytab()
    ws.put("f")
    ws.entry(credential=f"file:{token_file}")
    assert ws.run("cat", "d:f", text=False).out == DATA
    assert re.fullmatch(r"alice(@.*)? \(auth:TOKEN\)", secure.calls("open")[-1])
    ws.entry(rpc_address=secure.rpc)
    assert ws.run("cat", "d:f", text=False, env={"HADOOP_TOKEN_FILE_LOCATION": str(token_file)}).out == DATA


def test_a_token_that_was_cancelled(ws, secure, tmp_path):
    """By both protocols it is told, and that another one is needed."""
    tool, token = "hdfs.tools.DelegationTokenFetcher", tmp_path / "own"
    ticket = {"KRB5CCNAME": f"FILE:{ws.kinit(cache='judge')}"}
    secure.tool(tool, "--renewer", "alice", token, env=ticket)
    ways = (
        {},
        {"rpc_address": secure.rpc},
        {"namenode": secure.rpc, "http_address": "localhost:1", "protocol": "native"},
    )
    ws.entry(credential=f"file:{token}", **{**ways[2], "path": "/"})
    ws.run("ls", "d:")
    secure.tool(tool, "--cancel", token, env=ticket)
    for way in ways:
        ws.entry(credential=f"file:{token}", **way)
        refused(ws, "not valid any more", "get a new one")


def test_who_is_ended_cancels_its_token(ws, secure):
    """SIGTERM in the middle of a copy."""
    ws.with_keytab()
    created, canceled = len(secure.calls("create", "rpc")), len(secure.calls("cancelDelegationToken"))
    with subprocess.Popen(
        ["sluice", "cp", "-", "d:f"],
        cwd=ws.cwd, env=ws.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as p:  # fmt: skip
        p.stdin.write(bytes(40_000_000))  # and more is to come
        p.stdin.flush()
        until("what it does with its token", lambda: len(secure.calls("create", "rpc")) > created)
        p.terminate()
        p.wait(timeout=120)  # before its input ends, which would be an end as well
        err = p.stderr.read()
    assert p.returncode == CANCELED, err
    until("the end of its token", lambda: len(secure.calls("cancelDelegationToken")) > canceled)


@pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="a cluster of its own: SLUICE_DEEP=1")
@needs_fuse
def test_a_token_that_lives_for_seconds_is_renewed_again_and_again(secure, tmp_path):
    short = {"dfs.namenode.delegation.token.renew-interval": 4000, "dfs.blocksize": 65536}
    server = kerberos_server.SecureHdfs(tmp_path / "hdfs", secure.kdc, **short)
    try:
        ws = Secured(tmp_path, server)
        ws.with_keytab(protocol="webhdfs")
        ws.put("f")
        with ws.mounted("d:") as m:
            assert (m / "f").read_bytes() == DATA
            until("renewals", lambda: len(server.calls("renewDelegationToken")) >= 5)
            assert (m / "f").read_bytes() == DATA
    finally:
        server.stop()


def test_a_token_for_another_cluster_goes_nowhere(ws, token_file):
    """What the environment has for others is not shown to this server."""
    ws.entry(rpc_address="localhost:1")
    ws.run("ls", "d:", code=NO_PERMISSION, env={"HADOOP_TOKEN_FILE_LOCATION": str(token_file)})


def test_a_token_that_is_none(ws):
    (ws.cwd / "t").write_text("garbage")
    ws.entry(credential=f"file:{ws.cwd}/t")
    err = ws.run("ls", "d:", code=BAD_INPUT).err
    assert "no delegation token" in err and "garbage" not in err


def test_no_credential_reaches_a_datanode(ws, secure):
    ws.with_keytab()
    ws.put("f")
    log = ws.cwd / "strace"
    subprocess.run(
        ["strace", "-f", "-qq", "-s", "6000", "-e", "trace=sendto,sendmsg,write", "-o", log, "sluice", "cat", "d:f"],
        cwd=ws.cwd, env=traced(ws.env), check=True, capture_output=True,
    )  # fmt: skip
    sent = re.findall(r'"((?:GET|PUT) .*?\\r\\n\\r\\n)', log.read_text(errors="replace"))
    to_data = [x for x in sent if f"Host: {secure.datanode_web}" in x]
    to_names = [x for x in sent if f"Host: {secure.web}" in x]
    assert to_data and to_names
    assert any("Negotiate" in x for x in to_names)
    assert not any("Negotiate" in x or "Cookie" in x for x in to_data)


class Believer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"Path": "/user/x", "Token": None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def believer():
    with HTTPServer(("localhost", 0), Believer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_server_that_asks_for_no_proof_is_refused(ws):
    """Who wants Kerberos does not settle for less."""
    with believer() as address:
        ws.with_keytab(namenode=address)
        refused(ws, "does not ask for Kerberos")


def test_a_view_is_all_that_hadoops_own_client_needs(ws):
    """The settings that come with the URI, and nothing of the cluster's; with the ticket that the datastore names."""
    ticket = f"FILE:{ws.kinit(cache='own')}"
    ws.entry(hadoop_conf=str(ws.server.conf), rpc_address=ws.server.rpc, kerberos={"ccache": ticket})
    ws.put("f", b"line\n")
    (ws.cwd / "hadoop").mkdir()
    view = ws.json("hdfs", "d:f", "--core-site", "hadoop/core-site.xml")
    assert view["uri"].startswith("hdfs://") and view["env"] == {"KRB5CCNAME": ticket}
    tool = ("fs.FsShell", "-cat", view["uri"])
    assert ws.server.tool(*tool, env=view["env"], conf=ws.cwd / "hadoop") == "line\n"
