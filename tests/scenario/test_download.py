# SPDX-License-Identifier: Apache-2.0
"""as_download: files staged on disk."""

import contextlib
import json
import os
import shutil
import signal
import subprocess

import pytest
from conftest import (
    BAD_INPUT,
    CANCELED,
    CHANGED,
    EXISTS,
    NO_PERMISSION,
    NO_SPACE,
    NOT_FOUND,
    RECORD,
    asks_once,
    held,
    let_others_in,
    local_only,
    needs_root,
    read_tree,
    traced,
    until,
)

PARTS = ".sluice-part"
PARTS_NOW = ".sluice-part-1"


@pytest.fixture
def files(ws):
    ws.put_all({f"in/{i % 4}/{i:03}": os.urandom(i * 1000) for i in range(40)})
    return ws


def test_the_files_are_all_there_and_nothing_else(files):
    files.run("download", files.ref("in"), files.cwd / "out")
    assert read_tree(files.cwd / "out") == files.below("in")


def test_times_are_kept(files):
    files.run("download", files.ref("in"), files.cwd / "out")
    assert (files.cwd / "out/1/001").stat().st_mtime_ns == files.store.mtime_ns("in/1/001")


def test_a_target_that_is_not_empty_is_refused_before_anything_is_copied(files):
    out = files.cwd / "out"
    out.mkdir()
    (out / "mine").write_text("keep")
    assert "out" in files.run("download", files.ref("in"), out, code=EXISTS).err
    assert [p.name for p in out.iterdir()] == ["mine"]
    files.run("download", "--overwrite", files.ref("in"), out)
    assert (out / "mine").read_text() == "keep" and (out / "3/003").exists()


def test_one_file_goes_by_its_name(files):
    files.run("download", files.ref("in/1/001"), files.cwd / "out")
    assert list(read_tree(files.cwd / "out")) == ["001"]


def test_a_place_in_a_datastore_is_no_target(files):
    for verb in "download", "plan", "mount":
        err = files.run(verb, files.ref("in"), files.ref("copy"), code=2).err
        assert "place in a datastore" in err and "sluice cp" in err
    files.run("download", files.ref("in"), "./a:b")
    files.run("download", files.ref("in"), "a:b")
    assert read_tree(files.cwd / "a:b") == files.below("in")


def test_a_planted_link_in_the_target_is_not_followed(files):
    out, victim = files.cwd / "out", files.cwd / "victim"
    out.mkdir()
    victim.mkdir()
    (out / "1").symlink_to(victim)
    files.run("download", "--overwrite", files.ref("in"), out, code=BAD_INPUT)
    assert not any(victim.iterdir())


@local_only
@needs_root
def test_an_unreadable_file_is_named_and_nothing_is_half_there(files, tmp_path):
    (files.folder / "in/2/002").chmod(0)
    let_others_in(tmp_path)
    out = tmp_path / "public"
    out.mkdir(mode=0o777)
    out.chmod(0o777)

    def drop():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    err = files.run("download", files.ref("in"), out / "x", code=NO_PERMISSION, preexec=drop).err
    assert "002" in err
    assert not (out / "x/2/002").exists()


