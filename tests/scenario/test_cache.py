# SPDX-License-Identifier: Apache-2.0
"""The disk cache: what was read once is not fetched again, by whoever of the node; and nothing wrong comes of it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import (
    BAD_INPUT,
    NOT_FOUND,
    is_mount,
    needs_fuse,
    needs_root,
    read_tree,
    server_of,
    traced,
    until,
    worker_of,
)

DEEP = bool(os.environ.get("SLUICE_DEEP"))
# Of the trace of the store, below the cache: a read that went out.
READ = re.compile(r" read '(.*)' \d+\+\d+ rc 0,")


@pytest.fixture
def files(ws):
    """A tree of small, middling and long files; every command has a cache folder of the test's own."""
    ws.put_all({f"in/{i % 2}/{i:02}": os.urandom(i * i * 300 + 1) for i in range(24)})
    ws.put("in/long", os.urandom((5 << 20) + 321))
    ws.env |= {"XDG_CACHE_HOME": str(ws.cwd / "caches"), "SLUICE_DEBUG": "store"}
    ws.log = ws.cwd / "log"
    return ws


def fetches(ws, below="in/"):
    """Reads of the store so far, by the log of a mount."""
    return sum(path.startswith(below) for path in READ.findall(ws.log.read_text()))


def anew(ws):
    ws.log = ws.cwd / f"{ws.log.name}+"


def stat(ws):
    return ws.json("cache", "stat")


def all_kept(ws):
    """Waits until what was read is written: the mount does that behind the reader."""
    return until("all of it in the cache", lambda: stat(ws)["complete"] == len(ws.below("in")))


def mounted(ws, name="mnt", *options):
    return ws.mounted(ws.ref("in"), ws.cwd / name, "--cache", "--log", ws.log, *options)


def download(ws, name, *options):
    done = ws.run("download", "--cache", *options, ws.ref("in"), ws.cwd / name)
    assert read_tree(ws.cwd / name) == ws.below("in")
    return len(READ.findall(done.err))


def entries(ws):
    return [p for p in (ws.cwd / "caches/sluice/v1").rglob("*") if p.suffix in (".s", ".m", ".d")]


@needs_fuse
def test_a_second_mount_asks_for_no_data(files):
    with mounted(files) as m:
        assert read_tree(m) == files.below("in")
        if files.kind != "local":
            all_kept(files)  # its server ends some time after the mount
    first = fetches(files)
    anew(files)
    with mounted(files) as m:
        assert read_tree(m) == files.below("in")
    if files.kind == "local":
        assert stat(files)["files"] == 0  # what is local is not copied
    else:
        assert first > 0 and fetches(files) == 0
        assert stat(files)["complete"] == len(files.below("in"))


@needs_fuse
@pytest.mark.only_on("blob", "hns", "hdfs")
def test_mounts_and_downloads_share_it(files):
    with mounted(files, "a") as a, mounted(files, "b", "--set=cache=true") as b:
        part = {f"in/{p.relative_to(a)}": p.read_bytes() for p in (a / "0").iterdir()}
        assert part.items() <= files.placed.items()
        # those of the other half that it fetched ahead may be written before
        until("half in the cache", lambda: not files.json("stats", a)[0]["cache"]["queued"])
        assert stat(files)["complete"] >= len(part)
        assert {f"in/{p.relative_to(b)}": p.read_bytes() for p in (b / "0").iterdir()} == part
        assert fetches(files, "in/0/") == len(part)  # of both: they share the log too
        assert download(files, "out") <= len(files.below("in")) - len(part) + 6
        assert read_tree(b) == files.below("in")
        assert fetches(files, "in/0/") == len(part)
    assert download(files, "again") == 0


@needs_fuse
@pytest.mark.only_on("blob", "hns", "hdfs")
def test_what_was_complete_survives_a_crash(files):
    with mounted(files, "mnt") as m:
        assert read_tree(m) == files.below("in")
        all_kept(files)
        for pid in [server_of(m), worker_of(m)]:
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        until("the mount is dead", lambda: not server_of(m) and not worker_of(m))
        anew(files)
        if is_mount(m):
            subprocess.run(["fusermount3", "-u", "-z", str(m)], check=True)
    with mounted(files) as m:
        assert read_tree(m) == files.below("in")
        assert fetches(files) == 0
    assert files.json("cache", "verify")["bad_blocks"] == 0


