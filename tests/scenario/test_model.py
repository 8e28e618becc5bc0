# SPDX-License-Identifier: Apache-2.0
"""The mount against a model of its content: threads and processes read at random while objects change, the network
breaks and processes die. Bytes are those of the version that was mounted, or an error that has a reason: never a mix,
never an end before the end (promises 1 and 5; R1, R2, R4)."""

import model
import pytest
from conftest import local_only, needs_fuse
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
                server.ask("PUT", "release")
                server.ask("PUT", "rules", b"\n")
            assert ops > 0 and read > 0
            world.errors_in_order(False)
            _, _, stale, failed = world.run(m, seconds=1)
            assert (stale, failed) == (0, 0)