@needs_root
def test_a_full_disk_is_told_before_anything_is_copied(files):
    small = files.cwd / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(small)], check=True)
    try:
        err = files.run("download", files.ref("in"), small / "out", code=NO_SPACE).err
        assert "small" in err
        assert not list(small.rglob("0*"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.only_on("local", "hns")
@needs_root
def test_a_plan_says_what_the_download_would_stumble_over(files):
    small = files.cwd / "small"
    small.mkdir()

    def refused(target, code, *words):
        plan = files.json("plan", "--no-probe", files.ref("in"), target)
        assert plan["fetch_files"] == 40, plan
        err = files.run("download", files.ref("in"), target, code=code).err
        assert all(w in plan["refused"] and w in err for w in words), (plan["refused"], err)

    for option, code, words in (
        ("ro", NO_PERMISSION, ["read-only", "small"]),
        ("size=100k", NO_SPACE, ["room", "free some space"]),
    ):
        subprocess.run(["mount", "-t", "tmpfs", "-o", option, "none", str(small)], check=True)
        try:
            refused(small, code, *words)
            refused(small / "out", code, *words)
        finally:
            subprocess.run(["umount", str(small)], check=True)
    (small / RECORD).mkdir()
    refused(small, BAD_INPUT, RECORD, "remove it")


@local_only
@needs_root
def test_a_target_of_others_is_refused_by_plan_and_download(files, tmp_path):
    let_others_in(tmp_path)
    out = tmp_path / "theirs"
    out.mkdir(mode=0o755)

    def drop():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    for target in (out, out / "new"):
        said = files.run("plan", "--no-probe", files.ref("in"), target, preexec=drop).out
        err = files.run("download", files.ref("in"), target, code=NO_PERMISSION, preexec=drop).err
        assert "may not make files" in said and "may not make files" in err and "theirs" in err


@pytest.mark.only_on("local", "hns")
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_a_quota_that_is_used_up_is_told_and_gone_on_with(ws):
    """Some file systems do not tell of a quota before it is met."""
    ws.put_all({f"in/{i}": os.urandom(3000) for i in range(50)})
    out = ws.cwd / "out"
    # counted for each thread: the first write of one begins the journal
    inject = "inject=pwrite64:error=EDQUOT:when=3+"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", inject,
         "sluice", "download", "-j1", ws.ref("in"), str(out)],
        cwd=ws.cwd, env=traced(ws.env), capture_output=True, timeout=120, text=True,
    )  # fmt: skip
    assert done.returncode == NO_SPACE, done.stderr
    assert "quota" in done.stderr.splitlines()[-1] and not (out / RECORD).exists()
    done = totals(ws.run("download", "-o", "json", ws.ref("in"), out))
    assert done["files"] + done["there"] == 50
    assert read_tree(out) == ws.below("in")


def test_kill_nine_leaves_nothing_half_visible_and_the_next_run_cleans_up(files):
    """Promise 2 and 4."""
    out = files.cwd / "out"
    with held(files, "read:#20+", "download", files.ref("in"), out) as (p, _):
        until("a part file", lambda: list(out.rglob(f"{PARTS}*/*")) if out.exists() else None)
        p.kill()
        p.wait()
    for f in out.rglob("*"):
        if f.is_file() and PARTS not in str(f.relative_to(out)):
            assert f.read_bytes() == files.placed[f"in/{f.relative_to(out)}"]
    files.run("download", files.ref("in"), out)
    assert read_tree(out) == files.below("in")
    assert not list(out.rglob(f"{PARTS}*"))


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_download_ends_and_can_be_gone_on_with(files, sig):
    out = files.cwd / "out"
    with held(files, "read:#20+", "download", files.ref("in"), out, stderr=subprocess.PIPE) as (p, _):
        until("a part file", lambda: list(out.rglob(f"{PARTS}*/*")) if out.exists() else None)
        p.send_signal(sig)
        p.communicate()
    assert p.returncode == CANCELED
    files.run("download", files.ref("in"), out)
    assert read_tree(out) == files.below("in")
    assert not list(out.rglob(f"{PARTS}*"))


@pytest.mark.tsan
def test_passing_faults_are_ridden_out(files):
    files.run("download", files.ref("in"), files.cwd / "out", env={"SLUICE_FAULT": "seed=5,read:0.2:EAGAIN"})
    assert read_tree(files.cwd / "out") == files.below("in")


def test_a_cut_body_is_an_error_not_the_end_of_the_file(files):
    """Promise 5: a store that always delivers short never yields a file."""
    done = files.start(
        "download", files.ref("in"), files.cwd / "out", env={"SLUICE_FAULT": "read:1:short"}, stderr=subprocess.PIPE
    )
    done.communicate()
    assert done.returncode != 0
    names = [name for name in read_tree(files.cwd / "out") if not name.startswith(PARTS)]
    assert set(names) <= {"0/000"}  # the empty one