@pytest.mark.only_on("blob", "hns", "hdfs")
def test_what_was_flipped_or_torn_is_fetched_again(files):
    assert download(files, "a") > 0
    for i, p in enumerate(sorted(entries(files))):
        data = bytearray(p.read_bytes())
        data[(i * 7919) % len(data)] ^= 1 << i % 8
        if i % 5 == 4:
            data = data[: len(data) // 2]
        p.write_bytes(data)
    download(files, "b")
    assert download(files, "c") == 0
    assert files.json("cache", "verify")["bad_blocks"] == 0


@pytest.mark.only_on("blob", "hns", "hdfs")
def test_a_changed_object_is_another_entry(files):
    download(files, "a")
    files.put("in/0/08", os.urandom(8 * 8 * 300 + 1))
    assert download(files, "b") == 1
    assert download(files, "c") == 0


@pytest.mark.only_on("blob")
def test_another_right_is_another_entry(files):
    download(files, "a")
    key = Path(files.store.entry()["account_key"].removeprefix("file:"))
    other = files.cwd / "other-key"
    other.touch(mode=0o600)
    other.write_bytes(key.read_bytes())
    files.set_entry(account_key=f"file:{other}")
    assert download(files, "b") > 0
    assert download(files, "c") == 0
    files.set_entry(account_key=f"file:{key}")
    assert download(files, "d") == 0


@pytest.mark.only_on("blob")
def test_warm_stat_verify_clear(files):
    total = sum(map(len, files.below("in").values()))
    for verb in ("stat", "verify", "clear"):
        assert "no disk cache" in files.run("cache", verb, code=NOT_FOUND).err
    assert not (files.cwd / "caches").exists()
    done = files.json("cache", "warm", files.ref("in"))
    assert done == {"files": len(files.below("in")), "bytes": total, "fetched_bytes": total}
    assert files.json("cache", "warm", files.ref("in"))["fetched_bytes"] == 0
    assert download(files, "out") == 0
    seen = stat(files)
    assert seen["complete"] == seen["files"] == len(files.below("in")) and seen["bytes"] >= total
    assert [s["files"] for s in seen["stores"]] == [seen["files"]]
    assert seen["stores"][0]["store"] in files.run("cache", "stat").out
    assert files.json("cache", "verify")["bytes"] == total
    short = next(p for p in entries(files) if p.suffix == ".s")
    data = short.read_bytes()
    short.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "bad_blocks: 1" in files.run("cache", "verify", code=BAD_INPUT).out
    assert files.json("cache", "verify")["bad_blocks"] == 0
    files.json("cache", "clear")
    assert stat(files)["files"] == 0 and not entries(files)
    assert "--cache-size" in files.run("cache", "warm", "--cache-size=2MB", files.ref("in"), code=9).err


@needs_fuse
@pytest.mark.only_on("blob", "hns")
def test_what_does_not_fit_goes_and_is_right_while_it_is_read(files):
    with mounted(files, "mnt", "--cache-size=2MiB", "--set=cache-reserve=0") as m, open(m / "long", "rb") as f:
        half = f.read(3 << 20)
        for _ in range(2):
            shown = read_tree(m)
            assert shown == files.below("in")
        assert half + f.read() == files.placed["in/long"]
        assert stat(files)["bytes"] <= 2 << 20


@needs_root
@needs_fuse
@pytest.mark.only_on("blob", "hns")
def test_a_full_disk_is_no_error(files):
    small = files.cwd / "small"
    small.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "none", small], check=True)
    try:
        with mounted(files, "mnt", f"--cache-dir={small}", "--set=cache-reserve=1") as m:
            assert read_tree(m) == files.below("in")
        assert stat_of(files, small)["bytes"] <= 2 << 20
        with mounted(files, "mnt", f"--cache-dir={small}") as m:  # the reserve is more than there is
            assert read_tree(m) == files.below("in")
        assert files.json("cache", "verify", "--cache-dir", small)["bad_blocks"] == 0
    finally:
        subprocess.run(["umount", small], check=True)


def stat_of(ws, folder):
    return ws.json("cache", "stat", "--cache-dir", folder)


@pytest.mark.only_on("blob")
def test_a_folder_that_others_may_write_is_refused(files):
    bad = files.cwd / "bad"
    bad.mkdir()
    bad.chmod(0o777)
    assert "chmod 700" in files.run("download", f"--cache-dir={bad}", files.ref("in"), files.cwd / "x", code=4).err


@pytest.mark.only_on("blob")
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_killed_at_any_write_it_is_right(files):
    """A download that is killed at its Nth write into the cache: what the next one finds there is right."""
    for n in range(1, 400, 1 if DEEP else 23):
        shutil.rmtree(files.cwd / "out", ignore_errors=True)
        shutil.rmtree(files.cwd / "caches", ignore_errors=True)
        done = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64,pwritev,ftruncate,openat",
             "-e", f"inject=pwrite64,pwritev,ftruncate:signal=KILL:when={n}",
             "sluice", "download", "--cache", files.ref("in"), str(files.cwd / "out")],
            cwd=files.cwd, env=traced(files.env), capture_output=True, timeout=120,
        )  # fmt: skip
        verified = files.json("cache", "verify")
        assert verified["bad_blocks"] == 0, (n, verified)
        shutil.rmtree(files.cwd / "out", ignore_errors=True)
        download(files, "out")
        if done.returncode == 0:
            break
