# SPDX-License-Identifier: Apache-2.0
"""What the emulator cannot play, on the blob test server: copies between accounts by the service, versions, CRC64.
It is written from the service's reference; no real service has confirmed these."""

import contextlib
import hashlib
import os

import pytest
from conftest import BAD_INPUT, EXISTS, NOT_FOUND, Workspace, needs_fuse
from jobs import run_job, write_job
from stores import BlobStore

pytest.importorskip("blobd")
import blobd as servers

SIZES = [0, 3, 5 << 20, (70 << 20) + 1]


@contextlib.contextmanager
def server(folder, *options, **more):
    if not servers.program():
        pytest.skip("no blob test server here (tools/dev test builds it)")
    folder.mkdir()
    running = servers.Blobd(folder, *options, **more)
    try:
        yield running
    finally:
        running.stop()


def add(ws, name, store, **change):
    pairs = {**store.entry(), **change}
    ws.run("datastore", "create", name, *sum([["--set", f"{k}={v}"] for k, v in pairs.items()], []))


@pytest.fixture
def two(tmp_path):
    """A workspace in one account, and a container of another as datastore `other`."""
    with server(tmp_path / "a") as a, server(tmp_path / "b", account="otheraccount") as b:
        ws = Workspace(tmp_path, BlobStore(a, "here"))
        ws.other = BlobStore(b, "there")
        ws.other.container.create_container()
        add(ws, "other", ws.other)
        yield ws


def operations(running):
    return [entry["op"] for entry in running.log()]


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_between_accounts_moves_no_bytes_through_us(two, size):
    data = os.urandom(size)
    two.put("in/späce #1", data)
    here, there = two.store.server, two.other.server
    with here.failing(), there.failing():
        two.run("cp", two.ref("in/späce #1"), "other:out/f")
        wrote, read = operations(there), operations(here)
    assert two.other.get("out/f") == data if size else two.other.exists("out/f")
    assert not {"put", "putblock"} & set(wrote)
    assert ("blockfromurl" in wrote) == (size > 64 << 20) and ("putfromurl" in wrote) == (size <= 64 << 20)
    assert "get" in read or not size


def test_what_a_blob_carries_comes_with_it(two):
    from azure.storage.blob import ContentSettings

    settings = ContentSettings(content_type="text/csv", content_encoding="gzip", cache_control="no-store")
    data = os.urandom(65 << 20)
    two.store.container.upload_blob("f", data, content_settings=settings, metadata={"owner": "me"}, max_concurrency=4)
    two.run("cp", two.ref("f"), "other:f")
    got = two.other.container.get_blob_client("f").get_blob_properties()
    assert (got.content_settings.content_type, got.content_settings.content_encoding) == ("text/csv", "gzip")
    assert got.content_settings.cache_control == "no-store" and got.metadata == {"owner": "me"}


def test_what_the_service_cannot_fetch_goes_through_us(two):
    there = two.other.server
    for i, size in enumerate(SIZES[1:]):
        two.put(f"in/{i}", os.urandom(size))
    rules = (
        "putfromurl * * status 403 CannotVerifyCopySource",
        "blockfromurl * * status 403 CannotVerifyCopySource",
    )
    with there.failing(*rules):
        two.run("cp", "-R", two.ref("in"), "other:in/")
        refused = len(there.fired())
    assert refused >= 1
    for path, data in two.placed.items():
        assert two.other.get(path) == data


def test_a_lost_answer_is_no_second_copy(two):
    """The service did it and the answer is lost: the bytes go through us, and are the same."""
    two.put("f", b"bytes")
    with two.other.server.failing("putfromurl * 1 lost") as there:
        two.run("cp", "--overwrite", two.ref("f"), "other:f")
        assert there.fired()
    assert two.other.get("f") == b"bytes"
    two.run("cp", two.ref("f"), "other:f", code=EXISTS)


def test_an_earlier_version_is_read_by_its_uri(tmp_path):
    with server(tmp_path / "a", "--versions") as a:
        ws = Workspace(tmp_path, BlobStore(a, "v"))
        client = ws.store.container.get_blob_client("in/f.csv")
        old = client.upload_blob(b"old")["version_id"]
        new = client.upload_blob(b"newer", overwrite=True)["version_id"]
        assert old and old != new
        for version, data in ((old, "old"), (new, "newer")):
            ref = f"{ws.ref('in/f.csv')}?versionid={version}"
            assert ws.run("cat", ref).out == data
            assert ws.json("stat", ref)["size"] == len(data)
        ws.run("cp", f"{ws.ref('in/f.csv')}?versionid={old}", ws.ref("restored"))
        assert ws.get("restored") == b"old"
        gone = f"{ws.ref('in/f.csv')}?versionid=2020-01-01T00:00:00.0000000Z"
        assert "has no versionid=2020" in ws.run("cat", gone, code=NOT_FOUND).err


