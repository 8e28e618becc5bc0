# SPDX-License-Identifier: Apache-2.0
"""What users get wrong about an account: one line that names object, cause and remedy, and its exit status."""

import base64
import ctypes
import json
import os
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)
from conftest import BAD_INPUT, CHANGED, IO_ERROR, NO_PERMISSION, NOT_FOUND, RUNG, Sluice, Workspace
from stores import BlobStore

OTHER_KEY = base64.b64encode(b"another account's key, just as long as the right one is: 64 byte").decode()


def workspace(server, folder, **change):
    ws = Workspace(folder, BlobStore(server, f"bad-{os.urandom(6).hex()}"))
    entry(ws, **change)
    return ws


@pytest.fixture
def blob(azurite, tmp_path):
    ws = workspace(azurite, tmp_path)
    ws.put("in/f", "bytes")
    return ws


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


def use_sas(ws, sas):
    entry(ws, account_key=None, sas_token=secret(ws, sas))


def account_sas(ws, permissions="rwdlac", start=None, hours=1, key=None):
    client = ws.store.server.client
    return generate_account_sas(
        client.account_name, key or client.credential.account_key,
        ResourceTypes(service=True, container=True, object=True), AccountSasPermissions.from_string(permissions),
        expiry=datetime.now(UTC) + timedelta(hours=hours), start=start,
    )  # fmt: skip


def fails(ws, code, words, *args, env=None):
    """The one line, which holds these words."""
    err = ws.run(*args, code=code, env=env).err
    assert err.count("\n") == 1 and err.startswith("sluice: "), err
    for word in words:
        assert word in err, f"{word!r} is not in: {err}"
    assert "sig=" not in err and OTHER_KEY not in err
    return err


# --- credentials ---


@pytest.mark.parametrize("verb", ["cat", "ls", "stat", "cp", "rm"])
@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda ws: {"account_key": secret(ws, OTHER_KEY)}, NO_PERMISSION, ("devstoreaccount1", "belongs to this account")),
        (lambda ws: {"account_key": secret(ws, "not base64!")}, BAD_INPUT, ("'account_key'", "base64", "correct")),
        (lambda ws: {"account_key": secret(ws, "")}, BAD_INPUT, ("'account_key'", "empty")),
        (lambda ws: {"account_key": "file:nosuch"}, NOT_FOUND, ("'account_key'", "nosuch")),
        (lambda ws: {"account_key": "env:NO_SUCH"}, NOT_FOUND, ("'account_key'", "'NO_SUCH'", "not set")),
        (lambda ws: {"account_key": OTHER_KEY}, BAD_INPUT, ("'account_key'", "env:NAME")),
        (
            lambda ws: {"account_key": None, "sas_token": secret(ws, account_sas(ws, key=OTHER_KEY))},
            NO_PERMISSION,
            ("devstoreaccount1", "belongs to this account"),
        ),
        (lambda ws: {"account_name": "nosuchaccount"}, NO_PERMISSION, ("'nosuchaccount'",)),
        (lambda ws: {"account_name": "No_Name"}, BAD_INPUT, ("'account_name'", "3 to 24")),
        (lambda ws: {"container_name": "nosuch"}, NOT_FOUND, ("'nosuch'", "`sluice mkdir STORE:`", "correct its name")),
        (lambda ws: {"container_name": "No--Name"}, BAD_INPUT, ("'container_name'", "3 to 63")),
    ],
    ids=[
        "other-key", "no-base64", "empty", "no-file", "no-variable", "inline", "sas-of-another", "other-account",
        "no-account-name", "other-container", "no-container-name",
    ],
)  # fmt: skip
def test_wrong_entries(blob, verb, make, code, words):
    entry(blob, **make(blob))
    more = [blob.ref("new")] if verb == "cp" else []
    where = "config.json" if verb == "cp" else blob.ref("in/f")
    fails(blob, code, words, verb, where, *more)


@pytest.mark.parametrize(
    ("start", "hours", "words"),
    [(None, -1, ("the SAS expired at", "put a new one")), (1, 2, ("the SAS is valid from", "wait"))],
    ids=["expired", "not-yet"],
)
def test_a_sas_at_the_wrong_time(blob, start, hours, words):
    use_sas(blob, account_sas(blob, start=start and datetime.now(UTC) + timedelta(hours=start), hours=hours))
    for args in (("cat", blob.ref("in/f")), ("ls", blob.ref()), ("cp", "config.json", blob.ref("new"))):
        fails(blob, NO_PERMISSION, words, *args)


