# SPDX-License-Identifier: Apache-2.0
"""Plain URLs as read-only stores: against nginx as it is, and against a server that does what servers out there
do wrong."""

import hashlib
import http.server
import re
import shutil
import socket
import ssl
import subprocess
import threading
from email.utils import formatdate

import pytest
from conftest import (
    BAD_INPUT,
    CHANGED,
    IO_ERROR,
    NO_PERMISSION,
    NOT_FOUND,
    NOT_SUPPORTED,
    local_only,
    needs_fuse,
    read_tree,
    until,
)
from ports import free_port

BODY = bytes(range(256)) * 4096
CSV = b"a,b\n1,2\n3,4\n"


class File:
    """What a path of the Web serves, and how.  `length`: what HEAD claims."""

    def __init__(self, body=BODY, etag='"one"', modified=1_700_000_000, ranges=True, head=True, **more):
        self.body, self.etag, self.modified, self.ranges, self.head = body, etag, modified, ranges, head
        self.length = more.get("length", len(body))
        self.to = more.get("to")
        self.status = more.get("status")
        self.coding = more.get("coding")
        self.conditions = more.get("conditions", True)
        self.after = more.get("after")  # called when the first GET has begun: that one gets the file as it was


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self):
        web = self.server.web
        with web.lock:
            f = web.files.get(self.path.split("?")[0])
            if f and f.after and self.command == "GET":
                f.after()
        web.log.append((self.command, self.path, dict(self.headers)))
        if not f or f.status:
            self.answer(f.status if f else 404, {"Content-Length": "0"})
        elif f.to:
            self.answer(302, {"Location": f.to, "Content-Length": "0"})
        elif self.command == "HEAD" and not f.head:
            self.answer(405, {"Content-Length": "0"})
        elif f.conditions and self.headers.get("If-Match", f.etag) != f.etag:
            self.answer(412, {"Content-Length": "0"})
        else:
            self.body_of(f)

    def body_of(self, f):
        headers = {"Content-Length": str(f.length if self.command == "HEAD" else len(f.body))}
        if f.etag:
            headers["ETag"] = f.etag
        if f.modified:
            headers["Last-Modified"] = formatdate(f.modified, usegmt=True)
        if f.coding:
            headers["Content-Encoding"] = f.coding
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not wanted or not f.ranges:
            self.answer(200, headers, f.body)
            return
        first, last = int(wanted[1]), min(int(wanted[2]), len(f.body) - 1)
        if first > last:
            self.answer(416, {"Content-Range": f"bytes */{len(f.body)}", "Content-Length": "0"})
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{len(f.body)}"
        headers["Content-Length"] = str(last - first + 1)
        self.answer(206, headers, f.body[first : last + 1])

    do_GET = do_HEAD = serve


class Web:
    def __init__(self, context=None):
        self.files, self.log, self.lock = {}, [], threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.web = self
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, name, *args, **more):
        self.files["/" + name] = File(*args, **more)
        return f"{self.url}/{name}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    with Web() as w:
        yield w


