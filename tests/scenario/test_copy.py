# SPDX-License-Identifier: Apache-2.0
"""cp and rm: many files at once, on every store."""

import hashlib
import json
import os
import resource
import signal
import socket
import subprocess

import pytest
from conftest import (
    BAD_INPUT,
    CANCELED,
    EXISTS,
    IO_ERROR,
    NO_SPACE,
    NOT_FOUND,
    NOT_SUPPORTED,
    USAGE,
    held,
    local_only,
    read_tree,
)

BIG = os.urandom(1 << 20) * 21 + b"and a bit"  # several blocks on each store


def make(folder, files):
    for path, data in files.items():
        full = folder / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)


@pytest.fixture
def src(ws):
    files = {"empty": b"", "small": b"s", "d/x": b"x", "d/deep/y": b"y" * 5000, "big": BIG}
    make(ws.cwd / "src", files)
    return files


def test_a_tree_goes_there_and_back(ws, src):
    ws.run("cp", "-R", "src", ws.ref("t"))
    ws.run("cp", "-R", ws.ref("t"), ws.ref("again"))
    ws.run("cp", "-R", ws.ref("again"), "back")
    assert read_tree(ws.cwd / "back") == src
    assert hashlib.sha256(ws.get("again/big")).digest() == hashlib.sha256(BIG).digest()


@pytest.mark.parametrize("more", [(), ("-n",), ("-R",)])
@pytest.mark.parametrize("to", ["nobody:raw/", "nobody:raw//", "nobody:raw", "nobody:raw/b"])
def test_a_datastore_that_is_not_there_is_no_local_folder(ws, src, more, to):
    before = sorted(x.name for x in ws.cwd.iterdir())
    assert "'nobody'" in ws.run("cp", *more, "src/small", to, code=NOT_FOUND).err
    assert sorted(x.name for x in ws.cwd.iterdir()) == before


def test_a_local_folder_with_a_colon_is_one(ws, src):
    (ws.cwd / "nobody:raw").mkdir()
    ws.run("cp", "src/small", "nobody:raw/")
    ws.run("cp", "src/empty", "./nobody:more/")
    assert read_tree(ws.cwd / "nobody:raw") == {"small": b"s"} and read_tree(ws.cwd / "nobody:more") == {"empty": b""}


def test_several_sources_go_into_a_folder(ws, src):
    ws.run("cp", "src/small", "src/empty", "src/d/*", ws.ref("t"))
    assert ws.run("ls", ws.ref("t")).out == "empty\nsmall\nx\n"


def test_two_sources_of_one_name_are_refused_before_anything_is_written(ws):
    make(ws.cwd, {"a/f": b"1", "b/f": b"2"})
    assert "one by one" in ws.run("cp", "a/f", "b/f", ws.ref("t"), code=BAD_INPUT).err
    assert not ws.exists("t/f")


def test_a_copy_onto_itself_is_refused(ws):
    ws.put("f", "f")
    ws.run("cp", "--overwrite", ws.ref("f"), ws.ref("f"), code=BAD_INPUT)
    assert ws.get("f") == b"f"


def test_one_failure_does_not_stop_the_others(ws, src):
    ws.put("t/small", "there")
    ws.put("t/d/x", "there")
    err = ws.run("cp", "-R", "src", ws.ref("t"), code=EXISTS).err
    assert "2 of 5 files failed" in err
    assert "small" in err and "d/x" in err
    assert ws.get("t/small") == b"there"
    assert ws.get("t/big") == BIG