def test_nothing_there_is_not_an_empty_success(ws):
    ws.store.mkdir("empty")
    ws.run("download", ws.ref("empty"), ws.cwd / "out", code=NOT_FOUND)


# --- going on, and what is there already ---

MIB = 1 << 20
BIG = 24 * MIB


def totals(done):
    return json.loads(done.out)


def test_a_plan_counts_what_a_broken_off_download_left(large):
    out = large.cwd / "out"
    broken_off(large, out)
    plan = large.json("plan", "--no-probe", large.ref("in"), out)
    assert plan["resumed_bytes"] > 0
    assert plan["there_bytes"] + plan["resumed_bytes"] + plan["fetch_bytes"] == plan["bytes"] == BIG + 2000
    assert "that did not end" in large.run("plan", "--no-probe", large.ref("in"), out).out
    done = totals(large.run("download", "-o", "json", large.ref("in"), out))
    assert (done["bytes"], done["resumed"]) == (plan["fetch_bytes"], plan["resumed_bytes"])


@pytest.fixture
def large(ws):
    """One file of several requests on every store, and two small ones."""
    ws.put_all({"in/big": os.urandom(BIG), "in/a": b"a" * 1000, "in/z": b"z" * 1000})
    return ws


def broken_off(large, out, *more):
    """A download whose second request of many fails for good: some of it is there."""
    env = {"SLUICE_FAULT": "read:#3:EACCES"}
    err = large.run("download", "-j1", *more, large.ref("in"), out, code=NO_PERMISSION, env=env).err
    assert "the same command goes on" in err
    assert (out / PARTS_NOW / "journal").exists()


def test_the_second_run_asks_for_no_data(files):
    """D4."""
    files.run("download", files.ref("in"), "out")
    done = files.run("download", "-o", "json", files.ref("in"), "out", env={"SLUICE_FAULT": "read:1:EIO"})
    assert totals(done)["there"] == 40 and totals(done)["bytes"] == 0
    (files.cwd / "out/1/001").unlink()
    done = files.run("download", "-o", "json", files.ref("in"), "out")
    assert totals(done)["files"] == 1 and totals(done)["there"] == 39
    assert read_tree(files.cwd / "out") == files.below("in")


def test_only_what_is_missing_is_fetched(large):
    """D2: what came is not asked for again, and what was changed meanwhile begins anew."""
    out = large.cwd / "out"
    broken_off(large, out)
    done = totals(large.run("download", "-o", "json", large.ref("in"), out))
    assert done["resumed"] >= MIB and done["resumed"] + done["bytes"] == BIG + (0 if done["there"] == 2 else 1000)
    assert read_tree(out) == large.below("in")
    assert not (out / PARTS_NOW).exists()


def test_another_version_is_not_mixed_in(large):
    """R1 over a kill: the parts of the old bytes are not gone on with."""
    out = large.cwd / "out"
    broken_off(large, out)
    large.put("in/big", os.urandom(BIG))
    done = totals(large.run("download", "-o", "json", large.ref("in"), out))
    assert done["resumed"] == 0
    assert read_tree(out) == large.below("in")


def test_something_foreign_is_refused_beside_our_own(large):
    out = large.cwd / "out"
    broken_off(large, out)
    (out / "mine").write_text("keep")
    assert "mine" in large.run("download", large.ref("in"), out, code=EXISTS).err
    assert not (out / "big").exists()
    large.run("download", "--overwrite", large.ref("in"), out)
    assert (out / "mine").read_text() == "keep" and (out / "big").stat().st_size == BIG


