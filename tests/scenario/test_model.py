# SPDX-License-Identifier: Apache-2.0
"""The mount against a model of its content: threads and processes read at random while objects change, the network
breaks and processes die. Bytes are those of the version that was mounted, or an error that has a reason: never a mix,
never an end before the end (promises 1 and 5; R1, R2, R4)."""

import contextlib
import os
import signal

import model
import pytest
from conftest import RUNG, local_only, needs_fuse, needs_root, server_of, until, worker_of
from model import Model

pytestmark = [needs_fuse]


@pytest.fixture(scope="session")
def program():
    built = model.program()
    if not built:
        pytest.skip("no C compiler for the model's readers")
    return built


@pytest.fixture
def world(ws, program):
    return Model(program, ws)


@local_only
def test_the_model_can_fail(ws, world):
    """New bytes under a mount that was made of them are wrong, and so is an error without a reason."""
    for nr, (path, _) in enumerate(world.paths):
        ws.store.put(f"m/{path}", world.contents(2, [nr])[0])
    with ws.mounted(ws.ref("m")) as m, pytest.raises(AssertionError, match="the new one's"):
        world.run(m)
    for path, size in world.paths:
        ws.store.put(f"m/{path}", bytes(size))
    with ws.mounted(ws.ref("m")) as m:
        for path, _ in world.paths:
            ws.store.remove(f"m/{path}")
        with pytest.raises(AssertionError, match="although the object is unchanged|is not that of the version"):
            world.run(m)


@pytest.mark.tsan
def test_readers_see_one_version_while_objects_change(ws, world):
    for _ in world.rounds():
        with ws.mounted(ws.ref("m")) as m:
            ops, read, _, failed = world.run(m, world.paced(world.change_one))
        assert ops > 0 and read > 0 and failed == 0


# One of these is in force at any time; each ends after some requests.
FAULTS = [
    "get {} 1-9 status 503 ServerBusy", "get {} 1-5 cut 3000", "get {} 1-5 reset 70000", "get {} 1-3 shorten 9",
    "get {} 1-4 total", "get {} 1-4 other-range", "get {} 1-3 empty-range", "get {} 1-3 html", "get {} 1-3 gzip",
    "get {} 1-3 extra", "get {} 1-2 stall 100", "get {} 1-2 stall -1", "get {} 1-20 delay 40", "get {} 1-6 status 500",
    "get {} 1-4 flip 77", "get {} 1-2 no-length", "get {} 1-3 two-lengths", "get {} 1-4 no-range",
    "get {} 1-9 status 429 TooManyRequests retry-after=0",
]  # fmt: skip


@pytest.mark.only_on("hns")
def test_readers_see_no_wrong_byte_while_the_network_breaks(ws, world):
    """Ranges come with their CRC64, so that a flipped bit is seen as well."""
    ws.set_entry(check_ranges="fail-if-different")
    server = ws.store.server

    def another():
        rule = world.random.choice(FAULTS).format(f"{ws.store.name}/*")
        server.ask("PUT", "rules", rule.encode())

    for _ in world.rounds():
        with ws.mounted(ws.ref("m"), None, "--io-timeout", "3s") as m:
            world.errors_in_order(True)
            try:
                ops, read, _, _ = world.run(m, world.paced(another))
            finally:
                server.calm()
            assert ops > 0 and read > 0
            # What was asked before then may still end by its deadline.
            until("a second of reads without an error", lambda m=m: world.run(m, seconds=1)[2:] == (0, 0))


def kernel_asks_again():
    """FUSE_NOTIFY_RESEND came with 6.9; before, what a dead worker had taken is answered with EIO."""
    return tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 9)


def killed(ws, sig):
    """Sends the worker of the mount a signal, once it has answered something: who dies again and again before that is
    given up.  Its number, or None when there is none just now."""
    os.statvfs(ws.cwd / "mnt")
    pid = worker_of(ws.cwd / "mnt")
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)
    return pid


@needs_root
@pytest.mark.only_on("local", "hns")
@pytest.mark.skipif(RUNG != "scenario", reason="a sanitizer takes these signals for faults of ours")
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV], ids=["killed", "crashed"])
def test_readers_do_not_notice_that_workers_die(ws, world, sig):
    often = 20 if sig == signal.SIGKILL else 5  # who crashes again and again is given up
    for _ in world.rounds():
        dead = set()
        with ws.mounted(ws.ref("m")) as m:
            world.errors_in_order(not kernel_asks_again())
            for _ in range(20):  # on a slow machine it takes longer until three have died
                ops, read, stale, _ = world.run(m, world.paced(lambda d=dead: d.add(killed(ws, sig)), often))
                assert ops > 0 and read > 0 and stale == 0
                if len(dead - {None}) > 2:
                    break
        assert len(dead - {None}) > 2


def damage(world, cache):
    """A flipped bit, a hole, a lost tail, a lost file in some of what is cached; half of it stays as it is."""
    for path in sorted(p for p in cache.rglob("*") if p.is_file()):
        way, size = world.random.randrange(8), path.stat().st_size
        if way > 3 or not size:
            continue
        at = world.random.randrange(size)
        with open(path, "r+b") as f:
            if way == 0:
                f.seek(at)
                byte = f.read(1)[0]
                f.seek(at)
                f.write(bytes([byte ^ 1 << world.random.randrange(8)]))
            elif way == 1:
                f.seek(at)
                f.write(bytes(min(9000, size - at)))
            elif way == 2:
                f.truncate(at)
            else:
                path.unlink()


@pytest.mark.only_on("hns")
def test_readers_see_no_wrong_byte_of_a_damaged_cache(ws, world):
    """Mounts that share a cache, one after the other, their processes killed; between them it is damaged."""
    cache = ws.cwd / "cache"
    for _ in world.rounds():
        for size in ("1GiB", "8MiB", "1GiB"):  # the second is full at once
            with ws.mounted(ws.ref("m"), None, f"--cache-dir={cache}", f"--cache-size={size}") as m:
                ops, read, stale, failed = world.run(m, world.paced(lambda: killed(ws, signal.SIGKILL), 9), seconds=2)
            assert ops > 0 and read > 0 and (stale, failed) == (0, 0)
            until("its processes are gone", lambda: not server_of(ws.cwd / "mnt") and not worker_of(ws.cwd / "mnt"))
            assert sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) > 1 << 20
            damage(world, cache)


@pytest.mark.only_on("hns")
def test_readers_with_a_cache_see_one_version_while_objects_change(ws, world):
    for _ in world.rounds():
        with ws.mounted(ws.ref("m"), None, f"--cache-dir={ws.cwd / 'cache'}") as m:
            ops, read, _, failed = world.run(m, world.paced(world.change_one))
        assert ops > 0 and read > 0 and failed == 0