@pytest.mark.only_on("blob", "hdfs")
def test_a_server_that_is_down_is_told_of_once(ws):
    make(ws.cwd, {f"src/f{i}": b"x" for i in range(20)})
    with socket.socket() as nobody:  # bound, and does not listen
        nobody.bind(("127.0.0.1", 0))
        down = f"127.0.0.1:{nobody.getsockname()[1]}"
        ws.set_entry(
            **({"endpoint": f"http://{down}"} if ws.kind == "blob" else {"namenode": down, "rpc_address": down})
        )
        few = ws.run("cp", "-R", "src", ws.ref("t"), code=IO_ERROR).err.splitlines()
        assert len(few) == 1 and "20 of 20 files failed" in few[0] and "nobody listens there" in few[0]
        many = ws.run("cp", "-v", "-R", "src", ws.ref("t"), code=IO_ERROR).err.splitlines()
        assert sum("nobody listens there" in x for x in many) == 10


def test_a_big_file_is_not_sent_when_its_name_is_taken(ws, src):
    ws.put("t", "there")
    assert "--overwrite" in ws.run("cp", "src/big", ws.ref("t"), code=EXISTS).err
    assert ws.get("t") == b"there"
    ws.run("cp", "--overwrite", "src/big", ws.ref("t"))
    assert ws.get("t") == BIG


def test_a_dry_run_only_tells(ws, src):
    out = ws.run("cp", "-n", "-R", "src/d", ws.ref("t")).out
    assert out.splitlines() == [f"src/d/{x} -> {ws.ref('t')}/{x}" for x in ["deep/y", "x"]]
    assert not ws.exists("t")
    told = ws.run("cp", "-n", "-o", "json", "src/small", ws.ref("t/s")).json
    assert told == {"path": "src/small", "to": ws.ref("t/s"), "size": 1}


def test_a_killed_copy_leaves_nothing_half_done(ws, src):
    os.truncate(ws.cwd / "src/big", 1 << 30)
    with held(ws, "put_block:#9", "cp", "-o", "json", "src/big", ws.ref("t/big"), stderr=subprocess.PIPE) as (p, _):
        p.stderr.readline()  # it is under way
        p.send_signal(signal.SIGKILL)
        p.communicate()
    assert not ws.exists("t/big")
    ws.run("cp", "src/small", ws.ref("t/small"))
    assert ws.run("ls", "-R", ws.ref("t")).out == "small\n"


def test_an_interrupted_copy_ends_and_says_so(ws, src):
    os.truncate(ws.cwd / "src/big", 4 << 30)
    with held(ws, "put_block:#9", "cp", "-o", "json", "src/big", ws.ref("t/big"), stderr=subprocess.PIPE) as (p, _):
        p.stderr.readline()
        p.send_signal(signal.SIGINT)
        err = p.communicate()[1]
    assert p.returncode == CANCELED
    assert b"cancel" in err
    assert not ws.exists("t/big")


def test_rm_of_a_file_and_of_a_pattern(ws):
    for name in ["a.csv", "b.csv", "c.txt", "d/e.csv"]:
        ws.put(name, name)
    ws.run("rm", ws.ref("c.txt"))
    ws.run("rm", ws.ref("*.csv"))
    assert not ws.exists("a.csv") and not ws.exists("b.csv") and not ws.exists("c.txt")
    assert ws.get("d/e.csv") == b"d/e.csv"
    ws.run("rm", ws.ref("**/*.csv"))
    assert not ws.exists("d/e.csv")


def test_rm_of_a_folder_needs_recursive(ws):
    ws.put("d/e/f", "f")
    ws.put("d/g", "g")
    ws.put("dd", "stays")
    assert "--recursive" in ws.run("rm", ws.ref("d"), code=BAD_INPUT).err
    assert ws.run("rm", "-n", "-R", ws.ref("d")).out == f"{ws.ref('d')}/e/f\n{ws.ref('d')}/g\n"
    assert ws.exists("d/e/f")
    ws.run("rm", "-R", ws.ref("d"))
    assert not ws.exists("d")
    assert ws.get("dd") == b"stays"


def test_rm_of_what_is_not_there(ws):
    assert "nothing" in ws.run("rm", ws.ref("nothing"), code=NOT_FOUND).err
    ws.run("rm", "--force", ws.ref("nothing"))


