# SPDX-License-Identifier: Apache-2.0
"""Names below a mount or a download: one rule for both, and with `layout=compat` those of Azure ML's engine."""

import json

import pytest
from conftest import BAD_INPUT, local_only, needs_fuse, read_tree
from jobs import run_job, std_log, write_job

STORE = "azureml://datastores/workspaceblobstore/paths"
FILES = {"y/2019/a.jpg": "1", "y/2020/a.jpg": "2", "y/2020/deep/b.jpg": "3", "z/c.txt": "4"}


def register(ws, name, *paths, steps=None):
    for path, text in FILES.items():
        ws.put(path, text)
    more = [x for p in paths for x in ("--path", p)]
    ws.run("data", "create", "--name", name, *more, *(steps or []))


def names(ws, ref, layout="compat"):
    """As the mount and as the download have them."""
    with ws.mounted(ref, None, "--set", f"layout={layout}") as m:
        mounted = sorted(read_tree(m))
    ws.run("download", ref, ws.cwd / "got", "--overwrite", "--set", f"layout={layout}")
    got = sorted(n for n in read_tree(ws.cwd / "got") if not n.startswith(".sluice"))
    ws.run("verify", ws.cwd / "got", ref, env={"SLUICE_LAYOUT": layout})
    for n in got:
        (ws.cwd / "got" / n).unlink()
    return mounted, got


@needs_fuse
@pytest.mark.parametrize(
    ("paths", "both"),
    [
        (["z/c.txt"], ["c.txt"]),
        (["y"], ["2019/a.jpg", "2020/a.jpg", "2020/deep/b.jpg"]),
        (["y/*/a.jpg"], ["2019/a.jpg", "2020/a.jpg"]),
    ],
)
def test_of_one_path_both_layouts_are_the_same(ws, paths, both):
    register(ws, "d", *[f"{STORE}/{p}" for p in paths])
    for layout in ("sluice", "compat"):
        assert names(ws, "d@1", layout) == (both, both)


@needs_fuse
def test_several_paths(ws):
    register(ws, "d", f"{STORE}/y/2020/a.jpg", f"{STORE}/y/2020/deep", f"{STORE}/y/2019")
    ours = ["2019/a.jpg", "2020/a.jpg", "2020/deep/b.jpg"]
    assert names(ws, "d@1", "sluice") == (ours, ours)
    assert names(ws, "d@1") == (ours, [f"workspaceblobstore/y/{n}" for n in ours])


@needs_fuse
@local_only
def test_what_is_left_decides_of_a_mount(ws):
    """The folder that the files have in common, not the one of the paths."""
    register(ws, "two", f"{STORE}/y/2020/a.jpg", f"{STORE}/y/2020/deep")
    assert names(ws, "two@1")[0] == ["a.jpg", "deep/b.jpg"]
    register(ws, "one", f"{STORE}/y/**/*.jpg", steps=["--take", "1"])
    assert names(ws, "one@1", "sluice") == (["2019/a.jpg"], ["2019/a.jpg"])
    assert names(ws, "one@1") == (["a.jpg"], ["2019/a.jpg"])


@needs_fuse
@local_only
def test_several_datastores(ws):
    (ws.cwd / "more").mkdir()
    (ws.cwd / "more/f").write_text("f")
    config = json.loads(ws.config.read_text())
    config["datastores"]["more"] = {"type": "local", "path": str(ws.cwd / "more")}
    ws.config.write_text(json.dumps(config))
    register(ws, "d", f"{STORE}/z", "azureml://datastores/more/paths/f")
    both = ["more/f", "workspaceblobstore/z/c.txt"]
    assert names(ws, "d@1", "sluice") == (both, both)
    assert names(ws, "d@1") == (both, both)


@needs_fuse
@pytest.mark.only_on("blob")
def test_several_containers_and_raw_urls(ws):
    far = ws.store.at("far")
    far.put("p/q/1", "1")
    config = json.loads(ws.config.read_text())
    config["datastores"]["far"] = far.entry()
    ws.config.write_text(json.dumps(config))
    register(ws, "d", f"{STORE}/z", "azureml://datastores/far/paths/p/q")
    account = config["datastores"]["far"]["account_name"]
    here = config["datastores"]["workspaceblobstore"]["container_name"]
    mounted, got = names(ws, "d@1")
    assert mounted == sorted([f"{account}/{far.name}/p/q/1", f"{account}/{here}/z/c.txt"])
    assert got == ["far/p/q/1", "workspaceblobstore/z/c.txt"]


@needs_fuse
@local_only
def test_raw_paths(ws):
    for path, text in FILES.items():
        (ws.cwd / "raw" / path).parent.mkdir(parents=True, exist_ok=True)
        (ws.cwd / "raw" / path).write_text(text)
    ws.run("data", "create", "--name", "d", "--path", ws.cwd / "raw/y/2020", "--path", ws.cwd / "raw/z")
    mounted, got = names(ws, "d@1")
    assert mounted == ["y/2020/a.jpg", "y/2020/deep/b.jpg", "z/c.txt"]
    assert got == [f"file%3A/%2F{ws.cwd}/raw/{n}" for n in mounted]


@needs_fuse
@local_only
def test_a_workspace_may_have_it_for_its_jobs(ws):
    register(ws, "d", f"{STORE}/y/2019", f"{STORE}/y/2020/deep")
    config = json.loads(ws.config.read_text())
    config["settings"] = {"layout": "compat"}
    ws.config.write_text(json.dumps(config))
    inputs = "".join(f"  {m}: {{type: uri_folder, mode: {m}, path: 'azureml:d:1'}}\n" for m in ("ro_mount", "download"))
    shell = "for i in ${{inputs.ro_mount}} ${{inputs.download}}; do (cd $i; find . -type f | sort); done"
    run = run_job(ws, write_job(ws, "j.yml", f"type: command\ncommand: {shell}\ninputs:\n{inputs}"))
    ours = ["2019/a.jpg", "2020/deep/b.jpg"]
    assert std_log(ws, run).split() == [f"./{n}" for n in ours] + [f"./workspaceblobstore/y/{n}" for n in ours]
    config["settings"] = {"layout": "other"}
    ws.config.write_text(json.dumps(config))
    assert "it wants sluice or compat" in ws.run("download", "d@1", ws.cwd / "x", code=BAD_INPUT).err
