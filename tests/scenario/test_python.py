# SPDX-License-Identifier: Apache-2.0
"""The Python package: the library's calls as a Python user expects them, and fsspec's own suite."""

import doctest
import errno
import importlib
import importlib.metadata
import multiprocessing
import os
import pickle
import pkgutil
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
import types
from pathlib import Path

import pytest
from conftest import PATIENCE, RUNG, local_only, needs_fuse

LIBRARY = os.environ.get("SLUICE_LIBRARY", "")
if not Path(LIBRARY).is_file() or RUNG != "scenario":  # a sanitizer's library wants to be the first that is loaded
    pytest.skip("no library that Python can load", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
fsspec = pytest.importorskip("fsspec", reason="no fsspec (tools/dev deps scenario)")
abstract = pytest.importorskip("fsspec.tests.abstract", reason="no fsspec (tools/dev deps scenario)")
import sluice  # noqa: E402
from sluice.fs import SluiceFileSystem  # noqa: E402


@pytest.fixture
def py(ws, monkeypatch):
    """The workspace of the scenario, as Python opens it."""
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    with sluice.Workspace(ws.cwd) as opened:
        opened.kind = ws.store.kind
        yield opened


def test_what_is_written_is_read(ws, py):
    with py.open(ws.ref("d/a"), "wb") as f:
        f.write(b"one")
        f.write(memoryview(b"two"))
    with py.open(ws.ref("d/t"), "w", encoding="utf-8") as f:
        f.write("zwölf\n")
    assert ws.get("d/a") == b"onetwo" and py.read(ws.ref("d/t")).decode() == "zwölf\n"
    with py.open(ws.ref("d/a")) as f:
        assert f.seek(-3, os.SEEK_END) == 3 and f.read() == b"two" and f.read() == b""
        assert f.seek(1) == 1 and f.read(2) == b"ne" and f.raw.pread(10, 4) == b"wo"
        assert f.raw.pread(3, 6) == f.raw.pread(3, 60) == f.raw.pread(-1, 0) == f.raw.pread(0, 0) == b""
        assert f.seek(60) == 60 and f.read() == f.read(3) == b"" and f.raw.readall() == b""
    assert [(e.path, e.size, e.is_dir) for e in py.ls(ws.ref("d"))] == [("a", 6, False), ("t", 7, False)]
    assert py.stat(ws.ref("d")).is_dir and not py.exists(ws.ref("d/none"))


def test_a_file_that_is_replaced_meanwhile(ws, py):
    """By somebody else.  What is asked for anew is as it is now; what is pinned is as it was, or Changed."""

    def pinned(read):
        try:
            return read()
        except sluice.Changed:
            return "one"

    path, folder = ws.ref("d/x"), ws.ref("d/")
    fs = SluiceFileSystem(ws.cwd)
    url = f"{folder.partition(':')[0]}/d/x"
    ws.put("d/x", "one")
    first = py.register("kept", folder)
    held = py.open(path)
    for i, text in enumerate((b"one", b"two and", b"three and more")):
        ws.put("d/x", text)
        assert py.read(path) == py.dataset(folder).open("x").read() == fs.cat(url) == text
        assert [x.size for x in (py.stat(path), *py.ls(folder), *py.dataset(folder).ls())] == [len(text)] * 3
        assert fs.info(url)["size"] == fs.ls(url)[0]["size"] == len(text)
        with py.dataset(folder).as_download() as view:
            assert Path(view, "x").read_bytes() == text
        if i:
            again = py.register("kept", folder)
            assert again.version == str(i + 1) and again.open("x").read() == py.dataset("kept").open("x").read() == text
            assert {pinned(lambda: first.open("x", "r").read())} == {"one"}
    assert pinned(lambda: held.read().decode()) == "one"


def test_what_fails_in_the_middle_was_not_written(ws, py):
    ws.put("old", "old")
    for mode, data in (("wb", b"new"), ("w", "new")):
        with pytest.raises(RuntimeError), py.open(ws.ref("old"), mode) as f:
            f.write(data)
            raise RuntimeError
        assert ws.get("old") == b"old"
    with pytest.raises(FileExistsError):
        py.open(ws.ref("old"), "xb")
    for mode, data in (("wb", b"new"), ("w", "new")):
        f = py.open(ws.ref("lost"), mode)
        f.write(data)
        del f
        assert not ws.exists("lost")


def test_errors_are_pythons_own_and_say_what_to_do(ws, py):
    with pytest.raises(FileNotFoundError) as caught:
        py.read(ws.ref("no/such"))
    assert isinstance(caught.value, sluice.NotFound) and caught.value.errno == errno.ENOENT
    assert "no/such" in str(caught.value) and "Errno" not in str(caught.value)
    ws.put("d/f", "1")
    with pytest.raises(IsADirectoryError):
        py.read(ws.ref("d"))
    data = py.register("pinned", ws.ref("d"))
    ws.put("d/f", "22")
    with pytest.raises(sluice.Changed):
        data.open("f").read()


def test_a_dataset_and_its_views(ws, py):
    ws.put_all({"in/a.csv": "a", "in/deep/b.csv": "bb", "in/c.txt": "ccc"})
    data = py.register("set", ws.ref("in"), tags={"k": "v"}, description="three")
    assert (data.name, data.version, data.files, data.bytes, data.tags) == ("set", "1", 3, 6, {"k": "v"})
    assert [x.path for x in data.ls()] == ["a.csv", "c.txt", "deep/b.csv"]
    assert data.open("deep/b.csv", "r").read() == "bb" and "three" in data._repr_html_()
    assert data.update(tags={"k": "w"}).tags == py.dataset("set").tags == {"k": "w"}
    assert [x.version for x in py.datasets("set")] == ["1"] and py.datasets(tags={"k": "x"}) == []
    told = []
    view = data.part("**/*.csv").as_download(ws.cwd / "staged", progress=told.append)
    assert (view.totals.files, view.totals.bytes) == (2, 3) and told[-1].bytes == 3
    assert sorted(p.name for p in Path(view).rglob("*.csv")) == ["a.csv", "b.csv"]
    assert data.part("**/*.csv").verify(view)["same"]
    assert data.as_hdfs().where.endswith("/in")


@needs_fuse
def test_a_mount_ends_with_its_block(ws, py):
    ws.put_all({"in/a": "a", "in/b": "b"})
    with py.dataset(ws.ref("in")).as_mount() as mount:
        assert sorted(os.listdir(mount)) == ["a", "b"] and (Path(mount) / "a").read_text() == "a"
        assert mount.prefetch(["b", "a"])["known"] == 2 and mount.stats()["mount"]["where"] == mount.where
    assert not os.path.exists(mount.where)


@local_only
def test_what_a_callback_raises_ends_the_call(ws, py):
    ws.put("f", bytes(1 << 20))

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        py.dataset(ws.ref("f")).as_download(ws.cwd / "t", progress=stop)


@local_only
def test_threads_and_children_use_it(ws, py):
    ws.put("f", "abc" * 1000)
    got, f = [], py.open(ws.ref("f"))
    threads = [threading.Thread(target=lambda: got.append(py.read(ws.ref("f")))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [b"abc" * 1000] * 8
    for way in ("fork", "spawn"):
        context = multiprocessing.get_context(way)
        with context.Pool(2) as pool:
            assert pool.map(py.read, [ws.ref("f")] * 4) == got[:4]
    child = os.fork()
    if child == 0:
        os._exit(0 if f.read() == got[0] else 1)
    assert os.waitpid(child, 0)[1] == 0 and f.read() == got[0]
    assert pickle.loads(pickle.dumps(py)).read(ws.ref("f")) == got[0]


@local_only
def test_a_run_is_followed_to_its_end(ws, py):
    (ws.cwd / "good.yml").write_text("type: command\ncommand: echo hi > ${{outputs.o}}/f\noutputs: {o: {name: made}}\n")
    (ws.cwd / "bad.yml").write_text("type: command\ncommand: exit 3\n")
    states = []
    run = py.submit(ws.cwd / "good.yml").wait(lambda e: states.append(e.get("status")))
    assert run.status == "Completed" and states[-1] == "Completed"
    assert py.dataset("made@1").open("f").read() == b"hi\n" == run.output("o").open("f").read()
    page = run.report(ws.cwd / "run.html")
    assert page.startswith("<!DOCTYPE html>") and (ws.cwd / "run.html").read_text() == page and "made:1" in page
    with pytest.raises(sluice.Failed):
        py.submit(ws.cwd / "bad.yml").wait()
    assert len(py.runs()) == 2


@local_only
def test_a_child_reads_the_file_that_was_open(ws, py):
    """The handle of its parent is no use to it: it opens the file again, which has to be the same."""

    def child(pipe):
        try:
            pipe.send((f.read(3), same.read()))
        except sluice.Changed as why:
            pipe.send(str(why))

    def asked():
        mine, its = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=child, args=(its,))
        process.start()
        its.close()
        answer = mine.recv()
        process.join()
        return answer

    py.write(ws.ref("x"), b"one")
    py.write(ws.ref("same"), b"same")
    with py.open(ws.ref("x")) as f, py.open(ws.ref("same")) as same:
        assert asked() == (b"one", b"same")
        before = py.stat(ws.ref("x")).identity
        while py.stat(ws.ref("x")).identity == before:
            py.write(ws.ref("x"), b"two")
        assert "'workspaceblobstore:x' changed while it was open" in asked()


@local_only
def test_a_run_that_is_over(ws, py):
    (ws.cwd / "p.yml").write_text(
        "type: pipeline\njobs:\n"
        "  one: {type: command, command: 'echo hi | tee ${{outputs.o}}/f', outputs: {o: {type: uri_folder}}}\n"
    )
    printed = []
    first = py.submit(ws.cwd / "p.yml").wait(lambda e: printed.append(e.get("output")), output=True)
    assert "hi\n" in printed
    assert py.submit(ws.cwd / "p.yml").wait().children[0].record["reused_from"] == first.children[0].id
    assert "reused_from" not in py.submit(ws.cwd / "p.yml", force_rerun=True).wait().children[0].record
    again = first.rerun("one").wait()
    assert again.record["rerun_of"] == first.id and "reused_from" not in again.children[0].record
    got = again.download(ws.cwd / "got", all=True)
    assert got["files"] == len([p for p in (ws.cwd / "got").rglob("*") if p.is_file()])
    assert (ws.cwd / "got/one/named-outputs/o/f").read_text() == "hi\n"
    first.archive()
    assert first.id not in [r.id for r in py.runs()] and [r.id for r in py.runs(archived="only")] == [first.id]
    first.restore()
    assert len(py.runs()) == 4 and [r.id for r in py.runs(limit=1)] == [again.id]
    first.delete()
    with pytest.raises(sluice.NotFound):
        _ = first.status


@local_only
def test_examples_in_the_documents_run(ws, monkeypatch):
    monkeypatch.chdir(ws.cwd)
    for info in pkgutil.iter_modules(sluice.__path__):
        (ws.cwd / info.name).mkdir()
        monkeypatch.chdir(ws.cwd / info.name)
        for test in doctest.DocTestFinder().find(importlib.import_module(f"sluice.{info.name}")):
            subprocess.run(["rm", "-rf", "demo"], check=True)
            assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0, test.name


@local_only
def test_it_is_loaded_soon_and_brings_nothing_along():
    """fsspec and what comes with it is for who opens URIs."""
    code = "import sys, sluice; print(sorted({'fsspec', 'pandas', 'asyncio'} & set(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": str(Path(sluice.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout == "[]\n"


# --- notebooks, workers, packages ---


@local_only
def test_datastores_and_what_notebooks_show(ws, py):
    ws.put_all({"in/a<b": "1", "in/c": "2"})
    (ws.cwd / "other").mkdir()
    store = py.add_datastore("other", type="local", path="other")
    assert store.type == store["type"] == "local" and not store.default and {x["right"] for x in store.test()}
    with store.open("f", "wb") as f:
        f.write(b"x")
    assert [x.path for x in store.ls()] == ["f"] and store.ref("f") == "other:f"
    data = py.register("set", ws.ref("in"), tags={"k": "<v>"})
    shown = [x._repr_html_() for x in (py, store, data, data.as_hdfs())]
    assert all(x.startswith("<table>") for x in shown) and "&lt;v&gt;" in shown[2] and "<v>" not in shown[2]
    assert "other" in shown[0]
    store.set_default()
    assert py.datastore().name == "other"
    py.datastores["workspaceblobstore"].set_default()
    store.unregister()
    assert "other" not in py.datastores


@local_only
def test_what_is_said_of_versions(ws, py):
    ws.put_all({"in/a": "1", "in/b": "2"})
    one = py.register("set", ws.ref("in"))
    ws.put("in/c", "3")
    (ws.folder / "in/b").unlink()
    two = one.__class__(py, ws.ref("in")).register("set", tags={"x": "y"})
    assert (two.version, two.tags) == ("2", {"x": "y"})
    assert one.diff(two) == (1, {"c": (0, 1)}, {"b": (1, 0)}, {}) and one.diff("set@2") and not two.diff(two)
    assert one.verify() == (1, {"c": (0, 1)}, {"b": (1, 0)}, {}) and not two.verify()
    assert two.freeze().record["frozen"] and py.read("set@2/c") == b"3"
    two.archive()
    assert py.dataset("set").version == "1" and [x.version for x in py.datasets("set")] == ["1"]
    assert two.restore().version == "2" and len(two.history()) >= 2
    assert one.used_by()["used_by"] == [] and two.lineage()["version"] == "2"
    two.unregister()
    with pytest.raises(sluice.NotFound):
        assert py.dataset("set@2").files


@local_only
def test_a_bar_in_a_terminal_and_in_a_notebook(ws, py, capsys, monkeypatch):
    ws.put("in/a", "1")
    py.dataset(ws.ref("in")).as_download(ws.cwd / "one", progress=True)
    assert "download" in (err := capsys.readouterr().err) and "1/1 files" in err.replace("\r", "\n").splitlines()[-1]
    drawn = []

    class Notebook:
        kernel = True

        def update(self, bar):
            drawn.append(bar._repr_html_())

    module = types.ModuleType("IPython")
    module.get_ipython = Notebook
    module.display = types.ModuleType("IPython.display")
    module.display.display = lambda bar, display_id: Notebook()
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", module.display)
    py.dataset(ws.ref("in")).as_download(ws.cwd / "two", progress=True)
    assert "<progress value='1' max='1'>" in drawn[-1] and not capsys.readouterr().err


@local_only
def test_temporary_downloads_go_with_their_process(ws, py, tmp_path, monkeypatch):
    ws.put("in/a", "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with py.dataset(ws.ref("in")).as_download() as view:
        assert "a" in os.listdir(view)
    assert not os.path.exists(view.where)
    with pytest.raises(sluice.NotFound):
        py.dataset(ws.ref("none")).as_download()
    assert os.listdir(tmp_path / "tmp") == []
    code = f"import os, sluice; v = sluice.Workspace().dataset({ws.ref('in')!r}).as_download(); print(open(os.path.join(v, 'a')).read())"
    env = {**ws.env, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(Path(sluice.__file__).parents[1])}
    for way in (
        "%s",
        "import multiprocessing as m; p = m.get_context('fork').Process(target=lambda: exec(%r)); p.start(); p.join()",
    ):
        text = way % code
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=ws.cwd, env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout == "1\n" and os.listdir(tmp_path / "tmp") == []


class Items:
    """As a data set of torch: a worker gets a copy, by a fork or pickled, and asks it for items."""

    def __init__(self, py, data, names):
        self.py, self.data, self.names, self.open = py, data, names, {}

    def __getitem__(self, i):
        f = self.open.get(i) or self.open.setdefault(i, self.data.open(self.names[i]))
        f.seek(0)
        return f.read()

    def __getstate__(self):
        return {**self.__dict__, "open": {}}


def work(items, wanted, answers):
    answers.put((os.getpid(), [items[i] for i in wanted]))


@local_only
@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_workers_of_a_data_loader(ws, py, way):
    names = [f"{i:03}" for i in range(40)]
    ws.put_all({f"in/{n}": n * 1000 for n in names})
    items = Items(py, py.register("set", ws.ref("in")), names)
    before = [items[i] for i in range(40)]  # what is open is inherited by a fork
    context = multiprocessing.get_context(way)
    answers = context.Queue()
    workers = [context.Process(target=work, args=(items, range(k, 40, 4), answers)) for k in range(4)]
    for w in workers:
        w.start()
    found = dict(answers.get(timeout=PATIENCE * 4) for _ in workers)
    for w in workers:
        w.join()
    assert [w.exitcode for w in workers] == [0] * 4 and len(found) == 4
    assert sorted(x for got in found.values() for x in got) == sorted(before)
    assert [items[i] for i in range(40)] == before


@local_only
def test_other_threads_run_while_a_call_waits(ws, py):
    """The file is a pipe that another thread of this process has to write."""
    os.mkfifo(ws.cwd / "job.fifo")
    (ws.cwd / "j.yml").write_text(f"type: command\ncommand: cat {ws.cwd}/job.fifo\n")
    run = py.submit(ws.cwd / "j.yml")
    writer = threading.Thread(target=lambda: (ws.cwd / "job.fifo").write_text("go"))
    watcher = threading.Thread(target=run.wait)
    watcher.start()  # waits in C until the run has ended, which takes the writer
    writer.start()
    writer.join(PATIENCE * 4)
    watcher.join(PATIENCE * 4)
    assert run.status == "Completed"


@local_only
def test_an_installed_package_is_found_by_its_uri(ws, py, tmp_path):
    """pip installs it from the tree, which stays as it is; nothing imports sluice.fs."""
    tree = Path(sluice.__file__).parents[1]
    has = [int(x) for d in importlib.metadata.distributions(name="setuptools") for x in d.version.split(".")[:2]]
    if has[:2] < [70, 1]:
        pytest.skip("no setuptools that makes wheels (tools/dev deps scenario)")
    names = sorted(p.name for p in tree.rglob("*") if "__pycache__" not in p.parts)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(tree)], check=True)
    assert sorted(p.name for p in tree.rglob("*") if "__pycache__" not in p.parts) == names
    ws.put("in/a.csv", "x\n1\n")
    py.register("set", ws.ref("in"))
    code = (
        "import fsspec; print(fsspec.open('sluice://set@1/a.csv').open().read(), fsspec.filesystem('azureml').protocol)"
    )
    env = {**ws.env, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ws.cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "b'x\\n1\\n' ('sluice', 'azureml')\n", done.stderr


def test_the_list_of_names_is_whole():
    """docs/python.md has each public name in the section of its class, and none that is not there."""
    text = (Path(__file__).resolve().parents[2] / "docs/python.md").read_text()
    sections = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    for name in sluice.__all__:
        kind = getattr(sluice, name)
        if not isinstance(kind, type):
            continue
        section = sections.pop(f"sluice.{name}", None)
        named = sections["Small ones"] if section is None else "".join(re.findall(r"^\| (.*?) \|", section, re.M))
        told = set(re.findall(r"`(\w+)(?=[(`])", named))
        public = {x for x in vars(kind) if not x.startswith("_")}
        assert public <= told, (name, public - told)
        if section is None:
            assert name in told
        else:
            assert told <= public, (name, told - public)
    assert [x for x in sections if x.startswith("sluice.")] == []


@needs_fuse
@local_only
def test_a_mount_that_nobody_closed_ends_with_the_process(ws, py):
    ws.put("in/a.csv", "x\n1\n")
    py.register("set", ws.ref("in"))
    code = """
        import os, sluice
        view = sluice.Workspace().dataset("set").as_mount()
        print(view, os.listdir(view))
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ws.cwd, capture_output=True, text=True,
                          env={**ws.env, "PYTHONPATH": str(Path(sluice.__file__).parents[1])}, check=False)  # fmt: skip
    assert done.stderr == ""
    where, names = done.stdout.split(" ", 1)
    assert names == "['a.csv']\n" and not os.path.lexists(where)
    view = py.dataset("set").as_mount()
    ws.run("unmount", str(view))
    assert not os.path.ismount(view)
    view.close()
    assert not os.path.lexists(view)
    view.close()


@local_only
def test_messages_say_what_python_can_do(ws, py):
    ws.put("in/a.csv", "x\n1\n")
    py.register("set", ws.ref("in"))
    for target in ("set@1/copy.csv", "azureml:set:1/copy.csv", "set@1"):
        with pytest.raises(PermissionError, match="read-only: write to a path of a datastore"):
            py.open(target, "wb")
    with pytest.raises(FileExistsError, match="mode 'w'") as caught:
        py.open(ws.ref("in/a.csv"), "xb")
    assert "--" not in str(caught.value)
    (ws.cwd / "full").mkdir()
    (ws.cwd / "full/x").write_text("x")
    with pytest.raises(sluice.Error, match="policy='merge'"):
        py.dataset("set").as_download(ws.cwd / "full")
    for wrong in ("set/a.csv", "set:a.csv"):
        with pytest.raises(FileNotFoundError, match="'set@latest/a.csv'"):
            py.read(wrong)


# --- fsspec ---


@local_only
def test_uris_that_lead_nowhere_say_the_right_one(ws, py):
    ws.put("in/a.csv", "x\n1\n")
    py.register("set", ws.ref("in"))
    fs = SluiceFileSystem(py)
    store = py.info["default_datastore"]
    with pytest.raises(FileNotFoundError, match=f"sluice://{store}/in/a.csv"):
        fs.open(f"sluice://{store}:in/a.csv")
    with pytest.raises(FileNotFoundError, match="sluice://set@latest/a.csv"):
        fs.open("sluice://set/a.csv")
    with pytest.raises(PermissionError, match="read-only"):
        fs.open("sluice://set@1/copy.csv", "wb")
    with pytest.raises(FileNotFoundError, match="'nosuch'"):
        fs.open("sluice://nosuch/a.csv")
    assert fs.cat_file(f"sluice://{store.upper()}/{ws.ref('in/a.csv').partition(':')[2]}") == b"x\n1\n"
    assert not fs.exists("sluice://set/a.csv") and fs.exists("sluice://set@latest/a.csv")


def test_uris_lead_into_the_stores(ws, py):
    fs = SluiceFileSystem(workspace=py)
    ws.put_all({"in/a b.csv": "x", "in/50%": "y", "in/st*r": "z"})
    py.register("set", ws.ref("in"))
    at = ws.store_name if hasattr(ws, "store_name") else "workspaceblobstore"
    with fsspec.open("sluice://set@1/a b.csv", workspace=py) as f:
        assert f.read() == b"x"
    for uri in (f"sluice://{at}/in/a b.csv", f"azureml://datastores/{at}/paths/in/a%20b.csv", "sluice://set@1/a b.csv",
                f"azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/{at}/paths/in/a%20b.csv",
                "azureml://data/set/versions/1/paths/a%20b.csv"):  # fmt: skip
        assert fs.cat_file(uri) == b"x", uri
    assert fs.ls(f"{at}/in", detail=False) == [f"{at}/in/50%", f"{at}/in/a b.csv", f"{at}/in/st*r"]
    assert fs.cat_file(f"{at}/in/st*r") == b"z" and fs.cat_file(f"{at}/in/50%", 0, 1) == b"y"
    assert sorted(fs.find("set@1")) == ["set@1/50%", "set@1/a b.csv", "set@1/st*r"]
    parts = fs.cat_ranges([f"sluice://{at}/in/a b.csv", f"{at}/in/none", *[f"{at}/in/50%"] * 2], [0, 0, None, -1], 9)
    assert isinstance(parts.pop(1), FileNotFoundError) and parts == [b"x", b"y", b"y"]
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([f"{at}/in/none"], 0, 1, on_error="raise")
    with fs.open(f"{at}/out/new", "wb") as f:
        f.write(b"new")
    fs.mv(f"{at}/out/new", f"{at}/out/newer")
    assert ws.get("out/newer") == b"new" and not fs.exists(f"{at}/out/new")
    fs.rm(f"{at}/out", recursive=True)
    assert not fs.exists(f"{at}/out")
    with pytest.raises(FileNotFoundError):
        fs.info(f"{at}/none")


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture(scope="class")
    def fs(self, tmp_path_factory):
        return SluiceFileSystem(workspace=sluice.Workspace.init(tmp_path_factory.mktemp("ws")).config_path)

    @pytest.fixture
    def fs_path(self, fs):
        return f"workspaceblobstore/{os.urandom(4).hex()}"

    @pytest.fixture
    def supports_empty_directories(self):
        return True


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass
