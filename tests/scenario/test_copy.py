# SPDX-License-Identifier: Apache-2.0
"""cp and rm: many files at once, on every store."""

import hashlib
import os
import signal
import subprocess

import pytest
from conftest import BAD_INPUT, CANCELED, EXISTS, NOT_FOUND, NOT_SUPPORTED, USAGE, local_only, read_tree

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


def test_a_big_file_is_not_sent_when_its_name_is_taken(ws, src):
    ws.put("t", "there")
    assert "--overwrite" in ws.run("cp", "src/big", ws.ref("t"), code=EXISTS).err
    assert ws.get("t") == b"there"
    ws.run("cp", "--overwrite", "src/big", ws.ref("t"))
    assert ws.get("t") == BIG


def test_a_dry_run_only_tells(ws, src):
    out = ws.run("cp", "-n", "-R", "src/d", ws.ref("t")).out
    assert out.splitlines() == ["deep/y -> t/deep/y", "x -> t/x"]
    assert not ws.exists("t")
    told = ws.run("cp", "-n", "-o", "json", "src/small", ws.ref("t/s")).json
    assert told == {"path": "small", "to": "t/s", "size": 1}


def test_a_killed_copy_leaves_nothing_half_done(ws, src):
    os.truncate(ws.cwd / "src/big", 1 << 30)
    p = ws.start("cp", "-o", "json", "src/big", ws.ref("t/big"), stderr=subprocess.PIPE)
    p.stderr.readline()  # it is under way
    p.send_signal(signal.SIGKILL)
    p.wait()
    p.stderr.close()
    assert not ws.exists("t/big")
    ws.run("cp", "src/small", ws.ref("t/small"))
    assert ws.run("ls", "-R", ws.ref("t")).out == "small\n"


def test_an_interrupted_copy_ends_and_says_so(ws, src):
    os.truncate(ws.cwd / "src/big", 4 << 30)
    p = ws.start("cp", "-o", "json", "src/big", ws.ref("t/big"), stderr=subprocess.PIPE)
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
    assert ws.run("rm", "-n", "-R", ws.ref("d")).out == "d/e/f\nd/g\n"
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
