# SPDX-License-Identifier: Apache-2.0
"""What the checks share: the project's files, C without comments and strings, findings."""

import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(os.environ.get("SLUICE_SRC") or Path(__file__).resolve().parents[2])

# Bottom up: a folder may include those of its line.
LAYERS = {
    "common": (),
    "io": ("common",),
    "fs": ("common", "io"),
    "blob": ("common", "io", "fs"),
    "hdfs": ("common", "io", "fs"),
    "web": ("common", "io", "fs"),
    "dataset": ("common", "io", "fs", "blob", "hdfs", "web", "include"),
    "job": ("common", "io", "fs", "blob", "hdfs", "web", "dataset", "include"),
    "tools": ("common", "include"),
}


def made(target):
    """Is it in the tree, or made by the build of something that is?"""
    return (TOP / target).exists() or (TOP / re.sub(r"\.pb-c\.[ch]$", ".proto", target)).exists()


def files(*suffixes, under=()):
    """Paths, relative to the top, of the project's files: what git knows, what a tarball lists, or
    (in a bare copy) all."""
    if (TOP / ".git").exists():
        git = ["git", "-C", str(TOP), "ls-files", "-z", "-co", "--exclude-standard"]
        names = subprocess.run(git, check=True, capture_output=True).stdout.decode().split("\0")
    elif (TOP / ".dist-files").exists():
        names = read(".dist-files").split("\0")
    else:
        names = _walk()
    return sorted(
        n for n in names if n.endswith(suffixes) and (not under or n.split("/")[0] in under) and (TOP / n).is_file()
    )


def _walk():
    skip = re.compile(r"^(build|build-.*|\..*|autom4te\.cache|__pycache__|sluice-[0-9].*)$")
    for folder, folders, names in os.walk(TOP):
        folders[:] = [f for f in folders if not skip.match(f)]
        for name in names:
            yield str(Path(folder, name).relative_to(TOP))


def product():
    """The C files that are installed or linked into what is: those of the layers and the header."""
    return files(".c", ".h", under=(*LAYERS, "include"))


def read(path):
    return (TOP / path).read_text(encoding="utf-8", errors="replace")


_TOKEN = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def strip(text, strings=True):
    """C text with comments (and the insides of strings) blanked; lines and columns stay."""

    def blank(match):
        token = match.group()
        if token[0] == "/":
            return re.sub(r"[^\n]", " ", token)
        if not strings:
            return token
        return token[0] + " " * (len(token) - 2) + token[-1]

    return _TOKEN.sub(blank, text)


class Findings:
    """Collects findings; ends the process with 1 when there are any."""

    def __init__(self, what):
        self.what = what
        self.n = 0

    def add(self, path, line, message):
        self.n += 1
        print(f"{path}:{line}: {message}" if line else f"{path}: {message}")

    def end(self):
        if self.n:
            print(f"{self.what}: {self.n} findings")
        sys.exit(1 if self.n else 0)