@pytest.mark.parametrize(
    ("has", "lacks", "args"),
    [
        ("wdlac", "r", ("cat", "in/f")),
        ("rwdac", "l", ("ls", "in")),
        ("rdl", "c", ("cp", "config.json", "new")),
        ("rdl", "w", ("cp", "--overwrite", "config.json", "in/f")),
        ("rwlac", "d", ("rm", "in/f")),
    ],
    ids=["r", "l", "c", "w", "d"],
)
@pytest.mark.parametrize("kind", ["account", "container"])
def test_a_permission_that_is_missing(blob, kind, has, lacks, args):
    if kind == "account":
        use_sas(blob, account_sas(blob, has))
    else:
        client = blob.store.server.client
        use_sas(
            blob,
            generate_container_sas(
                client.account_name, blob.store.container.container_name, account_key=client.credential.account_key,
                permission=ContainerSasPermissions.from_string(has), expiry=datetime.now(UTC) + timedelta(hours=1),
            ),
        )  # fmt: skip
    *options, last = args
    words = [f"needs the permission '{lacks}'", "SAS"]
    fails(blob, NO_PERMISSION, words, *options, blob.ref(last))


# --- clocks ---


@pytest.mark.parametrize(("skew", "words"), [(3600, "60 minutes behind"), (-3600, "60 minutes ahead")])
def test_a_wrong_clock_is_named(blobd, tmp_path, skew, words):
    other = type(blobd)(skewed_folder(tmp_path), "--skew", skew)
    try:
        ws = workspace(blobd, tmp_path / "ws")
        entry(ws, endpoint=other.url)
        fails(ws, NO_PERMISSION, ["clock of this machine", words, "set it"], "cat", ws.ref("f"))
    finally:
        other.stop()


def test_a_sas_is_judged_by_the_clock_of_the_service(blobd, tmp_path):
    other = type(blobd)(skewed_folder(tmp_path), "--skew", 7200)
    try:
        ws = workspace(blobd, tmp_path / "ws")
        use_sas(ws, account_sas(ws))
        entry(ws, endpoint=other.url)
        words = ["the SAS expired at", "put a new one", "120 minutes behind"]
        fails(ws, NO_PERMISSION, words, "cat", ws.ref("f"))
    finally:
        other.stop()


def skewed_folder(tmp_path):
    (tmp_path / "ws").mkdir()
    folder = tmp_path / "skewed"
    folder.mkdir()
    return folder


# --- names ---


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("n" * 1025, ("1,024 characters",)),
        ("k" * 10000, ("1,024 characters",)),
        ("/".join("d" * 300), ("254",)),
        ("dot.", ("'.'",)),
        ("folder./f", ("'.'",)),
        ("bell\a", ("control",)),
        (b"\xff\xfe", ("UTF-8",)),
    ],
    ids=["1025", "10000", "300-folders", "dot", "dot-folder", "control", "no-utf8"],
)
@pytest.mark.parametrize("verb", ["cat", "cp"])
def test_names_that_the_service_does_not_take(blob, verb, name, words):
    ref = os.fsencode(blob.ref("")) + (name if isinstance(name, bytes) else name.encode())
    done = subprocess.run(
        ["sluice", verb, *(["config.json"] if verb == "cp" else []), ref], cwd=blob.cwd, capture_output=True
    )
    err = done.stderr.decode()
    read = verb == "cat" and words == ("'.'",)  # such a blob may have been made by others
    assert done.returncode == (NOT_FOUND if read else BAD_INPUT), err
    assert err.count("\n") == 1 and len(err) < 1000, err
    assert read or all(w in err for w in words), err


