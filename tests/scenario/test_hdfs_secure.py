# SPDX-License-Identifier: Apache-2.0
"""An HDFS of five DataNodes whose data transfer is encrypted by a key of the NameNode."""

import contextlib
import json
import os
import random
import subprocess
import urllib.parse
import urllib.request

import hdfs_server
import pytest
from conftest import Sluice, needs_fuse, traced

pytestmark = pytest.mark.xdist_group("hdfs-secure")
DEEP = pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="a cluster each: SLUICE_DEEP=1")
ENCRYPTED = {"dfs.block.access.token.enable": "true", "dfs.encrypt.data.transfer": "true"}
AES = {"dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding"}
MIB = 1 << 20
DATA = random.Random(11).randbytes(3 * MIB + 777)
TELLING = b"a line that nobody else may read\n" * 1000


def cluster(folder, datanodes=1, **settings):
    hdfs_server.need()
    return hdfs_server.Hdfs(folder, datanodes, **{"dfs.blocksize": MIB, **settings})


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    server = cluster(tmp_path_factory.mktemp("encrypted"), 5, **ENCRYPTED, **AES)
    yield server
    server.stop()


class Native(Sluice):
    """A workspace with a datastore `d`; there is no WebHDFS at the address that it names."""

    def __init__(self, cwd, server):
        super().__init__(cwd)
        self.server = server
        self.run("init", ".", "--name", "test")
        self.entry(namenode=server.rpc, http_address="127.0.0.1:1", protocol="native")

    def entry(self, **entry):
        config = json.loads((self.cwd / "config.json").read_text())
        config["datastores"]["d"] = {"type": "hdfs", "path": f"/secure{self.cwd}", **entry}
        (self.cwd / "config.json").write_text(json.dumps(config))

    def put(self, name, data=DATA):
        (self.cwd / "local").write_bytes(data)
        self.run("cp", "local", f"d:{name}")

    def writes_and_reads(self):
        self.put("a/b")
        assert self.run("cat", "d:a/b", text=False).out == DATA


@pytest.fixture
def ws(encrypted, tmp_path):
    return Native(tmp_path, encrypted)


def over_tcp(ws, *args):
    """What a command and its servers say to one another."""
    log = ws.cwd / "strace"
    calls = "trace=sendto,sendmsg,writev,recvfrom,recvmsg,readv"
    subprocess.run(
        ["strace", "-f", "-qq", "-yy", "-s", "200000", "-e", calls, "-o", log, "sluice", *args],
        cwd=ws.cwd, env=traced(ws.env), check=True, capture_output=True,
    )  # fmt: skip
    return "".join(line for line in log.read_text(errors="replace").splitlines() if "<TCP:" in line)


def test_encrypted_data_is_written_and_read(ws):
    ws.writes_and_reads()
    assert ws.run("ls", "-R", "d:").out.split() == ["a/b"]
    assert ws.json("stat", "d:a/b")["size"] == len(DATA)


def test_nothing_goes_over_the_wire_in_the_clear(ws):
    (ws.cwd / "secret").write_bytes(TELLING)
    for args in ("cp", "secret", "d:secret"), ("cat", "d:secret"):
        said = over_tcp(ws, *args)
        assert "getDataEncryptionKey" in said and "that nobody else" not in said


@needs_fuse
def test_any_range_of_encrypted_blocks(ws):
    ws.put("f")
    pick = random.Random(3)
    with ws.mounted("d:") as m, open(m / "f", "rb", buffering=0) as f:
        for _ in range(40):
            off, n = pick.randrange(len(DATA)), pick.randrange(1, 300_000)
            assert os.pread(f.fileno(), n, off) == DATA[off : off + n], (off, n)


@DEEP
@pytest.mark.parametrize(
    "settings",
    [
        {"dfs.encrypt.data.transfer.algorithm": "rc4"},
        {"dfs.encrypt.data.transfer.algorithm": "3des"},
        {},
    ],
    ids=["rc4", "3des", "default"],
)
def test_each_cipher_of_a_cluster(tmp_path, settings):
    server = cluster(tmp_path / "hdfs", **ENCRYPTED, **settings)
    try:
        Native(tmp_path, server).writes_and_reads()
    finally:
        server.stop()


def web(server, method, path, **params):
    """A request to the NameNode, and to the DataNode it names."""
    query = urllib.parse.urlencode({"user.name": server.user, **params})
    request = urllib.request.Request(f"http://{server.web}/webhdfs/v1{path}?{query}", method=method)
    return urllib.request.urlopen(request, timeout=60).read()


# --- encryption zones ---


class Zones(hdfs_server.Hdfs):
    """With a key in a file, which stands for a KMS."""

    def __init__(self, folder, **settings):
        provider = f"jceks://file@{folder}/keys.jceks"
        conf = folder / "key"
        conf.mkdir(parents=True)
        hdfs_server.write_conf(conf / "core-site.xml", {"hadoop.security.key.provider.path": provider})
        self.tool(conf, "crypto.key.KeyShell", "create", "key1", "-size", "128")
        self.core = {**self.core, "hadoop.security.key.provider.path": provider}
        super().__init__(folder, **settings)

    def tool(self, conf, main, *args):
        path = f"{conf}:{hdfs_server.jars()}/*"
        command = [hdfs_server.JAVA, *hdfs_server.JVM, "-cp", path, f"org.apache.hadoop.{main}", *args]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