@pytest.fixture
def nginx(tmp_path):
    """(URL, folder that it serves) of a real nginx."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if not program:
        pytest.skip("nginx is not installed")
    folder = tmp_path / "www"
    folder.mkdir()
    port = free_port()
    temp = "".join(f"{x}_temp_path {tmp_path}/{x};" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;"
        "events {} http { access_log off; gzip on; gzip_types text/csv; types { text/csv csv; }"
        f"{temp} server {{ listen 127.0.0.1:{port}; root {folder}; }} }}"
    )
    running = subprocess.Popen([program, "-e", tmp_path / "error.log", "-c", conf], stderr=subprocess.DEVNULL)

    def up():
        assert running.poll() is None, (tmp_path / "error.log").read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    try:
        until("nginx", up)
        yield f"http://127.0.0.1:{port}", folder
    finally:
        running.terminate()
        running.wait()


# --- a real server ---


def test_cat_stat_and_cp_of_a_url(nginx, bare):
    url, folder = nginx
    (folder / "data set").mkdir()
    (folder / "data set" / "ü#1.bin").write_bytes(BODY)
    ref = f"{url}/data%20set/%C3%BC%231.bin"
    assert bare.run("cat", ref, text=False).out == BODY
    assert bare.json("stat", ref)["size"] == len(BODY)
    bare.run("cp", ref, bare.cwd / "got")
    assert (bare.cwd / "got").read_bytes() == BODY


def test_a_compressible_file_comes_as_it_is(nginx, bare):
    url, folder = nginx
    text = b"a,b\n" * 10000
    (folder / "x.csv").write_bytes(text)
    assert bare.run("cat", f"{url}/x.csv", text=False).out == text


def test_download_of_an_empty_file(nginx, bare):
    url, folder = nginx
    (folder / "empty").write_bytes(b"")
    bare.run("download", f"{url}/empty", bare.cwd / "d")
    assert list(read_tree(bare.cwd / "d").values()) == [b""]


@local_only
def test_a_registered_url_is_pinned(nginx, ws):
    url, folder = nginx
    (folder / "x.csv").write_bytes(CSV)
    ws.run("data", "create", "--name", "remote", "--type", "uri_file", "--path", f"{url}/x.csv")
    ws.run("download", "remote", ws.cwd / "one")
    assert (ws.cwd / "one" / "x.csv").read_bytes() == CSV
    (folder / "x.csv").write_bytes(CSV + b"5,6\n")
    err = ws.run("download", "remote", ws.cwd / "two", code=CHANGED).err
    assert "x.csv" in err and "changed" in err


@needs_fuse
def test_a_url_of_a_server_with_a_ca_of_ones_own(bare):
    """SSL_CERT_FILE names it, as to other programs."""
    cert, key = bare.cwd / "own.pem", bare.cwd / "own.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=own",
         "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Web(context) as web:
        ref = web.add("x.csv", CSV).replace("http:", "https:")
        err = bare.run("cat", ref, env={"SSL_CERT_FILE": ""}, code=NO_PERMISSION).err
        assert "trusts" in err and "SSL_CERT_FILE" in err
        bare.env["SSL_CERT_FILE"] = str(cert)
        assert bare.run("cat", ref, text=False).out == CSV
        with bare.mounted(ref) as point:
            assert (point / "x.csv").read_bytes() == CSV


@needs_fuse
def test_a_url_mounted(nginx, bare):
    url, folder = nginx
    big = hashlib.shake_128(b"web").digest(20 << 20)
    (folder / "big.bin").write_bytes(big)
    with bare.mounted(f"{url}/big.bin") as point:
        assert (point / "big.bin").read_bytes() == big


def test_a_missing_file_is_named(nginx, bare):
    err = bare.run("cat", f"{nginx[0]}/no/such.csv", code=NOT_FOUND).err
    assert "/no/such.csv'" in err and "404" in err


def test_a_folder_cannot_be_listed_and_says_so(nginx, bare):
    err = bare.run("ls", f"{nginx[0]}/", code=NOT_SUPPORTED).err
    assert "one file" in err


def test_a_url_is_not_written_to(nginx, bare):
    (bare.cwd / "f").write_bytes(b"x")
    assert "'" in bare.run("cp", bare.cwd / "f", f"{nginx[0]}/f", code=NO_PERMISSION).err


# --- servers as they are out there ---


def test_a_file_that_changes_between_ranges_is_an_error(web, bare):
    big = b"x" * (40 << 20)
    url = web.add("big", big)

    def change():
        web.files["/big"] = File(b"y" * len(big), '"two"')

    web.files["/big"].after = change
    err = bare.run("cat", url, code=CHANGED, text=False).err
    assert b"has changed" in err


def test_a_server_that_ignores_conditions_is_caught_by_its_etag(web, bare):
    big = b"x" * (40 << 20)
    url = web.add("big", big)

    def change():
        web.files["/big"] = File(b"y" * len(big), '"two"', conditions=False)

    web.files["/big"].after = change
    assert b"has changed" in bare.run("cat", url, code=CHANGED, text=False).err


def test_without_ranges_the_file_is_fetched_whole_once(web, bare):
    body = b"0123456789abcdef" * (3 << 20 >> 2)
    url = web.add("f", body, ranges=False)
    assert bare.run("cat", url, text=False).out == body
    assert len([h for method, _, h in web.log if method == "GET" and "Range" not in h]) == 1


def test_without_ranges_and_too_large_is_refused(web, bare):
    url = web.add("f", bytes(65 << 20), ranges=False)
    err = bare.run("cat", url, code=NOT_SUPPORTED, text=False).err
    assert b"serves no ranges" in err and b"64 MiB" in err


def test_a_weak_etag_pins_by_time(web, bare):
    url = web.add("f", CSV, 'W/"one"')
    assert bare.run("cat", url, text=False).out == CSV
    gets = [h for method, _, h in web.log if method == "GET"]
    assert gets and all("If-Unmodified-Since" in h and "If-Match" not in h for h in gets)


def test_a_weak_etag_alone_is_no_pin(web, bare):
    err = bare.run("cat", web.add("f", CSV, 'W/"one"', None), code=NOT_SUPPORTED).err
    assert "strong ETag" in err


def test_a_server_that_refuses_head(web, bare):
    assert bare.run("cat", web.add("f", BODY, head=False), text=False).out == BODY
    assert bare.json("stat", web.add("empty", b"", head=False))["size"] == 0


def test_a_wrong_length_is_an_error(web, bare):
    err = bare.run("cat", web.add("f", BODY, length=len(BODY) + 7), code=CHANGED, text=False).err
    assert b"/f'" in err


def test_redirects_are_followed_and_their_secrets_not_shown(web, bare):
    web.add("real", BODY)
    url = web.add("a", to="b/../c")
    web.add("c", to=f"{web.url}/real?X-Amz-Signature=hush")
    assert bare.run("cat", url, text=False).out == BODY
    web.add("real", status=403)
    err = bare.run("cat", url, code=NO_PERMISSION).err
    assert "hush" not in err and "/a'" in err
    assert all("Authorization" not in h and "Cookie" not in h for _, _, h in web.log)


def test_a_redirect_loop_ends(web, bare):
    url = web.add("a", to="/b")
    web.add("b", to="/a")
    err = bare.run("cat", url, code=IO_ERROR).err
    assert "redirected more than" in err and len(web.log) <= 6


def test_a_coded_body_is_refused(web, bare):
    err = bare.run("cat", web.add("f", BODY, coding="gzip"), code=NOT_SUPPORTED).err
    assert "Content-Encoding" in err


def test_a_query_is_a_secret_and_refused(web, bare):
    err = bare.run("cat", f"{web.url}/f?X-Amz-Signature=hush", code=BAD_INPUT).err
    assert "hush" not in err and "secret" in err


def test_azure_accounts_are_datastores(bare):
    err = bare.run("cat", "https://acc.blob.core.windows.net/c/f.csv", code=NOT_FOUND).err
    assert "datastore create" in err
