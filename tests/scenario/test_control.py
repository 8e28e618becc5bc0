# SPDX-License-Identifier: Apache-2.0
"""The control socket of a mount: sluice stats, sluice prefetch, and files that are fetched before they are read."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest
from conftest import BAD_INPUT, IO_ERROR, NOT_SUPPORTED, local_only, needs_fuse, server_of, until, worker_of

pytestmark = [needs_fuse, pytest.mark.tsan]
SIZE = 10_000


@pytest.fixture
def small(ws):
    """Sixty small files, and control sockets in a folder of the test's own."""
    ws.put_all({f"in/{i // 30}/f{i:02}": os.urandom(SIZE) for i in range(60)})
    (ws.cwd / "runtime").mkdir(mode=0o700)
    ws.env["XDG_RUNTIME_DIR"] = str(ws.cwd / "runtime")
    return ws


def names(ws):
    return sorted(p.removeprefix("in/") for p in ws.placed if p.startswith("in/"))


def told(ws, m):
    (one,) = ws.json("stats", m)
    return one


def counted(ws, m, size):
    """What a mount tells when all reads are counted: each is after it was answered, which who reads sees first."""

    def all_of_it():
        one = told(ws, m)
        stats = one["stats"]
        return stats["counters"]["answered"] >= size and not stats["gauges"]["fuse_reads"]["now"] and one

    return until("all is counted", all_of_it)


def hand_over(ws, m, order, code=0, *more):
    (ws.cwd / "order").write_text("".join(f"{x}\n" for x in order))
    return ws.run("prefetch", m, "--order", ws.cwd / "order", *more, code=code)


def test_names_of_an_order_may_be_those_that_find_prints(small):
    with small.mounted(small.ref("in"), small.cwd / "mnt"):
        (small.cwd / "order").write_text("".join(f"mnt/{x}\n" for x in names(small)))
        assert small.run("prefetch", "mnt/", "--order", "order").out.startswith("60 files ")
        done = small.run("prefetch", "./mnt", "--order", "order", "-o", "json", code=1)
        assert json.loads(done.out)["unknown"] == 60 and "60 names" in done.err


def read_right(ws, m, paths):
    for x in paths:
        assert (m / x).read_bytes() == ws.placed[f"in/{x}"]


def test_stats_tell_what_a_mount_did(small):
    with small.mounted(small.ref("in")) as m:
        assert told(small, m)["verdict"].startswith("Idle")
        read_right(small, m, names(small)[:7])
        one = counted(small, m, 7 * SIZE)
        assert one["mount"]["where"] == str(m) and one["mount"]["files"] == 60
        assert one["stats"]["counters"]["asked"] == one["stats"]["counters"]["answered"] == 7 * SIZE
        assert one["stats"]["counters"]["fetched"] >= 7 * SIZE
        assert one["stats"]["kinds"]["fuse_read"]["count"] >= 7
        assert one["stats"]["kinds"]["fuse_read"]["errors"] == 0
        assert one["stats"]["gauges"]["fuse_reads"] == {"now": 0, "peak": one["stats"]["gauges"]["fuse_reads"]["peak"]}
        assert one["verdict"].endswith(".")
        assert [x["mount"]["where"] for x in small.json("stats") if x["mount"]["where"] == str(m)] == [str(m)]
        text = small.run("stats", m, "--interval", "100ms").out
        assert str(m) in text and "60 files" in text and text.rstrip().endswith(".")
        text = small.run("stats", m, "--prometheus").out
        assert f'sluice_answered_bytes_total{{mount="{m}"}} {7 * SIZE}\n' in text
        assert f'sluice_up{{mount="{m}"}} 1\n' in text
        for name in one["stats"]["counters"]:
            assert re.search(rf"^sluice_{name}_(bytes_)?total{{", text, re.M), name


SAMPLE = re.compile(r'sluice_(\w+?)(_bucket|_sum|_count)?\{mount="[^"]*"(,kind="\w+")?(,le="[^"]+")?\} \d+(\.\d+)?')


