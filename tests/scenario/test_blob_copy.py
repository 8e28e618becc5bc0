# SPDX-License-Identifier: Apache-2.0
"""Azure Blob: copies that the service carries out, properties, and the four modes of checking an MD5."""

import hashlib
import os

import pytest
from azure.storage.blob import ContentSettings
from conftest import BAD_INPUT, EXISTS, Workspace
from stores import BlobStore

BIG = os.urandom(1 << 20) * 21 + b"and a bit"


@pytest.fixture
def blob(azurite, tmp_path):
    return Workspace(tmp_path, BlobStore(azurite, f"cp-{tmp_path.name.replace('_', '')[-8:]}-{os.urandom(4).hex()}"))


def properties(ws, path):
    return ws.store.container.get_blob_client(path).get_blob_properties()


def traced(ws, *args, **more):
    """What the store was asked for, beside the result."""
    done = ws.run(*args, env={"SLUICE_DEBUG": "store"}, **more)
    return done.err


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "blocks"])
def test_a_copy_between_containers_moves_no_bytes_through_us(blob, data):
    other = blob.store.at("other")
    blob.run("datastore", "create", "other", *sum([["--set", f"{k}={v}"] for k, v in other.entry().items()], []))
    blob.put("in/späce #1", data)
    err = traced(blob, "cp", "-v", "-v", blob.ref("in/späce #1"), "other:out/f")
    assert other.get("out/f") == data
    assert " copy " in err and " put " not in err and " put_block " not in err
    other.container.delete_container()


def test_a_served_copy_does_not_replace(blob):
    blob.put("a", "a")
    blob.put("b", "b")
    blob.run("cp", blob.ref("a"), blob.ref("b"), code=EXISTS)
    assert blob.get("b") == b"b"
    blob.run("cp", "--overwrite", blob.ref("a"), blob.ref("b"))
    assert blob.get("b") == b"a"


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "blocks"])
def test_what_is_given_is_kept(blob, data):
    (blob.cwd / "f").write_bytes(data)
    blob.run(
        "cp", "--content-type", "text/csv", "--tier", "Cool", "--metadata", "Owner=me", "--metadata", "n=1",
        "--tag", "stage=raw", "--tag", "a b=c/d", "f", blob.ref("f"),
    )  # fmt: skip
    p = properties(blob, "f")
    assert p.content_settings.content_type == "text/csv"
    assert p.blob_tier == "Cool"
    assert p.metadata == {"Owner": "me", "n": "1"}
    assert bytes(p.content_settings.content_md5) == hashlib.md5(data).digest()
    assert blob.store.container.get_blob_client("f").get_blob_tags() == {"stage": "raw", "a b": "c/d"}
    assert blob.get("f") == data


def test_what_the_service_would_refuse_is_named(blob):
    (blob.cwd / "f").write_text("f")
    assert "'Warm'" in blob.run("cp", "--tier", "Warm", "f", blob.ref("f"), code=BAD_INPUT).err
    blob.put("t/f", "f")
    for key in ("hdi_isfolder", "HDI_IsFolder"):
        for source in ("f", blob.ref("t/f")):
            more = ("cp", "--metadata", f"{key}=true", source, blob.ref("made"))
            assert f"'{key}'" in blob.run(*more, code=BAD_INPUT).err and not blob.exists("made")
    assert "'no-dash'" in blob.run("cp", "--metadata", "no-dash=1", "f", blob.ref("f"), code=BAD_INPUT).err
    many = sum([["--tag", f"t{i}=1"] for i in range(11)], [])
    assert "10 tags" in blob.run("cp", *many, "f", blob.ref("f"), code=BAD_INPUT).err
    assert not blob.exists("f")


MODES = ["fail-if-different", "fail-if-different-or-missing", "log-only", "no-check"]


@pytest.mark.parametrize("verb", ["cp", "download"])
@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_md5(blob, mode, verb):
    client = blob.store.container.get_blob_client("f")
    client.upload_blob(b"bytes")
    client.set_http_headers(ContentSettings(content_md5=bytearray(hashlib.md5(b"others").digest())))
    fails = mode.startswith("fail")
    done = blob.run(verb, "--check-md5", mode, blob.ref("f"), "out", code=BAD_INPUT if fails else 0)
    assert ("damaged" in done.err) == (mode != "no-check")
    got = blob.cwd / ("out" if verb == "cp" else "out/f")
    assert got.exists() != fails
    assert fails or got.read_bytes() == b"bytes"


@pytest.mark.parametrize("verb", ["cp", "download"])
@pytest.mark.parametrize("mode", MODES)
def test_no_md5(blob, mode, verb):
    client = blob.store.container.get_blob_client("f")
    client.stage_block("AAAA", b"bytes")
    client.commit_block_list(["AAAA"])
    fails = mode.endswith("missing")
    done = blob.run(verb, "--check-md5", mode, blob.ref("f"), "out", code=BAD_INPUT if fails else 0)
    assert ("keeps no MD5" in done.err) == fails


def test_what_a_served_copy_cannot_give_goes_through_us(blob):
    """The service copies the content type with the bytes."""
    blob.put("f", "f")
    blob.run("cp", "--content-type", "text/plain", blob.ref("f"), blob.ref("g"))
    assert blob.get("g") == b"f"
    assert properties(blob, "g").content_settings.content_type == "text/plain"