@pytest.mark.only_on("hns")
def test_the_server_is_asked_for_each_byte_once(large):
    """By its log, over two kills at a moment when parts are there."""
    out = large.cwd / "out"
    server = asks_once(large).store.server
    with server.failing():
        for after, most in ((1, "read:#4+"), (2, "read:#1+")):  # which cannot end it
            with held(large, most, "download", "-j2", large.ref("in"), out) as (p, _):
                until("chunks in the journal", lambda n=after: chunks_in(out) >= n)
                p.kill()
                p.wait()
        large.run("download", large.ref("in"), out)
        sent = sum(int(entry["bytes"]) for entry in server.log() if entry["op"] == "get")
    assert read_tree(out) == large.below("in")
    # what was on its way at a kill is asked for again: two lanes, two kills, 8 MiB each at most
    assert sent <= BIG + 2000 + 4 * 8 * MIB


def chunks_in(out):
    journal = out / PARTS_NOW / "journal"
    return journal.stat().st_size // 40 - 1 if journal.exists() else 0


def test_policies(files):
    out = files.cwd / "out"
    out.mkdir()
    (out / "mine").write_text("keep")
    (out / "1").mkdir()
    (out / "1/001").write_text("old")
    run = files.run
    assert "mine" in run("download", files.ref("in"), out, code=EXISTS).err
    err = run("download", "--policy", "FAIL_ON_FILE_CONFLICT", files.ref("in"), out, code=EXISTS).err
    assert "1/001" in err and not (out / "0").exists()
    run("download", "--policy=append", files.ref("in"), out)
    assert (out / "1/001").read_text() == "old" and (out / "3/003").exists()
    run("download", "--policy=merge_with_overwrite", files.ref("in"), out)
    assert (out / "1/001").read_bytes() == files.placed["in/1/001"] and (out / "mine").exists()
    assert "not emptied" in files.json("plan", "--no-probe", "--policy=replace", files.ref("in"), "/")["refused"]
    run("download", "--policy=replace", files.ref("in"), out)
    assert read_tree(out) == files.below("in")


@pytest.mark.parametrize("policy", ["fail", "fail_on_file_conflict", "append"])
def test_what_appears_meanwhile_is_not_replaced(files, policy):
    out = files.cwd / "out"
    command = ["download", f"--policy={policy}", files.ref("in"), out]
    with held(files, "read:#20+", *command, stderr=subprocess.PIPE) as (p, go_on):
        until("a part file", lambda: list(out.rglob(f"{PARTS}*/*")) if out.exists() else None)
        (out / "1").mkdir()
        (out / "1/001").write_text("mine")
        go_on()
        err = p.communicate()[1].decode()
    assert (out / "1/001").read_text() == "mine"
    assert p.returncode == (0 if policy == "append" else EXISTS) and err.count("\n") == (policy != "append"), err
    if policy != "append":
        assert "'1/001'" in err and "--overwrite" in err
        (out / "1/001").unlink()
        files.run("download", files.ref("in"), out)
        assert read_tree(out) == files.below("in")


def test_vanished_files_are_left_out_when_asked(files):
    files.register("d", "in")
    files.store.remove("in/1/001")
    assert "1/001" in files.run("download", "d@1", "out", code=CHANGED).err
    done = files.run("download", "-o", "json", "--ignore-not-found", "d@1", "out")
    assert totals(done)["missing"] == 1 and "1/001" in done.err
    got = read_tree(files.cwd / "out")
    assert len(got) == 39 and "1/001" not in got


