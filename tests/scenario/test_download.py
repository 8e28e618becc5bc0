# SPDX-License-Identifier: Apache-2.0
"""as_download: files staged on disk."""

import os
import signal
import subprocess

import pytest
from conftest import (
    BAD_INPUT,
    CANCELED,
    EXISTS,
    NO_PERMISSION,
    NO_SPACE,
    NOT_FOUND,
    let_others_in,
    local_only,
    needs_root,
    read_tree,
    until,
)

PARTS = ".sluice-part"


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


def test_kill_nine_leaves_nothing_half_visible_and_the_next_run_cleans_up(files):
    """Promise 2 and 4.  The store is slow, so that the download is surely under way."""
    out = files.cwd / "out"
    p = files.start("download", files.ref("in"), out, env={"SLUICE_FAULT": "read:1:delay=300ms"})
    until("a part file", lambda: list(out.rglob(f"{PARTS}*")) if out.exists() else None)
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
    p = files.start(
        "download", files.ref("in"), out, env={"SLUICE_FAULT": "read:1:delay=300ms"}, stderr=subprocess.PIPE
    )
    until("a part file", lambda: list(out.rglob(f"{PARTS}*")) if out.exists() else None)
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
