# SPDX-License-Identifier: Apache-2.0
"""Azure Blob: earlier states of a file, files that change while they are read, and ranges that are checked."""

import json
import os

import pytest
from azure.storage.blob import ContentSettings
from conftest import BAD_INPUT, NOT_FOUND, Workspace
from stores import BlobStore


@pytest.fixture
def blob(azurite, tmp_path):
    return Workspace(tmp_path, BlobStore(azurite, f"st-{tmp_path.name.replace('_', '')[-8:]}-{os.urandom(4).hex()}"))


def client(ws, path):
    return ws.store.container.get_blob_client(path)


def set_key(ws, name, value):
    config = json.loads(ws.config.read_text())
    config["datastores"]["workspaceblobstore"][name] = value
    ws.config.write_text(json.dumps(config))


@pytest.mark.parametrize("size", [3, 20 << 20], ids=["small", "blocks"])
def test_a_snapshot_is_read_by_its_uri(blob, size):
    old = os.urandom(size)
    blob.put("in/a b.csv", old)
    when = client(blob, "in/a b.csv").create_snapshot()["snapshot"]
    blob.put("in/a b.csv", b"new")
    ref = f"{blob.ref('in/a b.csv')}?snapshot={when}"
    uri = f"azureml://datastores/workspaceblobstore/paths/in/a%20b.csv?snapshot={when}"
    assert blob.run("cat", ref, text=False).out == old
    assert blob.run("cat", uri, text=False).out == old
    assert blob.json("stat", ref)["size"] == size
    blob.run("cp", ref, "out.csv")
    assert (blob.cwd / "out.csv").read_bytes() == old
    blob.run("cp", ref, blob.ref("restored"))
    assert blob.get("restored") == old
    blob.run("cp", "--overwrite", ref, blob.ref("in/a b.csv"))
    assert blob.get("in/a b.csv") == old


def test_what_a_state_cannot_be(blob):
    blob.put("f", b"1")
    (blob.cwd / "g").write_text("g")
    gone = f"{blob.ref('f')}?snapshot=2020-01-01T00:00:00.0000000Z"
    assert "has no snapshot=2020" in blob.run("cat", gone, code=NOT_FOUND).err
    assert "nobody can write" in blob.run("cp", "g", gone, code=BAD_INPUT).err
    assert "one file" in blob.run("cat", f"{blob.ref('*')}?versionid=1", code=BAD_INPUT).err
    assert "one state of one file" in blob.run("download", gone, "out", code=BAD_INPUT).err
    (blob.cwd / "f?versionid=1").write_text("plain")
    assert blob.run("cat", r"./f\?versionid=1").out == "plain"


def test_a_log_that_is_appended_to_is_read_whole_or_not_at_all(blob):
    log = client(blob, "log")
    log.create_append_blob()
    log.append_block(b"1" * (5 << 20))
    assert blob.json("stat", blob.ref("log"))["size"] == 5 << 20
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no FUSE here")
    # most of it is not to be there before it changes
    with blob.mounted(blob.ref(), None, "--set", "read_ahead=1") as m, open(m / "log", "rb") as f:
        assert f.read(4096) == b"1" * 4096
        log.append_block(b"2")
        with pytest.raises(OSError, match="Stale"):
            while f.read(1 << 20):
                pass
    assert blob.run("cat", blob.ref("log"), text=False).out == b"1" * (5 << 20) + b"2"


@pytest.mark.parametrize("kind", ["AppendBlob", "PageBlob"])
def test_every_type_of_blob_is_copied(blob, kind):
    data = os.urandom(4 << 20) * 3
    blob.store.container.upload_blob("f", data, blob_type=kind)
    assert blob.run("cat", blob.ref("f"), text=False).out == data
    blob.run("cp", blob.ref("f"), "f")
    assert (blob.cwd / "f").read_bytes() == data
    (blob.cwd / "g").write_bytes(b"block")
    assert blob.run("cp", "--overwrite", "g", blob.ref("f")).err == ""
    assert blob.get("f") == b"block"


def test_a_content_encoding_is_no_reason_to_decode(blob):
    packed = b"\x1f\x8b\x08 looks packed" * 1000
    settings = ContentSettings(content_encoding="gzip")
    blob.store.container.upload_blob("in/f.gz", packed, content_settings=settings)
    assert blob.run("cat", blob.ref("in/f.gz"), text=False).out == packed
    blob.run("cp", blob.ref("in/f.gz"), "f")
    assert (blob.cwd / "f").read_bytes() == packed
    if os.access("/dev/fuse", os.R_OK | os.W_OK):
        with blob.mounted(blob.ref("in")) as m:
            assert (m / "f.gz").read_bytes() == packed


@pytest.mark.parametrize("mode", ["log-only", "fail-if-different", "fail-if-different-or-missing"])
def test_ranges_are_checked(blob, mode):
    """Azurite gives the MD5 of a range and no CRC64, so this is the second choice."""
    data = os.urandom(21 << 20)
    blob.put("in/f", data)
    set_key(blob, "check_ranges", mode)
    blob.run("download", blob.ref("in"), "out")
    assert (blob.cwd / "out/f").read_bytes() == data
    assert blob.run("cat", blob.ref("in/f"), text=False).out == data


def test_a_lease_and_an_archived_blob_are_told_apart(blob):
    blob.put("held", b"1")
    blob.put("cold", b"1")
    client(blob, "held").acquire_lease(-1)
    client(blob, "cold").set_standard_blob_tier("Archive")
    (blob.cwd / "f").write_bytes(b"2")
    held = blob.start("cp", "--overwrite", "f", blob.ref("held"), stderr=-1).communicate()[1].decode()
    assert "holds a lease" in held and "break or await" in held
    assert blob.run("cat", blob.ref("held")).out == "1"
    cold = blob.start("cat", blob.ref("cold"), stderr=-1).communicate()[1].decode()
    assert "archive tier" in cold and "rehydrate" in cold
    assert blob.json("stat", blob.ref("cold"))["size"] == 1
