# SPDX-License-Identifier: Apache-2.0
"""The model test's other half (tests/model/model.c reads and compares): makes the files, changes objects behind the
mount's back, says what may fail.

$SLUICE_MODEL_SEED repeats a run, $SLUICE_MODEL_SECONDS says how long each is; SLUICE_DEEP=1 stands for minutes."""

import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "model/model.c"
SECONDS = float(os.environ.get("SLUICE_MODEL_SECONDS") or (180 if os.environ.get("SLUICE_DEEP") else 3))
ROUND = 15
FOLDER = tempfile.TemporaryDirectory(prefix="sluice-model-")  # goes when the process does
PROCESSES, THREADS = 2, 4


def program():
    """Compiled once for a session; None without a compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        return None
    built = Path(FOLDER.name) / "model"
    flags = ["-O2", "-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-pthread"]
    subprocess.run([*compiler.split(), *flags, "-o", built, SOURCE], check=True)
    return built


class Model:
    """The files of one store, and what has become of them."""

    SIZES = (0, 1, 4095, 4096, 4097, 65535, 65537, 100_000, (1 << 20) - 1, (1 << 20) + 1, 3 << 20, 9_000_001)

    def __init__(self, program, ws, folder="m"):
        self.program, self.ws, self.folder = program, ws, folder
        self.seed = int(os.environ.get("SLUICE_MODEL_SEED") or random.randrange(1 << 32))
        self.random = random.Random(self.seed)
        self.work = ws.cwd / "model"
        self.work.mkdir()
        paths = [(f"s{i % 3}/f{i:02}", s) for i, s in enumerate(self.SIZES)]
        paths += [(f"many/deep/{i:03}", self.random.randrange(60_000)) for i in range(40)]
        self.paths = paths
        self.table, self.state = self.work / "table", self.work / "state"
        self.table.write_text("".join(f"{i} {size} {path}\n" for i, (path, size) in enumerate(paths)))
        self.place()

    def place(self):
        self.state.write_bytes(bytes(len(self.paths) + 1))
        names = [f"{self.folder}/{p}" for p, _ in self.paths]
        self.ws.put_all(dict(zip(names, self.contents(1), strict=True)))

    def contents(self, version, ids=None):
        ids = range(len(self.paths)) if ids is None else ids
        argv = [self.program, "make", self.seed, version, self.work, self.table, *ids]
        subprocess.run([str(a) for a in argv], check=True)
        return [(self.work / str(i)).read_bytes() for i in ids]

    def flag(self, at, value=1):
        """Into the state that the readers have mapped."""
        with open(self.state, "r+b") as f:
            f.seek(at)
            f.write(bytes([value]))

    def errors_in_order(self, yes):
        self.flag(len(self.paths), int(yes))

    def change_one(self):
        """Another version of an object, of the same size or not, or none."""
        nr = self.random.randrange(len(self.paths))
        path = f"{self.folder}/{self.paths[nr][0]}"
        self.flag(nr)
        way = self.random.randrange(4)
        if way == 0 and self.ws.exists(path):
            self.ws.store.remove(path)
        else:
            (data,) = self.contents(2, [nr])
            self.ws.store.put(path, data + b"more" if way == 1 else data)

    def rounds(self):
        """A long test is many: each with new files and a mount of its own."""
        for nr in range(max(1, round(SECONDS / ROUND))):
            if nr:
                self.place()
            yield nr

    def paced(self, fn, often=30):
        """For run(): so many times a round at most, never two at once: what was missed is not made up for."""
        due = time.monotonic()

        def now_and_then():
            nonlocal due
            if time.monotonic() >= due:
                fn()
                due = time.monotonic() + min(SECONDS, ROUND) / often

        return now_and_then

    def start(self, mount, seconds=None, ops=0):
        argv = [
            self.program,
            "run",
            self.seed,
            PROCESSES,
            THREADS,
            seconds or min(SECONDS, ROUND),
            ops,
            mount,
            self.table,
            self.state,
        ]
        return subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, text=True)

    def finish(self, running):
        """(operations, bytes, ESTALE, other failures); the model fails the test by what it prints."""
        out, _ = running.communicate()
        assert running.returncode == 0, f"{out}(repeat: SLUICE_MODEL_SEED={self.seed})"
        return tuple(map(int, out.split()))

    def run(self, mount, meanwhile=None, **how):
        """meanwhile: called again and again while the readers run."""
        running = self.start(mount, **how)
        try:
            while running.poll() is None:
                if meanwhile:
                    meanwhile()
                time.sleep(0.02)  # paces the changes; nothing waits for it
            return self.finish(running)
        finally:
            running.kill()
