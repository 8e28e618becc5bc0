# SPDX-License-Identifier: Apache-2.0
"""Azure Blob: the CRC64 that long files are kept with, how it is checked, and that it locks nobody out."""

import hashlib
import os

import pytest
from conftest import BAD_INPUT, Workspace
from jobs import run_job, write_job
from stores import BlobStore

MIB = 1 << 20
BIG = os.urandom(MIB) * 65 + b"and a bit"
KEY = "sluice_crc64"
MISSING = ["--check-md5", "fail-if-different-or-missing"]


@pytest.fixture(params=["azurite", "hns"])
def blob(request, tmp_path):
    server = request.getfixturevalue(request.param)
    return Workspace(tmp_path, BlobStore(server, f"sum-{os.urandom(6).hex()}"))


@pytest.fixture
def played(hns, tmp_path):
    w = Workspace(tmp_path, BlobStore(hns, f"sum-{os.urandom(6).hex()}"))
    w.server = hns
    return w


def properties(ws, path):
    return ws.store.container.get_blob_client(path).get_blob_properties()


def upload(ws, name="d/f"):
    (ws.cwd / "big").write_bytes(BIG)
    ws.run("cp", "big", ws.ref(name))
    return properties(ws, name)


def write_anew(ws, name, data, metadata):
    """As a tool that takes along what metadata it finds."""
    client = ws.store.container.get_blob_client(name)
    client.stage_block("AAAA", data)
    client.commit_block_list(["AAAA"], metadata=metadata)


def test_it_is_kept_and_checked(blob):
    p = upload(blob)
    assert list(p.metadata) == [KEY] and not p.content_settings.content_md5
    assert p.metadata[KEY].split("-")[1] == str(len(BIG))
    blob.run("cp", *MISSING, blob.ref("d/f"), "one")
    blob.run("download", *MISSING, blob.ref("d"), "all")
    assert (blob.cwd / "one").read_bytes() == (blob.cwd / "all/f").read_bytes() == BIG
    blob.run("cp", *MISSING, "--metadata", "n=1", blob.ref("d/f"), blob.ref("e/f"))
    blob.run("cp", "--overwrite", *MISSING, blob.ref("d/f"), "one")


def test_a_copy_in_the_account_that_is_given_metadata_keeps_it(blob):
    source = upload(blob)
    blob.run("cp", "--metadata", "n=1", blob.ref("d/f"), blob.ref("e/f"))
    blob.run("cp", blob.ref("d/f"), blob.ref("e/g"))
    for name, metadata in (("e/f", {"n": "1", **source.metadata}), ("e/g", source.metadata)):
        assert properties(blob, name).metadata == metadata
        while properties(blob, name).last_modified <= source.last_modified:  # whole seconds
            blob.store.container.get_blob_client(name).set_blob_metadata(metadata)
        # newer, of the same sum: its blocks are asked for
        assert blob.json("cp", "--update", blob.ref(name), blob.ref("d/f"))["files"] == 0
    blob.register("e", "e")
    blob.run("data", "verify", "e@1")
    blob.run("download", *MISSING, blob.ref("e"), "all")
    assert (blob.cwd / "all/f").read_bytes() == (blob.cwd / "all/g").read_bytes() == BIG


def test_a_copy_does_not_take_along_the_sum_of_other_bytes(played):
    kept = upload(played).metadata
    write_anew(played, "d/f", BIG[::-1], kept)
    played.run("cp", "--metadata", "n=1", played.ref("d/f"), played.ref("e/f"))
    assert properties(played, "e/f").metadata == {"n": "1"} and played.get("e/f") == BIG[::-1]


def test_the_writer_that_knows_no_length_keeps_it_too(played):
    job = f"""
        command: head -c {len(BIG)} /dev/zero > ${{{{outputs.o}}}}/big
        outputs: {{o: {{type: uri_folder, mode: rw_mount, path: "azureml://datastores/workspaceblobstore/paths/out"}}}}
    """
    run_job(played, write_job(played, "job.yml", job))
    assert KEY in properties(played, "out/big").metadata
    played.run("cp", *MISSING, played.ref("out/big"), "big")
    assert (played.cwd / "big").read_bytes() == bytes(len(BIG))


def test_an_md5_for_those_who_want_one(played):
    played.set_entry(checksum="md5")
    p = upload(played)
    assert bytes(p.content_settings.content_md5) == hashlib.md5(BIG).digest() and not p.metadata


def test_what_is_damaged_on_its_way(played):
    upload(played)
    modes = {"fail-if-different": BAD_INPUT, "log-only": 0, "no-check": 0}
    with played.server.failing("get */d/f * flip 12345"):
        for verb, name in (("cp", ""), ("download", "/f")):
            for mode, code in modes.items():
                out = f"{verb}-{mode}"
                done = played.run(verb, "--check-md5", mode, played.ref("d/f"), out, code=code)
                assert ("damaged: its checksum is crc64:" in done.err) == (mode != "no-check")
                assert (played.cwd / f"{out}{name}").exists() == (code == 0)


def test_a_tool_that_keeps_metadata_locks_nobody_out(played):
    """Nor do its bytes count as checked, or as those that were there before."""
    other = BIG[::-1]
    kept = upload(played).metadata
    write_anew(played, "d/f", other, kept)
    played.run("cp", played.ref("d/f"), "one")
    played.run("download", played.ref("d"), "all")
    assert (played.cwd / "one").read_bytes() == (played.cwd / "all/f").read_bytes() == other
    played.run("verify", "all", played.ref("d"))
    for verb, to in (("cp", "two"), ("download", "more")):
        assert "keeps no MD5" in played.run(verb, *MISSING, played.ref("d/f"), to, code=BAD_INPUT).err
    played.run("cp", "--overwrite", played.ref("d/f"), played.ref("e/f"))
    assert played.get("e/f") == other


def test_what_is_there_is_not_taken_for_the_same_by_kept_metadata(played):
    """A source that is like its copy, as far as the metadata tell, and has other bytes; and one that really is."""
    kept = upload(played)
    write_anew(played, "e/f", BIG[::-1], kept.metadata)
    source = played.store.container.get_blob_client("e/f")
    while source.get_blob_properties().last_modified <= kept.last_modified:  # whole seconds
        source.set_blob_metadata(kept.metadata)
    done = played.json("cp", "--update", played.ref("e/f"), played.ref("d/f"))
    assert done["files"] == 1 and played.get("d/f") == BIG[::-1]
    played.run("cp", "--overwrite", "big", played.ref("e/f"))
    played.run("cp", "--overwrite", played.ref("e/f"), played.ref("d/f"))
    assert played.json("cp", "--update", played.ref("e/f"), played.ref("d/f"))["files"] == 0