@pytest.fixture
def deaf_port():
    """One that nobody listens at, nor can begin to."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


def test_a_long_name_leaves_room_for_the_cause(blob, deaf_port):
    name = "d/" + "n" * 900
    fails(blob, NOT_FOUND, ["'d/nnn", "nnn...nnn", "no such file"], "cat", blob.ref(name))
    at(blob, deaf_port)
    fails(blob, IO_ERROR, ["'d/nnn", "nobody listens"], "cat", blob.ref(name))


# --- the same on other stores ---


@pytest.mark.parametrize(
    ("lake", "code", "words"),
    [
        ({"type": "hdfs", "namenode": "127.0.0.1:9"}, IO_ERROR, ("nobody listens", "check host and port")),
        ({"type": "hdfs", "namenode": "namenode.invalid:9870"}, IO_ERROR, ("namenode.invalid", "no such host")),
        ({"type": "hdfs", "namenode": "x", "ca_file": 1}, BAD_INPUT, ("'ca_file'", "text")),
        ({"type": "local", "path": "/nonexistent/nosuch"}, NOT_FOUND, ("nosuch' does not exist", "create it")),
        ({"type": "azure_blob", "account_name": "acct"}, BAD_INPUT, ("needs the key 'container_name'",)),
        ({"type": "azure_blob"}, BAD_INPUT, ("needs the key 'account_name'",)),
        ({"type": "s3"}, BAD_INPUT, ("'s3'", "known are")),
    ],
    ids=["refused", "unknown", "no-text", "no-folder", "no-container", "no-account", "no-type"],
)
def test_wrong_stores_of_every_kind(tmp_path, lake, code, words):
    ws = Sluice(tmp_path)
    ws.run("init", ".", "--name", "test")
    config = json.loads((tmp_path / "config.json").read_text())
    config["datastores"]["lake"] = lake
    (tmp_path / "config.json").write_text(json.dumps(config))
    fails(ws, code, words, "cat", "lake:f")


def test_a_long_name_on_a_local_store(tmp_path):
    ws = Sluice(tmp_path)
    ws.run("init", ".", "--name", "test")
    for args in (("cat",), ("cp", "config.json")):
        fails(ws, BAD_INPUT, ["kkk...kkk", "too long"], *args, "workspaceblobstore:" + "k" * 10000)


def test_a_proxy_with_a_password_is_not_written_down(blob):
    entry(blob, proxy="http://me:CANARY@proxy:3128")
    err = fails(blob, BAD_INPUT, ["'proxy'", "without user and password"], "cat", blob.ref("in/f"))
    assert "CANARY" not in err


@pytest.mark.skipif(RUNG != "scenario", reason="a sanitized library cannot be loaded into Python")
def test_the_library_gives_the_same_line_and_code(blob):
    if not (Path(os.environ.get("SLUICE_BUILD", "/nonexistent")) / ".libs/libsluice.so").exists():
        pytest.skip("libsluice.so is not built")
    from test_api import LIBRARY, Error

    lib = ctypes.CDLL(str(LIBRARY))
    entry(blob, account_key=secret(blob, OTHER_KEY))
    s, v, e = ctypes.c_void_p(), ctypes.c_void_p(), Error()
    assert lib.sluice_open(str(blob.config).encode(), 0, ctypes.byref(s), ctypes.byref(e)) == 0, e.message
    out = str(blob.cwd / "out").encode()
    r = lib.sluice_download(s, blob.ref("in").encode(), out, None, ctypes.byref(v), ctypes.byref(e))
    lib.sluice_close(s)
    assert r == -e.code and lib.sluice_exit_code(r) == NO_PERMISSION
    assert b"belongs to this account" in e.message and e.service == b"AuthorizationFailure"


# --- objects ---


def test_nothing_and_much(blobd, tmp_path):
    blobd_much = type(blobd)
    (tmp_path / "server").mkdir()
    (tmp_path / "ws").mkdir()
    server = blobd_much(tmp_path / "server", "--sparse", f"much/huge={5 << 30}")
    try:
        ws = workspace(server, tmp_path / "ws")
        ws.put("empty", "")
        assert ws.run("cat", ws.ref("empty")).out == ""
        ws.run("cp", ws.ref("empty"), "empty")
        assert (ws.cwd / "empty").stat().st_size == 0
        ws.run("cp", "empty", ws.ref("empty2"))
        assert ws.json("stat", ws.ref("empty2"))["size"] == 0
        entry(ws, container_name="much")
        assert ws.json("stat", ws.ref("huge"))["size"] == 5 << 30
        piped = subprocess.Popen(
            f"sluice cat {ws.ref('huge')} | wc -c", shell=True, cwd=ws.cwd, stdout=subprocess.PIPE, env=ws.env
        )
        assert int(piped.communicate(timeout=240)[0]) == 5 << 30
    finally:
        server.stop()


def test_what_is_deleted_while_it_is_read(blobd, tmp_path):
    ws = workspace(blobd, tmp_path)
    ws.put("f", os.urandom(48 << 20))
    name = ws.store.name
    with blobd.failing(f"get {name}/f 2- status 404 BlobNotFound"):
        fails(ws, CHANGED, ["'f'", "deleted", "resolve the data again"], "cp", ws.ref("f"), "out")
        assert blobd.fired()
    assert not (ws.cwd / "out").exists()


# --- TLS, names, proxies ---


def certificate(folder, name, *more, subject="/CN=test", names="IP:127.0.0.1,DNS:localhost"):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
         "-addext", f"subjectAltName={names}", "-keyout", key, "-out", cert, *(more or ("-days", "2"))],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def expired(folder):
    """openssl of before 3.4 dates no certificate back by itself, its CA does."""
    certificate(folder, "ca")
    cert, key = certificate(folder, "old")
    subprocess.run(
        ["openssl", "req", "-new", "-key", key, "-subj", "/CN=old", "-addext", "subjectAltName=IP:127.0.0.1",
         "-out", folder / "old.csr"], check=True, capture_output=True,
    )  # fmt: skip
    (folder / "index").touch()
    (folder / "ca.conf").write_text(
        f"[ca]\ndefault_ca=a\n[a]\ndatabase={folder}/index\nnew_certs_dir={folder}\nrand_serial=yes\n"
        f"default_md=sha256\npolicy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n"
    )
    subprocess.run(
        ["openssl", "ca", "-batch", "-notext", "-config", folder / "ca.conf", "-cert", folder / "ca.pem",
         "-keyfile", folder / "ca.key", "-in", folder / "old.csr", "-out", cert,
         "-startdate", "20200101000000Z", "-enddate", "20200201000000Z"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def serve(azurite, tmp_path):
    """A TLS server on loopback that does nothing but the handshake."""
    stop = []

    def start(tls, most=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        if most:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = most
            context.set_ciphers("ALL:@SECLEVEL=0")
        listener = socket.create_server(("127.0.0.1", 0))
        stop.append(listener)

        def run():
            while True:
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(one, server_side=True).close()
                except OSError:
                    one.close()

        threading.Thread(target=run, daemon=True).start()
        return listener.getsockname()[1]

    yield start
    for s in stop:
        s.shutdown(socket.SHUT_RDWR)
        s.close()


def at(ws, port, **change):
    entry(ws, endpoint=f"https://127.0.0.1:{port}", **change)
    return ws


def test_a_certificate_that_nobody_trusts(blob, serve):
    at(blob, serve(certificate(blob.cwd, "own")))
    fails(blob, NO_PERMISSION, ["'in/f'", "trusts", '"ca_file"'], "cat", blob.ref("in/f"))


def test_a_certificate_of_another_name(blob, serve):
    tls = certificate(blob.cwd, "own", names="DNS:other.example.org")
    at(blob, serve(tls), ca_file=str(tls[0]))
    fails(blob, NO_PERMISSION, ["'in/f'", "another host name", "use the name"], "cat", blob.ref("in/f"))


def test_a_certificate_that_has_expired(blob, serve):
    tls = expired(blob.cwd)
    at(blob, serve(tls), ca_file=str(blob.cwd / "ca.pem"))
    fails(blob, NO_PERMISSION, ["'in/f'", "has expired", "renewed"], "cat", blob.ref("in/f"))


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_ca_file_that_is_none(blob, serve, text):
    if text:
        (blob.cwd / "ca").write_text(text)
    at(blob, serve(certificate(blob.cwd, "own")), ca_file="ca")
    fails(blob, BAD_INPUT, ["CA file", "/ca'", "PEM"], "cat", blob.ref("in/f"))


def test_a_server_that_knows_old_tls_only(blob, serve):
    tls = certificate(blob.cwd, "own")
    at(blob, serve(tls, ssl.TLSVersion.TLSv1_1), ca_file=str(tls[0]))
    fails(blob, IO_ERROR, ["'in/f'", "TLS 1.2", "updated"], "cat", blob.ref("in/f"))


def test_a_port_without_tls(blob):
    entry(blob, endpoint=blob.store.server.url.replace("http:", "https:"))
    fails(blob, IO_ERROR, ["'in/f'", "does not speak TLS", "port"], "cat", blob.ref("in/f"))


def test_nobody_there(blob, deaf_port):
    at(blob, deaf_port)
    fails(blob, IO_ERROR, ["'in/f'", "nobody listens", "endpoint"], "cat", blob.ref("in/f"))


def test_a_host_that_is_not_known(blob):
    entry(blob, endpoint="https://account.blob.invalid", proxy="direct")
    fails(blob, IO_ERROR, ["'in/f'", "account.blob.invalid", "no such host"], "cat", blob.ref("in/f"))


def test_plain_http_beyond_this_machine(blob):
    entry(blob, endpoint="http://storage.example.org")
    fails(blob, NO_PERMISSION, ["storage.example.org", "https", '"allow_plain_http"'], "cat", blob.ref("in/f"))


@pytest.fixture
def tunnels():
    """A proxy: answers CONNECT with a status, or connects to a port of this machine whatever the name is."""
    stop = []

    def start(answer, port=0):
        listener = socket.create_server(("127.0.0.1", 0))
        seen = []
        stop.append(listener)

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
            except OSError:
                pass
            for s in (a, b):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        def serve_one(one):
            head = b""
            while b"\r\n\r\n" not in head and (data := one.recv(4096)):
                head += data
            seen.append(head.split(b"\r\n")[0].decode())
            length = "" if port else "Content-Length: 0\r\n"
            one.sendall(f"HTTP/1.1 {answer}\r\n{length}\r\n".encode())
            if not port:
                one.close()
                return
            there = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=pump, args=(one, there), daemon=True).start()
            pump(there, one)

        def run():
            while True:
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve_one, args=(one,), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}", seen

    yield start
    for s in stop:
        s.shutdown(socket.SHUT_RDWR)
        s.close()


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ("403 Forbidden", NO_PERMISSION, ("does not let requests through", "no_proxy")),
        ("407 Proxy Authentication Required", NO_PERMISSION, ("user and password", "https_proxy")),
        ("502 Bad Gateway", IO_ERROR, ("proxy cannot reach", "no_proxy")),
    ],
)
@pytest.mark.parametrize("by", ["key", "environment"])
def test_a_proxy_that_refuses(blob, tunnels, by, answer, code, words):
    proxy, seen = tunnels(answer)
    entry(blob, endpoint="https://lake.example.org", proxy=proxy if by == "key" else None)
    env = {"https_proxy": proxy if by == "environment" else "http://127.0.0.1:1"}
    fails(blob, code, ["'in/f'", *words], "cat", blob.ref("in/f"), env=env)
    assert seen and seen[0].startswith("CONNECT lake.example.org:443 ")


def test_a_proxy_that_is_not_there(blob, deaf_port):
    entry(blob, endpoint="https://lake.example.org", proxy=f"http://127.0.0.1:{deaf_port}")
    fails(blob, IO_ERROR, ["'in/f'", "the proxy cannot be reached"], "cat", blob.ref("in/f"))


def test_a_custom_domain_through_a_proxy(blobd, tunnels, tmp_path):
    """The account's name is in the path, as the test server has it; the host is nowhere but in the certificate."""
    (tmp_path / "server").mkdir()
    (tmp_path / "ws").mkdir()
    tls = certificate(tmp_path, "own", names="DNS:lake.example.org,IP:127.0.0.1")
    server = type(blobd)(tmp_path / "server", tls=tls)
    try:
        ws = workspace(server, tmp_path / "ws", ca_file=str(tls[0]))
        ws.put("f", "bytes")
        proxy, seen = tunnels("200 OK", server.port)
        account = server.client.account_name
        entry(ws, endpoint=f"https://lake.example.org/{account}", proxy=proxy, ca_file=str(tls[0]))
        assert ws.run("cat", ws.ref("f")).out == "bytes"
        assert seen
        entry(ws, proxy=None)
        assert ws.run("cat", ws.ref("f"), env={"HTTPS_PROXY": proxy}).out == "bytes"
    finally:
        server.stop()
