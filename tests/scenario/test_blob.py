# SPDX-License-Identifier: Apache-2.0
"""Azure Blob: credentials, what only Blob has, and that Azure's own SDK and sluice read what the other wrote."""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from conftest import BAD_INPUT, EXISTS, IO_ERROR, NO_PERMISSION, NOT_FOUND, RECORD, Workspace, read_tree
from stores import BlobStore


@pytest.fixture
def blob(azurite, tmp_path):
    return Workspace(tmp_path, BlobStore(azurite, f"sc-{tmp_path.name.replace('_', '')[-8:]}-{os.urandom(4).hex()}"))


def entry(ws, **change):
    """Changes the datastore's entry: None removes a key."""
    config = json.loads(ws.config.read_text())
    now = config["datastores"]["workspaceblobstore"]
    now.update(change)
    config["datastores"]["workspaceblobstore"] = {k: v for k, v in now.items() if v is not None}
    ws.config.write_text(json.dumps(config))


def secret(ws, text):
    path = ws.cwd / "secret"
    path.touch(mode=0o600)
    path.write_text(text)
    return "file:secret"


def account_sas(ws, permissions="rwdlac", hours=1):
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    client = ws.store.server.client
    return generate_account_sas(
        client.account_name,
        client.credential.account_key,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions.from_string(permissions),
        expiry=datetime.now(UTC) + timedelta(hours=hours),
    )


def service_sas(ws):
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    client = ws.store.server.client
    return generate_container_sas(
        client.account_name,
        ws.store.name,
        account_key=client.credential.account_key,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )


def test_mkdir_makes_the_container(blob):
    config = json.loads(blob.config.read_text())
    stores, name = config["datastores"], f"made-{os.urandom(6).hex()}"
    stores["gone"] = {**stores["workspaceblobstore"], "container_name": name}
    blob.config.write_text(json.dumps(config))
    for ref in ("gone:d", "gone:d/e"):
        err = blob.run("mkdir", ref, code=NOT_FOUND).err
        assert f"'{name}'" in err and "`sluice mkdir STORE:`" in err
    blob.run("mkdir", "gone:")
    blob.run("mkdir", "gone:")
    (blob.cwd / "f").write_text("f")
    blob.run("cp", "f", "gone:")
    assert blob.store.server.client.get_blob_client(name, "f").download_blob().readall() == b"f"
    # who may only read what is there needs not make it; who may not make it, is told
    sas = secret(blob, service_sas(blob))
    entry = {k: v for k, v in stores["workspaceblobstore"].items() if k != "account_key"} | {"sas_token": sas}
    stores["there"] = entry
    stores["gone"] = {**entry, "container_name": name + "-2"}
    blob.config.write_text(json.dumps(config))
    blob.run("mkdir", "there:")
    blob.run("mkdir", "gone:", code=NO_PERMISSION)


def connection_string(ws):
    key = ws.store.server.client.credential.account_key
    return f"AccountName={ws.store.server.client.account_name};AccountKey={key};BlobEndpoint={ws.store.server.url};"


@pytest.mark.parametrize("make", [account_sas, service_sas, connection_string])
def test_credentials(blob, make):
    blob.put("in/a b#%.csv", "1,2\n")
    key = "credential" if make is connection_string else "sas_token"
    entry(blob, account_key=None, **{key: secret(blob, make(blob))})
    assert blob.run("cat", blob.ref("in/a b#%.csv")).out == "1,2\n"
    assert blob.run("ls", blob.ref()).out == "in/\n"


def test_a_credential_from_the_environment(blob):
    blob.put("f", "1")
    entry(blob, account_key="env:LAKE_KEY")
    env = {"LAKE_KEY": blob.store.server.client.credential.account_key}
    assert blob.run("cat", blob.ref("f"), env=env).out == "1"
    assert "LAKE_KEY" in blob.run("cat", blob.ref("f"), code=NOT_FOUND).err


def test_anonymous(blob):
    blob.put("f", "1")
    entry(blob, account_key=None)
    err = blob.run("cat", blob.ref("f"), code=NO_PERMISSION).err
    assert blob.store.name in err
    blob.store.container.set_container_access_policy({}, public_access="container")
    assert blob.run("cat", blob.ref("f")).out == "1"
    blob.run("cp", "config.json", blob.ref("new"), code=NO_PERMISSION)


