# SPDX-License-Identifier: Apache-2.0
"""What the documents tell people to type works as written."""

import os
import re
import subprocess
from pathlib import Path

from conftest import USAGE, local_only, needs_fuse

SRC = Path(os.environ.get("SLUICE_SRC", Path(__file__).parents[2]))


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", (SRC / path).read_text(), re.DOTALL)


@needs_fuse
def test_the_sixty_seconds_of_the_readme(tmp_path):
    script = blocks("README.md", "sh")[0].replace("/path/to/Titanic.csv", str(SRC / "examples/titanic/Titanic.csv"))
    done = subprocess.run(["bash", "-euxc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "PassengerId" in done.stdout and "file:///" in done.stdout


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