def test_rm_refuses_roots_and_datasets(ws):
    ws.put("f", "f")
    assert "root" in ws.run("rm", "-R", ws.ref(""), code=BAD_INPUT).err
    ws.register("ds", "f")
    assert "never removed" in ws.run("rm", "ds@1", code=BAD_INPUT).err
    assert ws.get("f") == b"f"


@local_only
def test_properties_are_for_stores_that_keep_them(ws):
    make(ws.cwd, {"f": b"f"})
    assert "tier" in ws.run("cp", "--tier", "Cool", "f", ws.ref("g"), code=NOT_SUPPORTED).err
    ws.run("cp", "--metadata", "novalue", "f", ws.ref("g"), code=USAGE)
    assert not ws.exists("g")


@local_only
def test_where_no_sum_is_kept_the_strict_check_fails(ws):
    ws.put("f", "f")
    err = ws.run("cp", "--check-md5", "fail-if-different-or-missing", ws.ref("f"), "g", code=BAD_INPUT).err
    assert "keeps no MD5" in err
    assert not (ws.cwd / "g").exists()
    ws.run("download", "--check-md5", "fail-if-different-or-missing", ws.ref("f"), "h", code=BAD_INPUT)
    ws.run("cp", "--check-md5", "sometimes", ws.ref("f"), "g", code=USAGE)


def test_a_dry_run_shows_places_as_they_were_written(ws, src):
    ws.put("p/a.csv", "a")
    assert ws.run("cp", "-n", "./src/small", "src/d/x", ws.ref("new/")).out.splitlines() == [
        f"./src/small -> {ws.ref('new/small')}",
        f"src/d/x -> {ws.ref('new/x')}",
    ]
    assert ws.run("cp", "-n", ws.ref("p/*.csv"), "out/").out == f"{ws.ref('p/a.csv')} -> out/a.csv\n"
    assert ws.run("rm", "-n", ws.ref("p/*.csv"), ws.ref("p/a.csv")).out == f"{ws.ref('p/a.csv')}\n" * 2
    assert ws.exists("p/a.csv")


def test_include_and_exclude_choose_files(ws):
    make(ws.cwd / "s", {"a.csv": b"1", "b.txt": b"2", "d/c.csv": b"3", "d/tmp/e.csv": b"4", "_x.csv": b"5"})
    ws.run("cp", "-R", "--include", "*.csv", "--exclude", "_*", "--exclude", "**/tmp/**", "s", ws.ref("t"))
    assert ws.run("ls", "-R", ws.ref("t")).out.splitlines() == ["a.csv", "d/c.csv"]
    ws.run("rm", "-R", "--exclude", "a.*", ws.ref("t"))
    assert ws.get("t/a.csv") == b"1" and not ws.exists("t/d/c.csv")
    ws.run("cp", "-R", "--include", "[", "s", ws.ref("u"), code=BAD_INPUT)


def test_no_clobber_skips_what_is_there(ws, src):
    ws.put("t/small", "there")
    got = ws.json("cp", "-R", "--no-clobber", "src", ws.ref("t"))
    assert (got["files"], got["skipped"], got["failed"]) == (4, 1, 0)
    assert ws.get("t/small") == b"there" and ws.get("t/big") == BIG


def test_update_copies_what_is_new_or_differs(ws, src):
    total = sum(map(len, src.values()))
    for path in src:  # stores of whole seconds cannot tell what was written within the one of the copy
        os.utime(ws.cwd / "src" / path, (1e9, 1e9))
    assert ws.json("cp", "-R", "--update", "src", ws.ref("t")) == {
        "files": 5, "bytes": total, "skipped": 0, "failed": 0,
    }  # fmt: skip
    (ws.cwd / "src/small").write_bytes(b"longer")
    (ws.cwd / "src/new").write_bytes(b"new")
    later = ws.config.stat().st_mtime + 3600
    os.utime(ws.cwd / "src/d/x", (later, later))
    told = ws.run("cp", "-n", "-R", "-u", "src", ws.ref("t")).out
    assert [x.split()[0] for x in told.splitlines()] == ["src/d/x", "src/new", "src/small"]
    got = ws.json("cp", "-R", "-u", "src", ws.ref("t"))
    assert (got["files"], got["skipped"]) == (3, 3)
    assert ws.get("t/small") == b"longer" and ws.get("t/new") == b"new"


