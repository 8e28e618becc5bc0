# SPDX-License-Identifier: Apache-2.0
"""What the bench of mounts measures against: servers on this machine that serve one folder from disk (the blob test
server, nginx, either behind toxiproxy), and mounts of it by sluice, rclone, blobfuse2 and floorfs."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", TOP / "build"))
sys.path.insert(0, str(TOP / "tests/scenario"))
ACCOUNT = "devstoreaccount1"
# The emulator's published key: no secret.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "bench"
TICK = os.sysconf("SC_CLK_TCK")
RCLONE = os.environ.get("RCLONE") or shutil.which("rclone")
BLOBFUSE2 = os.environ.get("BLOBFUSE2")
TOXIPROXY = os.environ.get("SLUICE_TOXIPROXY")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, check, patience=60):
    end = time.monotonic() + patience
    while not check():
        if time.monotonic() > end:
            raise SystemExit(f"bench: {what} does not come")
        time.sleep(0.005)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def certificate(work):
    """Its own authority; the key is beside it."""
    pem = work / "tls.pem"
    if not pem.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", work / "tls.key", "-out", pem],
            check=True, capture_output=True,
        )  # fmt: skip
    return pem


class Blobd:
    """The blob test server over a folder; curl needs no signature there, the others sign."""

    def __init__(self, work, *options, tls=False):
        self.ca = certificate(work) if tls else None
        more = ["--tls-cert", self.ca, "--tls-key", work / "tls.key"] if tls else []
        own = work / f"blobd-{free_port()}"
        own.mkdir()
        self.process = subprocess.Popen(
            [BUILD / "tests/blobd/blobd", "--dir", own, "--lax", *more, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.port = int(self.process.stdout.readline())
        self.top = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.url = f"{self.top}/{ACCOUNT}"
        self.key = own / "key"
        self.key.touch(mode=0o600)
        self.key.write_text(KEY)
        self.proxy = None

    def ask(self, method, path, data=None):
        import ssl

        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        request = urllib.request.Request(f"{self.top}/-/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.read().decode()

    @contextlib.contextmanager
    def delayed(self, milliseconds):
        """Every request waits so long before it is looked at."""
        self.ask("PUT", "rules", f"* * * delay {milliseconds}\n".encode() if milliseconds else b"\n")
        try:
            yield
        finally:
            self.ask("PUT", "rules", b"\n")

    def forget(self):
        self.ask("DELETE", "log")

    def counted(self):
        """(requests, bytes of bodies) since forget()."""
        lines = self.ask("GET", "log").splitlines()
        return len(lines), sum(int(x.split(" ")[5]) for x in lines)

    def cpu(self):
        """Seconds of the processor that it has used."""
        return cpu_of(self.process.pid)

    def at(self, path):
        return f"{self.proxy.url(self) if self.proxy else self.url}/{CONTAINER}/{path}"

    def entry(self, container=CONTAINER):
        more = {"ca_file": str(self.ca)} if self.ca else {}
        return {
            "type": "azure_blob", "account_name": ACCOUNT, "container_name": container,
            "endpoint": self.proxy.url(self) if self.proxy else self.url, "account_key": f"file:{self.key}", **more,
        }  # fmt: skip

    def rclone(self, container=CONTAINER):
        end = self.proxy.url(self) if self.proxy else self.url
        more = ["--ca-cert", str(self.ca)] if self.ca else []
        return f":azureblob,account={ACCOUNT},key='{KEY}',endpoint='{end}':{container}", more

    @contextlib.contextmanager
    def behind(self, proxy):
        self.proxy = proxy
        try:
            yield self
        finally:
            self.proxy = None

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Toxiproxy:
    """A line of so many milliseconds, and so many KB/s for each connection, to a port here."""

    def __init__(self, port, latency, rate):
        self.api, self.port = f"http://127.0.0.1:{free_port()}", free_port()
        self.process = subprocess.Popen(
            [TOXIPROXY, "-host", "127.0.0.1", "-port", self.api.rsplit(":", 1)[1]],
            env={**os.environ, "LOG_LEVEL": "error"}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until("toxiproxy", lambda: listens(int(self.api.rsplit(":", 1)[1])))
        self.call("/proxies", name="line", listen=f"127.0.0.1:{self.port}", upstream=f"127.0.0.1:{port}")
        self.call("/proxies/line/toxics", type="latency", stream="downstream", attributes={"latency": latency})
        self.call("/proxies/line/toxics", type="bandwidth", stream="downstream", attributes={"rate": rate})

    def call(self, path, **body):
        urllib.request.urlopen(urllib.request.Request(self.api + path, json.dumps(body).encode()), timeout=10).close()

    def url(self, server):
        return server.url.replace(f":{server.port}/", f":{self.port}/")

    def stop(self):
        self.process.kill()
        self.process.wait()


class Nginx:
    """Static files of a folder, http and https."""

    def __init__(self, work, folder):
        pem, self.port, self.tls_port = certificate(work), free_port(), free_port()
        self.url, self.tls_url, self.ca = f"http://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.tls_port}", pem
        temp = "".join(f"{x}_temp_path {work}/{x};" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = work / "nginx.conf"
        conf.write_text(
            f"daemon off; worker_processes 2; pid {work}/nginx.pid; error_log {work}/nginx.log; worker_rlimit_nofile 4096;"
            "events { worker_connections 2048; } http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;"
            f"{temp} autoindex on; root {folder}; server {{ listen 127.0.0.1:{self.port}; }}"
            f"server {{ listen 127.0.0.1:{self.tls_port} ssl; ssl_certificate {pem}; ssl_certificate_key {work}/tls.key; }} }}"
        )
        folder.chmod(0o755)
        for p in [folder, *folder.parents][:2]:
            p.chmod(0o755)
        self.process = subprocess.Popen([NGINX, "-e", work / "nginx.log", "-c", conf], stderr=subprocess.DEVNULL)
        until("nginx", lambda: listens(self.port))

    def over(self, ca):
        """It as a server that counts nothing; ca: its authority's file, with https."""
        return Uncounted(self.process.pid, ca)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Uncounted:
    """A server that keeps no log."""

    def __init__(self, pid, ca):
        self.pid, self.ca = pid, ca

    def forget(self):
        pass

    def counted(self):
        return 0, 0

    def cpu(self):
        return cpu_of(self.pid)


