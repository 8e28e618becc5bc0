# SPDX-License-Identifier: Apache-2.0
"""What the documents tell people to type works as written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from azurite import ACCOUNT, KEY
from conftest import RUNG, USAGE, local_only, needs_fuse

SRC = Path(os.environ.get("SLUICE_SRC", Path(__file__).parents[2]))


sys.path.insert(0, str(SRC / "tools/dev.d"))
import document  # noqa: E402

# What tools/dev demo runs as well is left to it, as it needs a Spark of its own.
SLOW = () if os.environ.get("SLUICE_DEEP") == "1" else ("spark",)


def has(need):
    library = Path(os.environ.get("SLUICE_LIBRARY", "")).is_file() and RUNG == "scenario"
    return (
        need not in SLOW and (library or need not in ("python", "fsspec", "pandas", "polars")) and document.there(need)
    )


def ran(path, folder, monkeypatch, replace=(), servers=()):
    """All that the examples of a document print.  servers: that run, of those that examples need."""
    told, text = [], (SRC / path).read_text()
    for old, new in replace:
        text = text.replace(old, new)
    if "```python" in text and not has("python"):
        pytest.skip("no library that Python can load")
    monkeypatch.setenv("SLUICE_SRC", str(SRC))
    monkeypatch.setenv("PYTHONPATH", str(SRC / "python"))
    page = document.Document(text, folder, lambda need: need in servers or has(need), told.append)
    assert page.run() == 0, "".join(told)[-3000:]
    return "".join(told)


@needs_fuse
def test_the_examples_of_the_readme(tmp_path, monkeypatch):
    source = str(SRC / "examples/titanic/Titanic.csv")
    told = ran("README.md", tmp_path, monkeypatch, [("/path/to/Titanic.csv", source)])
    assert "PassengerId" in told and "file:///" in told


@needs_fuse
def test_the_examples_of_the_readme_with_the_emulator(azurite, tmp_path, monkeypatch):
    """Its port is another one, and each line has a shell of its own."""
    monkeypatch.setenv("BLOB", f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={azurite.url}")
    source = str(SRC / "examples/titanic/Titanic.csv")
    name = f"readme-{os.urandom(6).hex()}"
    there = [("/path/to/Titanic.csv", source), ("container_name=data", f"container_name={name}")]
    told = ran("README.md", tmp_path, monkeypatch, there, ["emulator"])
    with azurite.client.get_container_client(name) as container:
        assert container.download_blob("raw/Titanic.csv").readall() == Path(source).read_bytes()
    assert "raw/Titanic.csv" in told.partition("emulator:raw/")[2]


@needs_fuse
def test_the_tutorial(tmp_path, monkeypatch):
    told = ran("docs/tutorial.md", tmp_path, monkeypatch)
    assert "the bytes of the source" in told and "there: False" in told
    assert "\n    exit status 3\n" in told and "exit status 10" in told and "failed: the step ended" in told


@needs_fuse
def test_the_job_file_of_jobs(ws, monkeypatch):
    ws.put("raw/Titanic.csv", (SRC / "examples/titanic/Titanic.csv").read_bytes())
    ws.register("titanic", "raw/Titanic.csv")
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    assert "line_counts" in ran("docs/jobs.md", ws.cwd, monkeypatch)
    made = ws.run("ls", "line_counts@1").out
    assert made == "lines.txt\n" and int(ws.run("cat", "line_counts@1/lines.txt").out) > 800


def test_the_examples_of_from_azure_ml(tmp_path, monkeypatch):
    ran("docs/azureml.md", tmp_path, monkeypatch)


def test_verbs_that_documents_name_exist():
    """In running text, as `sluice VERB`."""
    known = subprocess.run(["sluice", "--help"], capture_output=True, text=True, check=True).stdout
    known = {m[0] for m in re.findall(r"^  ([a-z-]+( [a-z-]+)?) ", known, re.MULTILINE)} | {"help"}
    groups = {verb.split()[0] for verb in known if " " in verb}
    for path in ["README.md", *(f"docs/{p.name}" for p in (SRC / "docs").glob("*.md"))]:
        for words in re.findall(r"`sluice ([a-z-]+(?: [a-z-]+)?)", (SRC / path).read_text()):
            assert words in known | groups or words.split()[0] in known, (path, words)


def test_a_document_stops_where_an_example_fails(tmp_path):
    text = (
        "# T\n```sh\nmkdir d && cd d\ntouch a\n```\n```yaml b.yml\nx: 1\n```\n<!-- needs: moon -->\n```sh\nfalse\n```\n"
    )
    page = document.Document(text + "```sh\nls; exit 7\ntouch never\n```\n", tmp_path, lambda need: need != "moon")
    assert page.run() == 7 and sorted(os.listdir(tmp_path / "d")) == ["a", "b.yml"]
    assert document.Document("```python\nraise SystemExit(3)\n```\n", tmp_path).run() == 3


@local_only
def test_the_examples_of_the_manual(ws):
    ws.put("raw/2026/a.csv", "1")
    ws.register("titanic", "raw")
    (ws.cwd / "data").mkdir()
    page = (SRC / "docs/sluice-uri.7.scd").read_text()
    for line in re.findall(r"^sluice .*", page, re.MULTILINE):
        if " mount " not in line:
            done = subprocess.run(
                ["bash", "-euc", line.replace("/data/raw", str(ws.cwd / "data/raw"))],
                cwd=ws.cwd, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.skipif(not (shutil.which("scdoc") and shutil.which("groff")), reason="no scdoc and groff")
def test_the_manual_fits_a_terminal():
    for page in sorted((SRC / "docs").glob("*.scd")):
        roff = subprocess.run(["scdoc"], input=page.read_bytes(), capture_output=True, check=True).stdout
        how = ["groff", "-t", "-man", "-Tutf8", "-rLL=80n", "-wbreak"]
        done = subprocess.run(how, input=roff, capture_output=True, check=False)
        assert b"break line" not in done.stderr, (page.name, done.stderr)


def test_every_verb_explains_itself(bare):
    verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?) ", bare.run("--help").out, re.MULTILINE)
    assert len(verbs) > 20
    for verb in verbs:
        words = [w for w in verb.split() if w.islower()]
        done = subprocess.run(["sluice", *words, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout.startswith("usage: sluice"), words
        assert bare.run("help", *words).out == done.stdout
    for word in ("data", "cache", "job"):
        text = bare.run(word, "--help").out
        assert text.startswith(f"usage: sluice {word} VERB") and bare.run("help", word).out == text
        assert f"see `sluice {word} --help`" in bare.run(word, "frob", code=USAGE).err


@local_only
def test_what_was_mistyped_is_told_and_what_may_be_meant(bare):
    def says(text, *argv):
        assert text in bare.run(*argv, code=USAGE).err, argv

    says("(is 'unmount' meant?)", "umount", "x")
    says("(is 'datastore list' meant?)", "datasotre", "list")
    says("'data lst' is no verb (is 'data list' meant?)", "data", "lst")
    says("'frob' is no verb;", "frob")
    says("option '-x' is unknown;", "ls", "-xl")
    says("'--foregroud' is unknown (is '--foreground' meant?)", "mount", "a", "b", "--foregroud")
    says("'--log' lacks its argument, FILE", "mount", "a", "b", "--log")
    says("'--long=yes' takes no argument", "ls", "--long=yes")
    says("too few arguments: download wants REF TARGET", "download", "x")
    says("too many arguments: ls takes [REF]", "ls", "a", "b")