@DEEP
def test_files_of_an_encryption_zone_go_by_webhdfs_which_is_said_once(tmp_path):
    """The DataNode decrypts them; natively there would be what only the key makes readable."""
    if not hdfs_server.jars():
        pytest.skip("no HDFS")
    server = Zones(tmp_path / "hdfs", **{"dfs.blocksize": 65536})
    try:
        web(server, "PUT", "/zone", op="MKDIRS", permission="777")
        server.tool(server.conf, "hdfs.tools.CryptoAdmin", "-createZone", "-keyName", "key1", "-path", "/zone")
        ws = Native(tmp_path, server)
        ws.entry(namenode=server.rpc, http_address=server.web, protocol="native", path="/zone")
        for name in "a", "b":
            (ws.cwd / name).write_bytes(DATA[:200_000])
        for done in ws.run("cp", "a", "b", "d:many/"), ws.run("download", "d:many", "out"):
            said = [line for line in done.err.splitlines() if "WebHDFS" in line]
            assert len(said) == 1 and "encrypted" in said[0] and "'many/" in said[0], done.err
        assert (ws.cwd / "out" / "b").read_bytes() == DATA[:200_000]
    finally:
        server.stop()


# --- erasure-coded files ---


RS, XOR = "RS-3-2-1024k", "XOR-2-1-1024k"
STRIPED = {policy: random.Random(policy).randbytes(4 * MIB + 54_321) for policy in (RS, XOR)}


@pytest.fixture(scope="module")
def striped(encrypted):
    """A folder for each policy, with a file that the server coded."""
    for policy, data in STRIPED.items():
        web(encrypted, "PUT", "/", op="ENABLEECPOLICY", ecpolicy=policy)
        web(encrypted, "PUT", f"/{policy}", op="MKDIRS", permission="777")
        web(encrypted, "PUT", f"/{policy}", op="SETECPOLICY", ecpolicy=policy)
        by_webhdfs(encrypted, policy, "f", data)
        by_webhdfs(encrypted, policy, "small", data[:1000])
    return encrypted


def by_webhdfs(server, policy, name, data):
    location = json.loads(web(server, "PUT", f"/{policy}/{name}", op="CREATE", noredirect="true", overwrite="true"))[
        "Location"
    ]
    urllib.request.urlopen(urllib.request.Request(location, data=data, method="PUT"), timeout=60)


@pytest.fixture
def coded(striped, tmp_path):
    ws = Native(tmp_path, striped)
    ws.entry(namenode=striped.rpc, http_address="127.0.0.1:1", protocol="native", path="/")
    return ws


def same(ws, ways=8):
    """Whole, and in ranges that begin and end anywhere."""
    pick = random.Random(5)
    for policy, data in STRIPED.items():
        assert ws.run("cat", f"d:{policy}/f", text=False).out == data, policy
        assert ws.run("cat", f"d:{policy}/small", text=False).out == data[:1000], policy
        with ws.mounted(f"d:{policy}") as m, open(m / "f", "rb", buffering=0) as f:
            for _ in range(ways):
                off, n = pick.randrange(len(data)), pick.randrange(1, 3 * MIB)
                assert os.pread(f.fileno(), n, off) == data[off : off + n], (policy, off, n)


@needs_fuse
def test_erasure_coded_files_are_read_natively(coded):
    same(coded)


def test_a_file_is_written_there_by_webhdfs_which_is_said_once(coded, striped):
    for name in "ab":
        (coded.cwd / name).write_bytes(DATA[:5000])
    coded.entry(namenode=striped.rpc, http_address=striped.web, protocol="native", path=f"/{XOR}")
    coded.run("cp", "a", "d:a")
    assert coded.run("cat", "d:a", text=False).out == DATA[:5000]
    coded.entry(namenode=striped.web, rpc_address=striped.rpc, protocol="http", path=f"/{RS}")
    done = coded.run("cp", "a", "b", "d:many/")
    said = [line for line in done.err.splitlines() if "WebHDFS" in line]
    assert len(said) == 1 and "erasure-coded" in said[0] and "'many/" in said[0], done.err
    assert coded.run("cat", "d:many/b", text=False).out == DATA[:5000]


@needs_fuse
def test_lost_blocks_are_decoded(coded, striped):
    """As many DataNodes die as the weakest code bears; a block of another is damaged, which the stronger one bears too."""
    striped.processes[1].kill()
    striped.processes[1].wait()
    same(coded, 4)
    damage(striped)
    done = coded.run("cat", f"d:{RS}/f", text=False)
    assert done.out == STRIPED[RS]
    assert b"is damaged: the NameNode is told" in done.err, done.err


def damage(server):
    """A bit of a cell of the first group of the stronger code, on a DataNode that lives."""
    cells = [STRIPED[RS][i * MIB : i * MIB + 64] for i in range(3)]
    for replica in (r for datanode in range(1, 5) for r in server.replicas(datanode)):
        data = bytearray()
        with contextlib.suppress(FileNotFoundError):  # what was deleted goes in its time
            data += replica.read_bytes()
        if len(data) == MIB and bytes(data[:64]) in cells:
            data[100] ^= 1
            replica.write_bytes(data)
            return
    raise AssertionError("there is no such replica")
