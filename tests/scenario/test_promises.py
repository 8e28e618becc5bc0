# SPDX-License-Identifier: Apache-2.0
"""The promises about reading (R1 to R5) and staging (D1 to D4), each by its name; docs/promises.md says which other
tests stand behind them. Where a fault or a count of requests is needed, the store is the blob test server."""

import contextlib
import errno
import mmap
import os
import random
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import PATIENCE, asks_once, is_mount, needs_fuse, read_tree, server_of, until, worker_of

BIG = 12 << 20


@pytest.fixture
def files(ws):
    ws.put_all({f"in/{i % 3}/{i:03}": os.urandom(i * 3000) for i in range(20)})
    ws.put("in/big", os.urandom(BIG))
    return ws


def drop(path):
    """The kernel forgets what it has of a file."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def read_at_last(path):
    """All of a file of a mount whose reads end soon: on a machine that stands still they may be late once more."""

    def read():
        try:
            return path.read_bytes()
        except OSError as e:
            assert e.errno in (errno.EIO, errno.ETIMEDOUT), e
            return None

    return until(f"all of {path}", read)


def fails(fn, *codes):
    with pytest.raises(OSError) as e:
        fn()
    assert e.value.errno in codes, e.value


# --- R1 to R4: which bytes ---


@needs_fuse
def test_r1_an_open_file_never_shows_bytes_of_two_versions(files):
    old = files.placed["in/big"]
    with files.mounted(files.ref("in")) as m, open(m / "big", "rb", buffering=0) as f:
        assert f.read(4096) == old[:4096]
        files.store.put("in/big", os.urandom(BIG))

        def stale():
            """How many pieces cannot be had any more.  HDFS is asked once a second, and keeps replaced blocks for some
            seconds; what was read already, or lies beside it, may stay in memory: so others each time."""
            n, begin = 0, random.randrange(0, 1 << 20, 4096)
            drop(m / "big")
            for off in range(begin, BIG, 1 << 20):
                try:
                    assert os.pread(f.fileno(), 4096, off) == old[off : off + 4096]
                except OSError as e:
                    assert e.errno == errno.ESTALE
                    n += 1
            return n

        until("it is noticed", lambda: stale() > 0)


@needs_fuse
def test_r2_a_mount_shows_what_was_there_when_it_was_made(files):
    with files.mounted(files.ref("in")) as m:
        files.store.put("in/new", b"later")
        files.store.put("in/1/new", b"later")
        files.store.remove("in/0/003")
        assert not (m / "new").exists() and "new" not in os.listdir(m / "1")
        assert (m / "0/003").stat().st_size == len(files.placed["in/0/003"])
        fails((m / "0/003").read_bytes, errno.ESTALE)
        assert (m / "1/001").read_bytes() == files.placed["in/1/001"]


@needs_fuse
def test_r3_a_live_mount_shows_another_version_to_who_opens_anew(files):
    if "--live" not in files.run("mount", "--help").out:
        pytest.skip("no live mounts")
    old = files.placed["in/big"]
    with files.mounted(files.ref("in"), None, "--live", "--attr-timeout", "0s") as m:
        with open(m / "big", "rb", buffering=0) as f:
            assert f.read(4096) == old[:4096]
            new = os.urandom(BIG + 5000)
            files.store.put("in/big", new)
            drop(m / "big")
            for off in range(1 << 20, BIG, 3 << 20):
                try:
                    assert os.pread(f.fileno(), 4096, off) == old[off : off + 4096]
                except OSError as e:
                    assert e.errno == errno.ESTALE
        assert (m / "big").read_bytes() == new
        files.store.put("in/later", b"here")
        until("the new file", lambda: (m / "later").exists())


WRONG_BODIES = ["cut 5000", "shorten 100", "total", "other-range", "empty-range", "no-range", "extra", "gzip", "html"]


@needs_fuse
@pytest.mark.only_on("hns")
@pytest.mark.parametrize("fault", WRONG_BODIES)
def test_r4_a_wrong_or_short_body_is_never_the_end_of_a_file(files, fault):
    data = files.placed["in/big"]
    with files.mounted(files.ref("in"), None, "--io-timeout", "2s") as m:
        with files.store.server.failing(f"get {files.store.name}/* * {fault}"):
            with open(m / "big", "rb", buffering=0) as f:
                for off in (0, 5 << 20, BIG - 5000):
                    try:
                        got = os.pread(f.fileno(), 100_000, off)
                    except OSError as e:
                        assert e.errno in (errno.EIO, errno.ETIMEDOUT)
                    else:
                        assert got == data[off : off + 100_000]
        assert read_at_last(m / "big") == data


# --- R5: bounded ---


@pytest.fixture
def silent(files):
    """A mount whose server takes requests and answers none."""
    with files.mounted(files.ref("in"), None, "--io-timeout", "4s") as m:
        with files.store.server.failing(f"get {files.store.name}/* * stall -1"):
            yield m


def map_a_page(path):
    """In a process of its own: it gets SIGBUS."""
    code = f"import mmap; f = open({str(path)!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); m[5 << 20]"
    done = subprocess.run(["python3", "-c", code], stderr=subprocess.DEVNULL, timeout=PATIENCE)
    assert done.returncode == -signal.SIGBUS
    raise OSError(errno.EIO, "a signal")


@needs_fuse
@pytest.mark.only_on("hns")
@pytest.mark.parametrize("way", ["read", "direct", "mmap", "readv"])
def test_r5_every_read_of_a_silent_server_ends(silent, way):
    big = silent / "big"

    def direct():
        fd = os.open(big, os.O_RDONLY | os.O_DIRECT)
        try:
            os.preadv(fd, [mmap.mmap(-1, 4096)], 1 << 20)
        finally:
            os.close(fd)

    def vector():
        with open(big, "rb", buffering=0) as f:
            os.preadv(f.fileno(), [bytearray(70_000), bytearray(1 << 20)], 3 << 20)

    fn = {"read": big.read_bytes, "direct": direct, "mmap": lambda: map_a_page(big), "readv": vector}[way]
    fails(fn, errno.EIO, errno.ETIMEDOUT)
    assert sorted(os.listdir(silent)) == ["0", "1", "2", "big"]  # what needs no server goes on


@needs_fuse
@pytest.mark.only_on("hns")
def test_r5_sixty_four_readers_of_a_silent_server_end(silent):
    ends = []

    def read_one(i):
        try:
            with open(silent / "big", "rb", buffering=0) as f:
                os.pread(f.fileno(), 4096, i * 131_072)
        except OSError as e:
            ends.append(e.errno)

    threads = [threading.Thread(target=read_one, args=(i,)) for i in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(PATIENCE)
    assert len(ends) == 64 and set(ends) <= {errno.EIO, errno.ETIMEDOUT}


@needs_fuse
@pytest.mark.only_on("hns")
@pytest.mark.parametrize("way", ["unmount", "TERM", "INT"])
def test_r5_a_mount_of_a_silent_server_ends(files, way):
    """While a reader waits for it. After a signal it is answered at once, after unmount by its deadline."""
    point = files.cwd / "mnt"
    limit = "2s" if way == "unmount" else "10m"
    with files.store.server.failing(f"get {files.store.name}/* * stall -1"):
        files.run("mount", "--io-timeout", limit, files.ref("in"), point)
        server = server_of(point)
        reader = waiting_reader(["cat", point / "big"], point / "big")
        if way == "unmount":
            files.run("unmount", "--timeout", "500ms", point)
        else:
            os.kill(server, getattr(signal, f"SIG{way}"))
        until("the mount is gone", lambda: not is_mount(point))
        reader.wait(PATIENCE)
        assert reader.returncode != 0
        until("its processes are gone", lambda: not alive(server) and not worker_of(point))


def waits(pid, path):
    """A program that has the file open and waits for it."""
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    links = []
    for x in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(x))
    return state in "SD" and str(path) in links


def waiting_reader(argv, path):
    """A program that waits for the file; another one, where it had its error before it was looked at."""
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def one():
        nonlocal p
        if p.poll() is not None:
            p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return waits(p.pid, path)

    until("a waiting reader", one)
    return p


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@needs_fuse
@pytest.mark.only_on("hns")
@pytest.mark.parametrize("how", ["cached", "direct"])
def test_r5_a_waiting_reader_can_be_killed(files, how):
    """At once; one that reads past the page cache waits in the kernel, deaf to signals, until the deadline."""
    limit, more = {"cached": ("10m", ["bs=1M"]), "direct": ("2s", ["bs=4096", "iflag=direct"])}[how]
    with files.mounted(files.ref("in"), None, "--io-timeout", limit) as m:
        with files.store.server.failing(f"get {files.store.name}/* * stall -1"):
            argv = ["dd", f"if={m / 'big'}", "of=/dev/null", *more]
            p = waiting_reader(argv, m / "big")
            p.kill()
            p.wait(PATIENCE)
        assert read_at_last(m / "big") == files.placed["in/big"]


# --- D1 to D4: staging ---


def parts(out):
    return [p for p in out.rglob("*") if ".sluice" in str(p.relative_to(out))] if out.exists() else []


def whole(out):
    """The files that a user sees, but for what is sluice's own."""
    return {p: d for p, d in read_tree(out).items() if ".sluice" not in p} if out.exists() else {}