@local_only
def test_a_monitor_can_read_it_also_beside_a_dead_mount(small):
    """Each family is told once, with its kind and help before its samples; who does not answer is down."""
    dead, m = small.cwd / "a-dead", small.cwd / "b"
    small.run("mount", small.ref("in"), dead)
    with small.mounted(small.ref("in"), m):
        for pid in (server_of(dead), worker_of(dead)):
            with contextlib.suppress(ProcessLookupError):  # the worker follows by itself
                os.kill(pid, signal.SIGKILL)
        until("it is dead", lambda: not server_of(dead) and not worker_of(dead))
        lines = small.run("stats", "--prometheus").out.splitlines()
        small.run("stats", dead, "--json", code=IO_ERROR)
        small.run("stats", m, "--json")
        small.run("unmount", dead)
    family, told = None, []
    for help_line, line in zip([""] + lines, lines, strict=False):
        if line.startswith("# TYPE"):
            family = line.split()[2].removeprefix("sluice_")
            assert help_line.startswith(f"# HELP sluice_{family} ")
            told.append(family)
        elif not line.startswith("# HELP"):
            match = SAMPLE.fullmatch(line)
            assert match and match.group(1) == family, line
    assert len(set(told)) == len(told)
    assert f'sluice_up{{mount="{dead}"}} 0' in lines and f'sluice_up{{mount="{m}"}} 1' in lines
    assert any(x.startswith(f'sluice_asked_bytes_total{{mount="{m}"}}') for x in lines)


def test_a_given_order_is_there_before_it_is_read(small):
    order = random.Random(5).sample(names(small), 60)
    with small.mounted(small.ref("in")) as m:
        done = hand_over(small, m, [*order, order[3], "gone/x", f"{m}/{order[4]}"], code=1)
        assert done.out == "62 files are fetched before they are read, 2 names came twice\n"
        assert done.err == "sluice: no such file in the mount: 'gone/x'\n"
        if small.kind != "local":  # there the kernel reads ahead, and nothing is credited
            until("the order is fetched", lambda: told(small, m)["ahead"]["order_fetched"] == 60)
        until("nothing is on its way", lambda: told(small, m)["stats"]["gauges"]["flight"]["now"] == 0)
        read_right(small, m, order)
        until("the last one was seen", lambda: told(small, m)["ahead"]["order_read"] == 60)
        one = told(small, m)
        assert one["ahead"]["lost"] == 0
        assert one["ahead"]["order_unknown"] == 1
        if small.kind == "local":
            assert one["ahead"]["order_fetched"] == one["ahead"]["files"] == 0
        else:
            assert one["stats"]["counters"]["hit_memory"] == 60 * SIZE
            assert one["stats"]["counters"]["fetched"] == 60 * SIZE


def test_an_order_outlives_the_process_that_serves(small):
    """A shuffled epoch is handed over once; whoever serves follows it from where it was read."""
    order = random.Random(6).sample(names(small), 60)
    with small.mounted(small.ref("in")) as m:
        hand_over(small, m, order)
        read_right(small, m, order[:20])
        until("the last one was seen", lambda: told(small, m)["ahead"]["order_read"] == 20)
        old = worker_of(m)
        os.kill(old, signal.SIGKILL)
        until("another serves", lambda: worker_of(m) not in (None, old))
        after = told(small, m)["ahead"]
        assert after["order"] == 60 and after["order_read"] <= 20
        if small.kind != "local":
            # how far it was is written down twice a second: it goes on from there, or from a little before
            rest = 60 - after["order_read"]
            until("the rest is fetched", lambda: told(small, m)["ahead"]["order_fetched"] == rest)
            until("nothing is on its way", lambda: told(small, m)["stats"]["gauges"]["flight"]["now"] == 0)
            hits = told(small, m)["stats"]["counters"]["hit_memory"]
            read_right(small, m, order[20:])
            assert told(small, m)["stats"]["counters"]["hit_memory"] >= hits + 40 * SIZE
        small.run("prefetch", m, "--drop")
        os.kill(worker_of(m), signal.SIGKILL)
        assert told(small, m)["ahead"]["order"] == 0