def test_a_sas_that_was_replaced_is_taken_while_the_mount_goes_on(blob):
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no FUSE here")
    blob.put_all({"in/a": os.urandom(1000), "in/b": os.urandom(1000)})
    entry(blob, account_key=None, sas_token=secret(blob, account_sas(blob)))
    # in/b is not to be there before it is asked for
    with blob.mounted(blob.ref("in"), None, "--set", "order_ahead=false") as m:
        assert (m / "a").read_bytes() == blob.placed["in/a"]
        secret(blob, account_sas(blob, hours=-1))
        with pytest.raises(OSError):
            (m / "b").read_bytes()
        secret(blob, account_sas(blob))
        assert (m / "b").read_bytes() == blob.placed["in/b"]


def test_a_command_is_run_again_when_its_sas_has_ended(blob):
    blob.put("f", "bytes")
    old, new = account_sas(blob, hours=-1), account_sas(blob)
    entry(blob, account_key=None, sas_token=f"cmd:echo >>runs; test $(wc -l <runs) = 1 && echo '{old}' || echo '{new}'")
    assert blob.run("cat", blob.ref("f")).out == "bytes"
    assert (blob.cwd / "runs").read_text() == "\n\n"
    (blob.cwd / "runs").write_text("")
    entry(blob, account_key=None, sas_token=f"cmd:echo >>runs; test $(wc -l <runs) = 1 && echo '{old}' || exit 7")
    err = blob.run("cat", blob.ref("f"), code=IO_ERROR).err
    assert "its command failed" in err and "sig=" not in err


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"container_name": "nosuch"}, NOT_FOUND, "nosuch"),
        ({"endpoint": "http://10.1.2.3:10000"}, NO_PERMISSION, "https"),
        ({"account_name": "other"}, NO_PERMISSION, "other"),
        ({"endpoint": "ftp://x"}, BAD_INPUT, "endpoint"),
    ],
)
def test_wrong_entries_are_one_line(blob, change, code, words):
    blob.put("f", "1")
    entry(blob, **change)
    assert words in blob.run("cat", blob.ref("f"), code=code).err


@pytest.mark.parametrize("text", ["CANARY", "MDEyMzQ1Njc4OWFiY2RlZkNBTkFSWQ==", "sv=2021-12-02&sig=CANARY"])
def test_wrong_secrets_are_not_shown(blob, text):
    blob.put("f", "1")
    entry(blob, account_key=secret(blob, text))
    done = blob.start("cat", blob.ref("f"), stderr=-1, stdout=-1, env={"SLUICE_LOG": "debug"})
    out, err = done.communicate()
    assert done.returncode in (NO_PERMISSION, BAD_INPUT)
    assert b"CANARY" not in out + err and b"NBTkFSWQ" not in out + err


def test_an_expired_sas_says_when(blob):
    blob.put("f", "1")
    entry(blob, account_key=None, sas_token=secret(blob, account_sas(blob, hours=-1)))
    assert "expired" in blob.run("cat", blob.ref("f"), code=NO_PERMISSION).err


def test_a_secret_that_others_can_read_is_refused(blob):
    entry(blob, account_key=secret(blob, "x"))
    (blob.cwd / "secret").chmod(0o644)
    assert "chmod 600" in blob.run("ls", blob.ref(), code=NO_PERMISSION).err


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, 20 << 20])
def test_what_sluice_writes_the_sdk_reads(blob, size):
    data = os.urandom(size)
    (blob.cwd / "f").write_bytes(data)
    blob.run("cp", "f", blob.ref("out/f"))
    client = blob.store.container.get_blob_client("out/f")
    assert (client.download_blob().readall() if size else b"") == data
    got = client.get_blob_properties()
    assert got.size == size and not got.metadata
    committed, uncommitted = client.get_block_list("all")
    assert not uncommitted
    if size > 8 << 20:
        assert [b.size for b in committed] == [8 << 20] * (size >> 23) + [size % (8 << 20)] * bool(size % (8 << 20))
    else:
        assert got.content_settings.content_md5 == hashlib.md5(data).digest()
    assert blob.run("cat", blob.ref("out/f"), text=False).out == data