def test_ways_to_treat_what_is_there_exclude_each_other(ws, src):
    ws.run("cp", "--update", "--no-clobber", "src/small", ws.ref("t"), code=USAGE)


def test_failures_are_counted(ws, src):
    ws.put("t/small", "there")
    done = ws.run("cp", "-R", "-o", "json", "src", ws.ref("t"), code=EXISTS)
    assert (done.json["files"], done.json["failed"]) == (4, 1)


@local_only
def test_a_full_disk_leaves_nothing_and_says_so(ws, src):
    def small_files_only():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = ws.run("cp", "-R", "-o", "json", "src", "out", code=NO_SPACE, preexec=small_files_only)
    assert (done.json["files"], done.json["failed"]) == (4, 1) and "big" in done.err
    assert not (ws.cwd / "out/big").exists()
    ws.run("cp", "-R", "--update", "src", "out")
    assert read_tree(ws.cwd / "out") == src


def sent(done):
    return done.err.count(" put_block ")


@pytest.fixture
def broken_off(ws):
    """A long file, killed while all blocks but one are there; how many it has."""
    part = os.urandom(1 << 20)
    make(ws.cwd / "src", {"big": b"".join(part[i:] + part[:i] for i in range(64))})
    whole = sent(ws.run("cp", "-vv", "src/big", ws.ref("t/other"), env={"SLUICE_DEBUG": "store"}))
    assert whole > 4
    stuck = {"SLUICE_FAULT": f"put_block:#{whole}:hang"}
    p = ws.start("cp", "-o", "json", "src/big", ws.ref("t/big"), stderr=subprocess.PIPE, env=stuck)
    while json.loads(p.stderr.readline())["progress"]["bytes"] <= (64 << 20) * (whole - 2) // whole:
        pass
    p.kill()
    p.communicate()
    assert not ws.exists("t/big")
    return whole


def test_a_copy_goes_on_where_it_broke_off(ws, broken_off):
    done = ws.run("cp", "-vv", "src/big", ws.ref("t/big"), env={"SLUICE_DEBUG": "store"})
    if ws.store.kind == "local":
        assert sent(done) == broken_off  # a temporary file goes with who wrote it
    else:
        assert sent(done) == 1 and "of an earlier try are there already" in done.err
    assert ws.get("t/big") == (ws.cwd / "src/big").read_bytes()
    assert ws.run("ls", "-R", ws.ref("t")).out.split() == ["big", "other"]


def test_what_was_sent_of_other_bytes_does_not_count(ws, broken_off):
    """Neither length nor time tell that they are others."""
    path = ws.cwd / "src/big"
    was = path.stat()
    with open(path, "r+b") as f:
        f.write(bytes(1 << 20))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    done = ws.run("cp", "-vv", "src/big", ws.ref("t/big"), env={"SLUICE_DEBUG": "store"})
    assert sent(done) == broken_off
    assert ws.get("t/big") == path.read_bytes()


def test_mkdir_makes_what_is_missing(ws):
    ws.run("mkdir", ws.ref("a/b/c"), ws.ref("a/b"))
    assert ws.run("ls", ws.ref("a/b")).out == "c/\n"
    ws.put("f", "1")
    assert "is a file" in ws.run("mkdir", ws.ref("f"), code=EXISTS).err
    assert ws.get("f") == b"1"
    ws.run("mkdir", ws.ref("a/*"), code=BAD_INPUT)