def data_requests(server, store):
    return [x for x in server.log() if x["op"] == "get" and x["object"].startswith(store.name)]


@pytest.mark.only_on("hns")
def test_d1_a_name_that_is_there_is_whole(files):
    """Killed again and again, at any time: what has its name has its bytes."""
    out, want = files.cwd / "out", files.below("in")
    with files.store.server.failing(f"get {files.store.name}/* * delay 20"):
        for nr in range(8):
            enough = len(files.store.server.log()) + 3 * nr
            p = files.start("download", "--overwrite", files.ref("in"), out)

            def some(p=p, enough=enough):
                return len(files.store.server.log()) >= enough or p.poll() is not None

            until("some requests", some)
            p.kill()
            p.wait()
            for path, data in whole(out).items():
                assert data == want[path], f"after {nr} kills"
    files.run("download", "--overwrite", files.ref("in"), out)
    assert whole(out) == want and not [p for p in out.rglob("*.sluice-part*")]


def until_idle(pid):
    """A process waits and uses no CPU any more: what it had to do is done."""
    seen = []

    def still():
        used, asleep = [], True
        for task in Path(f"/proc/{pid}/task").iterdir():
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            asleep = asleep and fields[0] == "S"  # one that would like to go on is no idle one
            used.append((task.name, fields[11], fields[12]))
        seen.append((asleep, sorted(used)))
        return len(seen) > 15 and all(x == (True, seen[-1][1]) for x in seen[-15:])

    until("an idle process", still)