@pytest.fixture
def one(tmp_path):
    with server(tmp_path / "a") as a:
        ws = Workspace(tmp_path, BlobStore(a, "one"))
        add(ws, "checked", ws.store, check_ranges="fail-if-different-or-missing")
        ws.server = a
        yield ws


def test_ranges_are_checked_by_their_crc64(one):
    data = os.urandom(21 << 20)
    one.put("in/f", data)
    one.run("download", "checked:in", "out")
    assert (one.cwd / "out/f").read_bytes() == data
    # damage on the way is seen, and read once more
    with one.server.failing("get */in/f 2 flip 1000") as a:
        one.run("download", "checked:in", "again")
        assert a.fired()
    assert (one.cwd / "again/f").read_bytes() == data


@pytest.mark.parametrize("verb", ["cp", "download"])
@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_a_long_file_that_arrives_damaged_is_not_there(one, verb, chunk):
    """Its ranges come in any order and are hashed in theirs."""
    data = os.urandom(40 << 20)
    (one.cwd / "f").write_bytes(data)
    one.run("cp", "f", one.ref("in/f"))
    with one.server.failing(f"get */in/f {chunk} flip 5000") as a:
        done = one.start(verb, one.ref("in/f"), "out", stderr=-1)
        err = done.communicate()[1].decode()
        assert a.fired() and done.returncode == BAD_INPUT
    assert "arrived damaged" in err
    assert not any(p.is_file() for p in [one.cwd / "out", *(one.cwd / "out").glob("**/*")])
    one.run(verb, one.ref("in/f"), "again")
    got = one.cwd / ("again" if verb == "cp" else "again/f")
    assert got.read_bytes() == data


def test_blocks_damaged_on_their_way_are_refused(one):
    """The service compares x-ms-content-crc64; what it refuses is sent again."""
    data = os.urandom(20 << 20)
    (one.cwd / "f").write_bytes(data)
    with one.server.failing("putblock * 1 status 400 Crc64Mismatch") as a:
        one.run("cp", "f", one.ref("f"))
        assert a.fired()
    assert one.get("f") == data


def test_a_commit_of_which_the_answer_is_lost_is_looked_for(one):
    """A second one, which finds its blocks used up, is no error either."""
    data = os.urandom(20 << 20)
    (one.cwd / "f").write_bytes(data)
    with one.server.failing("putlist * 1 lost") as a:
        one.run("cp", "f", one.ref("f"))
        assert a.fired() and "getblocks" in operations(a)
    assert one.get("f") == data


def test_an_uploaded_output_has_an_md5_whatever_its_size(one):
    """The writer of outputs does not know their length beforehand."""
    job = """
        command: head -c 20000000 /dev/zero > ${{outputs.o}}/big
        outputs: {o: {type: uri_folder, mode: upload, path: "azureml://datastores/workspaceblobstore/paths/out"}}
    """
    run_job(one, write_job(one, "job.yml", job))
    got = one.store.container.get_blob_client("out/big").get_blob_properties()
    assert bytes(got.content_settings.content_md5) == hashlib.md5(bytes(20_000_000)).digest()


def test_what_grows_while_it_is_fetched_is_a_clean_error(one):
    data = os.urandom(40 << 20)
    one.put("in/log", data)
    with one.server.failing("get */in/log 3 change") as a:
        done = one.start("download", one.ref("in"), "out", stderr=-1)
        err = done.communicate()[1].decode()
        assert a.fired() and done.returncode != 0
    assert "changed" in err and "'log'" in err
    assert not (one.cwd / "out/log").exists()


@needs_fuse
def test_a_mount_lists_a_folder_once_whatever_page_tells_it(tmp_path):
    """Between a folder's marker and what its files share other names fit, and ends of pages."""
    with server(tmp_path / "a", "--page", 1) as a:
        ws = Workspace(tmp_path, BlobStore(a, "here"))
        names = ["d", "d!", "d!-1", "d-1", "e"]
        ws.run("mkdir", *[ws.ref(f"in/{name}") for name in names])
        ws.put_all({f"in/{name}/f": b"x" for name in names if name != "d!-1"} | {"in/d-0": b"x"})
        with ws.mounted(ws.ref("in"), None, "--live") as m:
            fd = os.open(m, os.O_RDONLY)
            for _ in range(2):  # also back at the beginning
                assert sorted(os.listdir(fd)) == sorted([*names, "d-0"])
                os.lseek(fd, 0, os.SEEK_SET)
            os.close(fd)
