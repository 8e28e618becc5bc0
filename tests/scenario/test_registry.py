# SPDX-License-Identifier: Apache-2.0
"""The registry on every store: many that register at once and are killed, the index, round trips, what is cleared away."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from conftest import USAGE, local_only

STORM = Path(
    os.environ.get("SLUICE_STORM") or Path(os.environ.get("SLUICE_BUILD", "/x")) / "tests/unit/test-registry-storm"
)


RUNS = "96" if os.environ.get("SLUICE_DEEP") else "24"


def registry_files(ws):
    return {line for line in ws.run("ls", "-R", ws.registry_ref("")).out.splitlines() if line}


@pytest.mark.skipif(not STORM.exists(), reason="the storm is not built (make check)")
def test_eight_that_register_at_once_and_are_killed_lose_nothing_and_lie_nowhere(ws):
    """tests/unit/test-registry-storm.c, with its registry on this store: versions are dense, each run is there once, what was
    acknowledged is there under the number that was told, the index has all of it."""
    if ws.kind == "local":
        pytest.skip("the unit test itself")
    done = subprocess.run(
        [STORM],
        env={**ws.env, "SLUICE_STORM_CONFIG": str(ws.config), "SLUICE_STORM_RUNS": RUNS},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not STORM.exists(), reason="the storm is not built (make check)")
def test_what_was_replaced_is_not_deleted_in_its_old_state(ws):
    """What clearing away stands on (tests/unit/test-registry-gc.c), on this store."""
    if ws.kind == "local":
        pytest.skip("the unit test itself")
    env = {**ws.env, "SLUICE_STORM_CONFIG": str(ws.config)}
    done = subprocess.run([STORM.with_name("test-registry-gc")], env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


def test_many_versions_are_listed_and_found_by_the_index(ws):
    ws.put("d/x", "1")
    made = [
        ws.start("data", "create", "-n", f"n{i % 4}", "-p", ws.ref("d"), "--tag", f"k={i}", stdout=-3) for i in range(8)
    ]
    assert [p.wait() for p in made] == [0] * 8
    listed = ws.json("data", "list", "--all-versions")
    assert sorted({r["name"] for r in listed}) == ["n0", "n1", "n2", "n3"]
    ws.run("data", "update", "n1@1", "--tag", "late=yes")
    ws.run("data", "archive", "n2@1")
    assert [r["name"] for r in ws.json("data", "list", "--tag", "late")] in (["n1"], [])
    assert [(r["name"], r["version"]) for r in ws.json("data", "list", "--tag", "late", "--all-versions")] == [
        ("n1", "1")
    ]
    assert ("n2", "1") not in [(r["name"], r["version"]) for r in ws.json("data", "list", "--all-versions")]
    # Whoever misses it makes it again.
    before = ws.json("data", "list", "--all-versions")
    ws.registry.remove("index")
    assert ws.json("data", "list", "--all-versions") == before
    ws.run("data", "create", "-n", "last", "-p", ws.ref("d"))
    assert "last" in [r["name"] for r in ws.json("data", "list")]
    index = [p for p in registry_files(ws) if p.startswith("index/")]
    assert any(p.startswith("index/gen/") for p in index) and any(p.startswith("index/seg/") for p in index)


@local_only
def test_a_damaged_index_is_made_again(ws):
    ws.put("d/x", "1")
    ws.register("n", "d")
    before = ws.json("data", "list")
    segment = next((ws.registry.folder / "index" / "seg").iterdir())
    segment.write_bytes(segment.read_bytes().replace(b'"n"', b'"m"', 1))
    done = ws.run("data", "list", "-o", "json")
    assert done.json == before and "index" in done.err
    assert ws.run("data", "list").err == ""


@local_only
def test_what_crashed_writers_left_is_cleared_away_and_nothing_else(ws):
    root = ws.registry.folder
    ws.put("d/x", "1")
    ws.put("e/x", "22")
    ws.register("n", "d")
    kept = registry_files(ws)
    # A writer that died after it had saved, before it registered.
    ws.register("gone", "e")
    record = json.loads((root / "data/gone/1/record.json").read_text())
    (root / "data/gone/1/record.json").unlink()
    ws.registry.remove("index")
    (root / "index/new").mkdir(parents=True)
    (root / "index/new/gone@1").write_text("{}")
    (root / "claims").mkdir(exist_ok=True)
    (root / "runs/r1").mkdir(parents=True)
    (root / "runs/r1/outcome.json").write_text(
        json.dumps({"format": 1, "run": "r1", "status": "Failed", "outputs": {}})
    )
    for run in ("r1", "r2"):
        claim = {"format": 1, "run": run, "output": "o", "uri": "u", "place": "p", "time": "t"}
        (root / f"claims/{run * 16}.json").write_text(json.dumps(claim))
    (root / "data/n/.sluice-0123456789abcdef0123456789abcdef").write_text("torn")
    (root / "manifests/notes.txt").write_text("whose is this?")
    (root / "manifests" / ("0" * 64)).write_text("young")
    old = time.time() - 8 * 86400
    for p in root.rglob("*"):
        if p.is_file() and p.name != "0" * 64:
            os.utime(p, (old, old))
    plan = ws.json("gc", "--dry-run")
    assert not any(r["removed"] for r in plan)
    assert (root / "datasets" / f"{record['dataset']}.json").exists()
    done = ws.json("gc")
    assert {(r["what"], r["path"]) for r in plan} <= {(r["what"], r["path"]) for r in done}
    gone = {(r["what"], Path(r["path"]).name) for r in done if r["removed"]}
    assert gone == {
        ("claim", "r1" * 16 + ".json"), ("temporary", ".sluice-0123456789abcdef0123456789abcdef"), ("note", "gone@1"),
        ("dataset", f"{record['dataset']}.json"), ("manifest", record["manifest"]),
    }  # fmt: skip
    now = registry_files(ws)
    assert {p for p in kept if not p.startswith("index/")} <= now
    assert {"manifests/notes.txt", "manifests/" + "0" * 64, "claims/" + "r2" * 16 + ".json"} <= now
    assert ws.json("data", "list")[0]["name"] == "n" and ws.run("cat", "n").out == "1"
    assert [r for r in ws.json("gc") if r["removed"]] == []
    ws.run("gc", "--grace", "1h", code=USAGE)
    assert "0 objects (0B) removed from the registry; the data in datastores is not touched" in ws.run("gc").err


@local_only
def test_a_damaged_record_keeps_everything(ws):
    root = ws.registry.folder
    ws.put("d/x", "1")
    ws.register("n", "d")
    (root / "data/n/1/record.json").write_text("{")
    old = time.time() - 8 * 86400
    for p in root.rglob("*"):
        if p.is_file():
            os.utime(p, (old, old))
    before = set(root.glob("manifests/*")) | set(root.glob("datasets/*"))
    assert "damaged" in ws.run("gc").err
    assert before and before == set(root.glob("manifests/*")) | set(root.glob("datasets/*"))


def test_the_newest_version_is_had_in_two_round_trips(ws):
    """First the hint, and whether anything was said since; then its record, and whether there is one behind it: each is
    asked once, and nothing else before the dataset is."""
    ws.put("d/x", "1")
    ws.register("n", "d")
    err = ws.run("data", "show", "n", "-vv", env={"SLUICE_DEBUG": "store"}).err
    asked = re.findall(r"debug store: #\d+ \S+ (\w+) '([^']*)'", err)
    until = next(i for i, (_, path) in enumerate(asked) if path.startswith("datasets/"))
    (said,) = [(how, path) for how, path in asked[:until] if path in ("facts", "facts/n")]
    (next_,) = [how for how, path in asked[:until] if path == "data/n/2/record.json"]
    assert said[0] in ("stat", "list") and sorted(asked[:until]) == sorted([
        ("read", "data/n/latest"), said, ("read", "data/n/1/record.json"),
        (next_, "data/n/2/record.json"), ("stat", "data/n/1/MLTable"),
    ]), asked  # fmt: skip