def test_what_the_sdk_writes_sluice_reads(blob):
    from azure.storage.blob import ContentSettings

    data = os.urandom(9 << 20)
    up = blob.store.container.upload_blob
    up("in/blocks", data, max_concurrency=4)
    up("in/gzip", b"\x1f\x8b not decoded", content_settings=ContentSettings(content_encoding="gzip"))
    up("in/append", b"appended", blob_type="AppendBlob")
    up("in/page", bytes(1024), blob_type="PageBlob")
    blob.run("download", blob.ref("in"), blob.cwd / "out")
    got = read_tree(blob.cwd / "out")
    assert got == {
        "blocks": data, "gzip": b"\x1f\x8b not decoded", "append": b"appended", "page": bytes(1024),
    }  # fmt: skip


def test_markers_of_folders_are_folders(blob):
    blob.store.mkdir("stub")
    blob.store.mkdir("full")
    blob.put("full/f", "1")
    blob.store.container.upload_blob("slash/", b"")
    assert blob.run("ls", blob.ref()).out.splitlines() == ["full/", "slash/", "stub/"]
    assert blob.run("ls", "-R", blob.ref()).out.splitlines() == ["full/f"]
    for folder in ("stub", "slash", "full"):
        assert blob.json("stat", blob.ref(folder))["kind"] == "folder"
    assert blob.run("ls", blob.ref("stub")).out == ""
    blob.run("download", blob.ref(), blob.cwd / "out")
    names = [str(p.relative_to(blob.cwd / "out")) for p in (blob.cwd / "out").rglob("*") if p.name != RECORD]
    assert names == ["full", "full/f"]


def test_a_folder_of_more_than_a_page(blob):
    names = [f"{i:05}" for i in range(5_100)]
    blob.put_all({f"d/{n}": b"" for n in names})
    assert blob.run("ls", blob.ref("d")).out.splitlines() == names
    assert len(blob.run("ls", "-R", blob.ref()).out.splitlines()) == len(names)


def test_leftovers_of_another_writer_are_in_nobody_s_way(blob):
    """Blocks that are not committed have to have ids of one length: ours become as long as theirs."""
    client = blob.store.container.get_blob_client("f")
    client.stage_block("0123456789abcdef", b"x")
    data = os.urandom(20 << 20)
    (blob.cwd / "f").write_bytes(data)
    blob.run("cp", "f", blob.ref("f"))
    assert blob.store.get("f") == data
    committed, uncommitted = client.get_block_list("all")
    assert len(committed) == 3 and not uncommitted


def test_leftovers_with_ids_too_short_for_ours_are_told(blob):
    client = blob.store.container.get_blob_client("f")
    client.stage_block("short", b"x")
    (blob.cwd / "f").write_bytes(bytes(9 << 20))
    done = blob.start("cp", "f", blob.ref("f"), stderr=-1, stdout=-1)
    assert "another writer left blocks" in done.communicate()[1].decode()
    assert done.returncode != 0


def test_an_archived_blob_says_so(blob):
    blob.put("f", "1")
    blob.store.container.get_blob_client("f").set_standard_blob_tier("Archive")
    done = blob.start("cat", blob.ref("f"), stderr=-1, stdout=-1)
    assert "archive tier" in done.communicate()[1].decode()


def test_a_wrong_stored_md5_fails_the_download_unless_it_is_ignored(blob):
    from azure.storage.blob import ContentSettings

    blob.put("in/f", "bytes")
    client = blob.store.container.get_blob_client("in/f")
    client.set_http_headers(ContentSettings(content_md5=bytearray(16)))
    assert "MD5" in blob.start("download", blob.ref("in"), blob.cwd / "a", stderr=-1).communicate()[1].decode()
    assert not (blob.cwd / "a" / "f").exists()
    entry(blob, content_md5="ignore")
    blob.run("download", blob.ref("in"), blob.cwd / "b")
    assert (blob.cwd / "b" / "f").read_text() == "bytes"


def test_two_writers_of_one_name(blob):
    (blob.cwd / "f").write_bytes(os.urandom(9 << 20))
    procs = [blob.start("cp", "f", blob.ref("f"), stderr=-1) for _ in range(4)]
    codes = sorted(p.wait() for p in procs if p.communicate())
    assert codes.count(0) == 1 and set(codes[1:]) <= {EXISTS, 7}
    # one that looked before the first was done, and came to its blocks after
    late = [
        blob.start("cp", "f", blob.ref("f"), stderr=-1, env={"SLUICE_FAULT": f"stat:#{n}:ENOENT"}) for n in range(1, 5)
    ]
    assert {p.wait() for p in late if p.communicate()} <= {EXISTS, NOT_FOUND}