def test_a_full_disk_in_the_middle_can_be_gone_on_with(large, tmp_path):
    """The room is there at first, and is taken by somebody else while it is copied."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(small)], check=True)
    try:
        out = small / "out"
        command = ["download", "-j1", large.ref("in"), out]
        with held(large, "read:#3+", *command, stderr=subprocess.PIPE) as (p, go_on):
            until("chunks in the journal", lambda: chunks_in(out) >= 1)
            with contextlib.suppress(OSError), (small / "other").open("wb", buffering=0) as f:
                while f.write(bytes(64 * 1024)):
                    pass
            go_on()
            err = p.communicate()[1]
        assert p.returncode == NO_SPACE and len(err.decode().splitlines()) == 1, err
        (small / "other").unlink()
        done = totals(large.run("download", "-o", "json", large.ref("in"), out))
        assert done["resumed"] >= MIB
        assert read_tree(out) == large.below("in")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def small_used(folder):
    s = os.statvfs(folder)
    return (s.f_blocks - s.f_bavail) * s.f_frsize


@pytest.fixture
def reflinks(tmp_path):
    """A folder on a file system that has them."""
    image, folder = tmp_path / "image", tmp_path / "xfs"
    folder.mkdir()
    with image.open("wb") as f:
        f.truncate(400 * MIB)
    subprocess.run(["mkfs.xfs", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True).returncode:
        pytest.skip("no XFS or no loop devices here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


needs_xfs = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mkfs.xfs"), reason="no mkfs.xfs")


@local_only
@needs_xfs
def test_a_local_file_is_reflinked(ws, reflinks):
    (reflinks / "src").mkdir()
    (reflinks / "src/big").write_bytes(os.urandom(BIG + 7))
    (reflinks / "src/small").write_bytes(b"small")
    before = small_used(reflinks)
    done = totals(ws.run("download", "-o", "json", reflinks / "src", reflinks / "out"))
    assert done["cloned"] == BIG + 7 and done["bytes"] == 5
    assert small_used(reflinks) - before < 4 * MIB
    assert read_tree(reflinks / "out") == read_tree(reflinks / "src")
    ws.run("verify", reflinks / "out")
    (reflinks / "src/big").write_bytes(os.urandom(BIG))
    assert (reflinks / "out/big").stat().st_size == BIG + 7  # not a hard link
    assert "big" in ws.run("verify", reflinks / "out", reflinks / "src", code=CHANGED).out


@pytest.mark.only_on("hns")
@needs_xfs
def test_a_file_of_the_disk_cache_is_reflinked(large, reflinks):
    cache = f"--cache-dir={reflinks}/cache"
    large.run("download", cache, large.ref("in"), reflinks / "one")
    with large.store.server.failing():
        done = totals(large.run("download", "-o", "json", cache, large.ref("in"), reflinks / "two"))
        assert not [entry for entry in large.store.server.log() if entry["op"] == "get"]
    assert done["cloned"] == BIG
    assert read_tree(reflinks / "two") == large.below("in")


def test_two_downloads_into_one_target(files):
    """One of them is refused, and the other is not disturbed."""
    out = files.cwd / "out"
    with held(files, "read:#20+", "download", files.ref("in"), out) as (p, go_on):
        until("a part, which is made under the lock", lambda: list(out.rglob(f"{PARTS}*/*")) if out.exists() else None)
        assert "another download" in files.run("download", files.ref("in"), out, code=EXISTS).err
        go_on()
        assert p.wait() == 0
    assert read_tree(out) == files.below("in")


# --- kill -9 at the Nth system call ---

DEEP = bool(os.environ.get("SLUICE_DEEP"))
# What changes something in the target; each thread of the process counts its own calls.
CALLS = (
    "mkdirat openat pwrite64 write fallocate ftruncate utimensat close fsync syncfs renameat unlinkat flock".split()
    if DEEP
    else ["openat", "pwrite64", "utimensat", "renameat", "unlinkat", "fsync"]
)


def killed_at(ws, out, call, n):
    """The exit status of a download that is killed at its Nth call of that kind; 0: it made fewer."""
    argv = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:signal=KILL:when={n}",
    ]
    done = subprocess.run(
        [*argv, "sluice", "download", "-j2", ws.ref("in"), str(out)],
        cwd=ws.cwd, env=traced(ws.env), capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.only_on("local", "hns")
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_any_call_it_shows_whole_files_and_goes_on(ws, call):
    """D1, D2, D3: no name without its bytes, no record before the last file, and the same command ends it."""
    ws.put_all({f"in/{i}/f{i}": os.urandom(3000 * i) for i in range(6)})
    ws.put("in/big", os.urandom(3 * MIB + 5))
    want = ws.below("in")
    n = 1
    while True:
        out = ws.cwd / f"out{n}"
        status = killed_at(ws, out, call, n)
        seen = {k: v for k, v in read_tree(out).items() if not k.startswith(PARTS)} if out.exists() else {}
        assert seen.items() <= want.items(), (call, n)
        assert not (out / RECORD).exists() or seen == want, (call, n)
        ws.run("download", ws.ref("in"), out)
        assert read_tree(out) == want and not (out / PARTS_NOW).exists(), (call, n)
        shutil.rmtree(out)
        if status == 0:
            break
        n += 1 if DEEP else max(1, n // 2)
    assert n > 1 or call in ("fallocate", "ftruncate", "mkdirat"), "it never happened"


# --- verify and plan ---


def test_verify_finds_what_is_wrong(files):
    """D3: and needs no store for it."""
    out = files.cwd / "out"
    files.run("download", files.ref("in"), out)
    assert "40 files" in files.run("verify", out).out
    assert files.json("verify", out, files.ref("in"))["same"]
    data = bytearray((out / "1/005").read_bytes())
    data[100] ^= 1
    (out / "1/005").write_bytes(data)
    (out / "2/006").unlink()
    (out / "new").write_text("x")
    (out / "0/000").rename(files.cwd / "aside")
    lines = files.run("verify", out, code=CHANGED).out.splitlines()
    assert [x.split()[1] for x in lines[:4]] == ["0/000", "1/005", "2/006", "new"], lines
    (files.cwd / "aside").rename(out / "0/000")
    for ref in ([], [files.ref("in")]):
        found = json.loads(files.run("verify", "-o", "json", out, *ref, code=CHANGED).out)["found"]
        assert {(f["path"], f["what"]) for f in found} == {
            ("1/005", "different"),
            ("2/006", "missing"),
            ("new", "extra"),
        }
    done = files.run("download", "-o", "json", "--overwrite", "--rehash", files.ref("in"), out)
    assert totals(done)["files"] == 2
    err = files.run("verify", out, code=CHANGED).err
    assert "0 wrong, 1 extra; remove what is extra" in err
    (out / "new").unlink()
    files.run("verify", out)


def test_what_came_before_its_source_changed_is_not_right(files):
    """Also where the length is the same and the store keeps no checksums."""
    out = files.cwd / "out"
    files.run("download", files.ref("in"), out)
    files.put("in/1/005", bytes(b ^ 1 for b in files.placed["in/1/005"]))
    files.run("verify", out)
    found = json.loads(files.run("verify", "-o", "json", out, files.ref("in"), code=CHANGED).out)["found"]
    assert [(f["path"], f["what"]) for f in found] == [("1/005", "different")]
    files.run("download", "--overwrite", files.ref("in"), out)
    files.run("verify", out, files.ref("in"))


def test_a_plan_is_what_comes(files):
    out = files.cwd / "out"
    plan = files.json("plan", files.ref("in"), out)
    assert plan["fetch_files"] == 40 and plan["fetch_bytes"] == sum(len(b) for b in files.placed.values())
    assert plan["requests"] == 39 and plan["probe_requests"] > 0 and not out.exists()
    files.run("download", files.ref("in"), out)
    (out / "1/001").unlink()
    plan = files.json("plan", "--no-probe", files.ref("in"), out)
    assert plan["there_files"] == 39 and plan["fetch_files"] == 1 and plan["requests"] == 1
    assert "estimate_ms" not in plan and "refused" not in plan
    (out / "mine").write_text("x")
    assert "mine" in files.json("plan", "--no-probe", files.ref("in"), out)["refused"]
    plan = files.json("plan", "--no-probe", "--policy=replace", files.ref("in"), out)
    assert plan["removals"] == 1 and plan["there_files"] == 39 and (out / "mine").exists()
    assert "to fetch" in files.run("plan", files.ref("in")).out
