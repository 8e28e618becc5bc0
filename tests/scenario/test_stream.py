# SPDX-License-Identifier: Apache-2.0
"""cat, cp from standard input and to standard output: bytes that pass through, on every store."""

import os
import signal
import subprocess

import pytest
from conftest import BAD_INPUT, CANCELED, EXISTS, NOT_FOUND, USAGE

BIG = os.urandom(1 << 20) * 13 + b"and a bit"


def feed(ws, data, *args):
    done = subprocess.run(
        ["sluice", *args], cwd=ws.cwd, env=ws.env, input=data, capture_output=True, check=False, timeout=120
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("data", [b"", b"x", BIG], ids=["empty", "byte", "big"])
def test_standard_input_becomes_a_file_and_comes_back(ws, data):
    assert feed(ws, data, "cp", "-", ws.ref("d/f")) == (0, "")
    assert ws.get("d/f") == data
    assert ws.run("cp", ws.ref("d/f"), "-", text=False).out == data


def test_standard_input_replaces_nothing_unasked(ws):
    ws.put("f", "old")
    code, err = feed(ws, b"new", "cp", "-", ws.ref("f"))
    assert code == EXISTS and "--overwrite" in err
    assert ws.get("f") == b"old"
    assert feed(ws, b"new", "cp", "--overwrite", "-", ws.ref("f")) == (0, "")
    assert ws.get("f") == b"new"


def test_of_two_writers_of_a_name_the_second_to_end_fails(ws):
    first = subprocess.Popen(
        ["sluice", "cp", "-o", "json", "-", ws.ref("f")],
        cwd=ws.cwd, env=ws.env, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    first.stderr.readline()  # it found the name free, and reads
    assert feed(ws, b"second", "cp", "-", ws.ref("f")) == (0, "")
    err = first.communicate(b"first")[1]
    assert first.returncode == EXISTS and b"'f'" in err
    assert ws.get("f") == b"second"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stream_that_is_cut_off_leaves_nothing(ws, how):
    p = subprocess.Popen(
        ["sluice", "cp", "-o", "json", "-", ws.ref("t/f")],
        cwd=ws.cwd, env=ws.env, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    p.stderr.readline()
    p.stdin.write(BIG)
    p.stdin.flush()
    p.send_signal(how)
    err = p.stderr.read()
    p.wait()
    p.stdin.close()
    p.stderr.close()
    assert not ws.exists("t/f")
    if how == signal.SIGINT:
        assert p.returncode == CANCELED and b"canceled after" in err
    again = BIG[::-1]  # Azurite lets no short blob be made where blocks without a commit lie
    assert feed(ws, again, "cp", "-", ws.ref("t/f")) == (0, "")
    assert ws.get("t/f") == again


def test_a_folder_is_no_file_to_write(ws):
    ws.put("d/f", "f")
    for to in ["d", "d/", "new/"]:
        code, err = feed(ws, b"x", "cp", "-", ws.ref(to))
        assert code == BAD_INPUT and "folder" in err
    assert not ws.exists("new")


def test_what_does_not_go_with_a_stream_is_wrong_usage(ws):
    assert feed(ws, b"", "cp", "-R", "-", ws.ref("f"))[0] == USAGE
    assert feed(ws, b"", "cp", "-", "-")[0] == USAGE
    assert feed(ws, b"", "cp", "a", "-", ws.ref("f"))[0] == USAGE


@pytest.mark.parametrize(
    ("options", "want"),
    [
        (["--offset", "2"], b"23456789"),
        (["--offset=-3"], b"789"),
        (["--offset=-300"], b"0123456789"),
        (["--length", "4"], b"0123"),
        (["--offset", "8", "--length", "100"], b"89"),
        (["--offset=-3", "--length", "1"], b"7"),
        (["--offset", "10"], b""),
        (["--offset", "11"], b""),
        (["--length", "0"], b""),
    ],
)
def test_cat_of_a_part(ws, options, want):
    ws.put("f", b"0123456789")
    assert ws.run("cat", *options, ws.ref("f"), text=False).out == want


def test_cat_of_several_and_of_a_pattern(ws):
    for name in ["a.csv", "b.csv", "c.txt"]:
        ws.put(name, name + "\n")
    assert ws.run("cat", ws.ref("c.txt"), ws.ref("*.csv")).out == "c.txt\na.csv\nb.csv\n"
    assert "*.tsv" in ws.run("cat", ws.ref("*.tsv"), code=NOT_FOUND).err
    ws.run("cat", "--offset", "much", ws.ref("c.txt"), code=USAGE)


def test_stat_of_a_pattern_shows_each(ws):
    for name in ["a.csv", "b.csv", "c.txt"]:
        ws.put(name, name)
    out = ws.run("stat", ws.ref("{a,c}.*")).out
    assert [x.split()[1] for x in out.splitlines() if x.startswith("path:")] == ["a.csv", "c.txt"]


def test_cat_into_a_closed_pipe_ends_quietly(ws):
    ws.put("f", BIG)
    r, w = os.pipe()
    os.close(r)
    done = subprocess.run(
        ["sluice", "cat", ws.ref("f")], cwd=ws.cwd, env=ws.env, stdout=w, stderr=subprocess.PIPE, check=False
    )
    os.close(w)
    assert (done.returncode, done.stderr) == (0, b"")