@pytest.mark.only_on("hns")
def test_d2_a_killed_download_goes_on_where_it_was(files):
    """What was written before is not fetched again; of another version nothing is kept."""
    asks_once(files).put("one/file", os.urandom(48 << 20))
    out, server, name = files.cwd / "out", files.store.server, files.store.name

    def killed_after(n):
        """Once n answers have come and been written: the others never come."""
        with server.failing(f"get {name}/one/* {n + 1}- stall -1"):
            p = files.start("download", files.ref("one"), out)
            until("the answers", lambda: sum(x["action"] == "-" for x in data_requests(server, files.store)) >= n)
            until_idle(p.pid)
            p.kill()
            p.wait()

    killed_after(4)
    with server.failing("get none/none 1 delay 1"):
        files.run("download", files.ref("one"), out)
        fetched = sum(int(x["bytes"]) for x in data_requests(server, files.store))
    assert (out / "file").read_bytes() == files.placed["one/file"]
    assert fetched < 48 << 20

    (out / "file").unlink()
    for p in parts(out):
        if p.is_file():
            p.unlink()
    killed_after(2)
    files.put("one/file", os.urandom(48 << 20))
    files.run("download", files.ref("one"), out)
    assert (out / "file").read_bytes() == files.placed["one/file"]


@pytest.mark.only_on("hns")
def test_d3_a_tree_is_complete_only_when_it_is_all_there(files):
    """What says so is written last, and verify reads everything."""
    if "verify" not in files.run("--help").out:
        pytest.skip("no verify")
    out = files.cwd / "out"
    with files.store.server.failing(f"get {files.store.name}/in/big * status 404 BlobNotFound"):
        p = files.start("download", files.ref("in"), out, stderr=subprocess.DEVNULL)
        assert p.wait(PATIENCE) != 0
    p = files.start("verify", out, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert p.wait(PATIENCE) != 0
    files.run("download", "--overwrite", files.ref("in"), out)
    files.run("verify", out)
    data = bytearray((out / "big").read_bytes())
    data[7 << 20] ^= 1
    before = (out / "big").stat()
    (out / "big").write_bytes(data)
    os.utime(out / "big", ns=(before.st_atime_ns, before.st_mtime_ns))
    p = files.start("verify", out, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert "big" in p.communicate()[0] and p.returncode != 0


@pytest.mark.only_on("hns")
def test_d4_a_second_run_fetches_nothing(files):
    out, server = files.cwd / "out", files.store.server
    files.run("download", files.ref("in"), out)
    with server.failing("get none/none 1 delay 1"):
        files.run("download", files.ref("in"), out)
        assert not data_requests(server, files.store)
    assert whole(out) == files.below("in")