def test_listing_order_is_followed(small):
    with small.mounted(small.ref("in")) as m:
        read_right(small, m, names(small)[:19])
        begun = time.monotonic()
        read_right(small, m, names(small)[19:20])
        if small.kind != "local":
            until("files are fetched ahead", lambda: told(small, m)["ahead"]["files"] > 0)
        until("nothing is on its way", lambda: told(small, m)["stats"]["gauges"]["flight"]["now"] == 0)
        read_right(small, m, names(small)[20:])
        paused = time.monotonic() - begun >= 5  # longer than anything unread is kept
        one = told(small, m)
        if small.kind == "local":  # there the kernel has read ahead
            assert one["ahead"]["hits"] == 0
        elif not paused:
            assert one["ahead"]["hits"] > 0
            assert one["stats"]["counters"]["fetched"] == 60 * SIZE
            assert one["stats"]["counters"]["hit_memory"] > 0


@local_only
def test_a_new_order_replaces_the_old(small):
    with small.mounted(small.ref("in")) as m:
        hand_over(small, m, names(small))
        hand_over(small, m, names(small)[:5])
        assert told(small, m)["ahead"]["order"] == 5
        small.run("prefetch", m, "--drop")
        assert told(small, m)["ahead"]["order"] == 0
        read_right(small, m, names(small))


@local_only
def test_numbers_and_socket_outlive_the_process_that_serves(small):
    with small.mounted(small.ref("in")) as m:
        read_right(small, m, names(small)[:5])
        before = counted(small, m, 5 * SIZE)
        old = worker_of(m)
        os.kill(old, signal.SIGKILL)
        until("another serves", lambda: worker_of(m) not in (None, old))
        read_right(small, m, names(small)[5:])
        after = counted(small, m, 60 * SIZE)
        assert after["mount"]["workers"] == before["mount"]["workers"] + 1
        assert after["stats"]["process"]["pid"] != before["stats"]["process"]["pid"]
        assert after["stats"]["counters"]["answered"] == 60 * SIZE
        hand_over(small, m, names(small))


@local_only
def test_the_socket_is_the_users_alone_and_goes_with_the_mount(small):
    with small.mounted(small.ref("in")):
        (socket,) = (small.cwd / "runtime/sluice").iterdir()
        assert socket.stat().st_mode & 0o777 == 0o600
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    until("the socket is gone", lambda: not socket.exists())


@local_only
def test_a_mount_without_a_folder_for_its_socket_works(small):
    small.env |= {"XDG_RUNTIME_DIR": "/proc/none", "XDG_CACHE_HOME": "/proc/none"}
    with small.mounted(small.ref("in")) as m:
        read_right(small, m, names(small)[:3])


@local_only
def test_what_cannot_be_asked_says_why(small):
    assert "nothing is mounted" in small.run("stats", small.cwd, code=BAD_INPUT).err
    assert "nothing is mounted" in small.run("prefetch", small.cwd, "--drop", code=BAD_INPUT).err
    small.run("prefetch", small.cwd, code=2)
    with small.mounted(small.ref("in"), None, "--live") as m:
        assert "live" in hand_over(small, m, names(small), code=NOT_SUPPORTED).err
        assert told(small, m)["mount"]["live"] is True


def looks(stream):
    """What a watch prints, look by look."""
    text = ""
    for line in stream:
        text += line
        if line == "]\n":
            (one,) = json.loads(text)
            yield one["stats"]["counters"]["answered"]
            text = ""


@local_only
def test_watching(small):
    """Each look shows what there was by then, also when nobody takes them for a while."""
    with small.mounted(small.ref("in")) as m:
        watch = small.start("stats", m, "--watch", "--json", "--interval", "100ms", stdout=subprocess.PIPE, text=True)
        try:
            seen = looks(watch.stdout)
            assert [next(seen), next(seen)] == [0, 0]
            for i in range(2):
                read_right(small, m, names(small)[i : i + 1])
                assert next(x for x in seen if x != i * SIZE) == (i + 1) * SIZE
        finally:
            watch.terminate()
            watch.wait()
            watch.stdout.close()


@local_only
def test_guessing_can_be_switched_off(small):
    with small.mounted(small.ref("in"), None, "--set", "order_ahead=false") as m:
        read_right(small, m, names(small))
        assert told(small, m)["ahead"]["files"] == 0
        hand_over(small, m, names(small))
        followed = "order" if small.kind == "local" else "files"
        until("the order is followed", lambda: told(small, m)["ahead"][followed] > 0)