# --- processes ---


def below(pid):
    """A process and all its descendants."""
    found = [pid]
    for p in found:
        for task in Path(f"/proc/{p}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(x) for x in task.read_text().split()]
    return found


def cpu_of(pid):
    """Seconds that a process and those that it started have used."""
    total = 0
    for p in below(pid) if pid else []:
        with contextlib.suppress(OSError):
            total += sum(map(int, Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    return total / TICK


class Clocks:
    """What a block takes: seconds, and those of the processor that programs used which ended in it."""

    def __enter__(self):
        self.began, self.before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        return self

    def __exit__(self, *_):
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.seconds = time.monotonic() - self.began
        self.cpu = after.ru_utime + after.ru_stime - self.before.ru_utime - self.before.ru_stime


class Served:
    """A mount and the processes that serve it."""

    def __init__(self, point, pid, ready):
        self.point, self.pid, self.ready = Path(point), pid, ready

    def cpu(self):
        return cpu_of(self.pid)

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in below(self.pid))

    def memory(self):
        """(memory, anonymous, peak) in MiB: its processes' proportional shares, so that what they share counts once;
        the peak is that of the largest, with the anonymous memory of the others."""
        total, parts = 0.0, []
        for pid in below(self.pid) if self.pid else []:
            with contextlib.suppress(OSError, StopIteration):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                pss, anonymous = (
                    next(int(x.split()[1]) / 1024 for x in rollup if x.startswith(name))
                    for name in ("Pss:", "Anonymous:")
                )
                status = Path(f"/proc/{pid}/status").read_text().splitlines()
                total += pss
                parts.append((next(int(x.split()[1]) / 1024 for x in status if x.startswith("VmHWM")), anonymous))
        parts.sort(reverse=True)
        return total, sum(p[1] for p in parts), sum(p[0 if i == 0 else 1] for i, p in enumerate(parts))


def is_mount(point):
    return any(line.split(" ")[4] == str(point) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def end(process, point):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if is_mount(point):
        subprocess.run(["umount", "-l", point], check=False)


@contextlib.contextmanager
def with_descriptor(point, argv, env=None):
    """A program that says R on a descriptor when it is mounted; {fd} in argv is its number."""
    point.mkdir(exist_ok=True)
    r, w = os.pipe()
    began = time.monotonic()
    p = subprocess.Popen([str(a).replace("{fd}", str(w)) for a in argv], pass_fds=(w,), stdout=subprocess.DEVNULL,
                         env={**os.environ, **(env or {})})  # fmt: skip
    os.close(w)
    ready = os.read(r, 4096)
    seconds = time.monotonic() - began
    os.close(r)
    try:
        if ready != b"R":
            raise SystemExit(f"bench: {argv[0]} could not mount: {ready.decode()}")
        yield Served(point, p.pid, seconds)
    finally:
        end(p, point)


def sluice(ref, point, *options, env=None):
    argv = ["sluice", "mount", "--foreground", "--ready-fd={fd}", *options, ref, point]
    return with_descriptor(point, argv, env)


def floor(point, big, nfiles, small, *options):
    script = 'exec "$0" "$@" 3>&{fd}'
    return with_descriptor(
        point, ["bash", "-c", script, BUILD / "tests/bench/floorfs", point, big, nfiles, small, *options]
    )


@contextlib.contextmanager
def polled(point, argv, env=None):
    """A program that tells nobody."""
    point.mkdir(exist_ok=True)
    began = time.monotonic()
    p = subprocess.Popen(
        [str(a) for a in argv], env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(argv[0], lambda: is_mount(point) or p.poll() is not None)
        if p.poll() is not None:
            raise SystemExit(f"bench: {argv[0]} could not mount")
        yield Served(point, p.pid, time.monotonic() - began)
    finally:
        end(p, point)


# What its manual gives for long reads, and what suits small ones.
RCLONE_LONG = ["--vfs-read-chunk-size", "8M", "--vfs-read-chunk-streams", "16"]
RCLONE_SHORT = ["--vfs-read-chunk-size", "64k", "--vfs-read-chunk-size-limit", "64k", "--buffer-size", "0",
                "--vfs-read-wait", "0"]  # fmt: skip


def rclone(where, more, point):
    return polled(
        point,
        [RCLONE, "--config", "", "mount", where, point, "--read-only", "--vfs-cache-mode", "off", "--dir-cache-time",
         "1h", "--attr-timeout", "1h", *more],
    )  # fmt: skip


def blobfuse2(server, work, point):
    config = work / "blobfuse2.yaml"
    config.write_text(
        "allow-other: false\nread-only: true\nlogging:\n  type: silent\n"
        "components: [libfuse, block_cache, attr_cache, azstorage]\n"
        "block_cache:\n  block-size-mb: 8\n  prefetch: 16\n  mem-size-mb: 512\nattr_cache:\n  timeout-sec: 3600\n"
        f"azstorage:\n  type: block\n  account-name: {ACCOUNT}\n  account-key: {KEY}\n  endpoint: {server.url}\n"
        f"  mode: key\n  container: {CONTAINER}\n  use-http: {'false' if server.ca else 'true'}\n"
    )
    env = {"SSL_CERT_FILE": str(server.ca)} if server.ca else None
    return polled(point, [BLOBFUSE2, "mount", point, f"--config-file={config}", "--foreground"], env)


ADLFS = """
import sys
from adlfs import AzureBlobFileSystem
account, key, endpoint = sys.argv[1:4]
fs = AzureBlobFileSystem(
    account_name=account,
    connection_string=f"AccountName={account};AccountKey={key};BlobEndpoint={endpoint}",
    skip_instance_cache=True,
)
if sys.argv[4] == "read":
    with fs.open(sys.argv[5], block_size=8 << 20) as f:
        while f.read(8 << 20):
            pass
else:
    fs.get(sys.argv[5], sys.argv[6], recursive=True)
"""


def adlfs(server, *args):
    """argv of it, or None: its TLS trusts the system's authorities only."""
    if server.ca or subprocess.run([sys.executable, "-c", "import adlfs"], capture_output=True).returncode:
        return None
    return [sys.executable, "-c", ADLFS, ACCOUNT, KEY, server.url, *args]
