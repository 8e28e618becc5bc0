# SPDX-License-Identifier: Apache-2.0
"""Independent judges: what sluice, hdfs-native and Hadoop's FsShell do to one folder of a real HDFS, in turn and at random,
each of them sees, and a model in memory says what it has to be.  Small blocks, so that small files have many.  The stream is
the same each time, but for SLUICE_DEEP=1, which looks for new ones."""

import json
import os
import random
import time

import pytest
from conftest import PAIR_BLOCK, RECORD, Workspace, read_tree
from hdfs_judges import PATTERN, HdfsNative, OfSluice, Refused
from stores import HdfsStore

pytestmark = pytest.mark.xdist_group("hdfs-pair")
DEEP = bool(os.environ.get("SLUICE_DEEP"))
SEED = int(os.environ.get("SLUICE_JUDGES_SEED", time.time_ns() % 1_000_000 if DEEP else 1))
BLOCKS = [4 << 10, 8 << 10, 64 << 10, 256 << 10, 1 << 20]
NAMES = ["new\nline", "%", "p%41q", "wh?t", "a b", " lead", "trail ", "grün", "日本", "\U0001f600", "plus+and&", "#=;,@!$()~^",
         "quo'te\"s", "_SUCCESS", ".hidden", "st*r", "[x]{y}", "back\\slash", "x" * 255, "tab\there", "-R", "e\u0301"]  # fmt: skip


class World:
    """The folder, who works in it, and what is in it: path -> bytes, None of a folder."""

    def __init__(self, server, tmp_path, shell, seed):
        pytest.importorskip("hdfs_native", reason="no hdfs-native (tools/dev deps scenario)")
        self.pick = random.Random(seed)
        self.folder = f"/judges{tmp_path}/world"
        ws = Workspace(tmp_path, HdfsStore(server, f"/judges{tmp_path}"))
        config = json.loads(ws.config.read_text())
        entry = {**config["datastores"]["workspaceblobstore"], "path": self.folder}
        rpc_only = {**entry, "protocol": "native", "namenode": server.rpc, "http_address": "127.0.0.1:1"}
        del rpc_only["rpc_address"]
        config["datastores"] |= {"native": rpc_only, "web": {**entry, "protocol": "webhdfs"}}
        ws.config.write_text(json.dumps(config))
        self.ws = ws
        self.ours = [OfSluice(ws, self.folder, store) for store in ("native", "web")]
        self.shell, self.other = shell, HdfsNative(server)
        self.judges = [self.other, shell]
        self.other.mkdir(self.folder)
        self.model = {}
        self.said = []

    def folders(self):
        return [self.folder, *(p for p, data in self.model.items() if data is None)]

    def files(self):
        return [p for p, data in self.model.items() if data is not None]

    def anything(self):
        return self.pick.choice(list(self.model)) if self.model else None

    def new_name(self):
        name = self.pick.choice(NAMES)
        return name if self.pick.random() < 0.5 else f"{name[:240]}{self.pick.randrange(1000)}"

    def new_path(self):
        return f"{self.pick.choice(self.folders())}/{self.new_name()}"

    def bytes(self):
        """Around the ends of blocks and chunks of every size."""
        size = self.pick.choice([0, 1, 511, 512, 513, 1000, *BLOCKS[:3], 16 << 10, 100_000, 300_000])
        return self.pick.randbytes(max(0, size + self.pick.choice([-1, 0, 0, 1, self.pick.randrange(5000)])))

    def parents_of(self, path):
        while path != self.folder:
            path = os.path.dirname(path)
            yield path

    def below(self, path):
        return [p for p in self.model if p.startswith(f"{path}/")]

    def in_a_file(self, path):
        return any(self.model.get(p) is not None for p in self.parents_of(path))

    # Each does one thing, by whom it is told, and says whether HDFS has to refuse it.

    def put(self, who):
        old = self.files()
        path = self.pick.choice(old) if old and self.pick.random() < 0.4 else self.new_path()
        if path in self.model and self.model[path] is None:
            return None  # sluice and FsShell would put it in there
        if old and self.pick.random() < 0.1:
            path = f"{self.pick.choice(old)}/below"
        elif who is not self.shell and self.pick.random() < 0.2:
            path = f"{path}/{self.new_name()}" if path not in self.model else path
        if who is self.shell and (any(c in PATTERN for c in path) or len(os.path.basename(path).encode()) > 246):
            return None  # it takes them for a pattern there; it writes to a longer name first
        data, replace = self.bytes(), self.pick.random() < 0.6
        refused = self.in_a_file(path) or (path in self.model and not replace)
        self.does(who, refused, "put", path, data, replace, self.pick.choice(BLOCKS))
        if not refused:
            self.model[path] = data
            self.add_folders(path)
        return path

    def add_folders(self, path):
        for p in self.parents_of(path):
            if p != self.folder:
                self.model[p] = None

    def mkdir(self, who):
        if who in self.ours:
            who = self.pick.choice(self.judges)
        path = self.new_path()
        if self.files() and self.pick.random() < 0.3:
            path = self.pick.choice(self.files())
        if who is self.shell and any(c in PATTERN for c in path):
            return None
        refused = self.model.get(path) is not None
        self.does(who, refused, "mkdir", path)
        self.model.setdefault(path, None)
        return path

    def move(self, who):
        old = self.anything() if self.pick.random() < 0.9 else self.new_path()
        new = self.new_path() if self.pick.random() < 0.8 else self.pick.choice(self.files() or [None])
        if not old or not new or old == new or (new in self.model and self.model[new] is None):
            return None
        if who is self.shell and any(c in PATTERN for c in new):
            return None
        if self.model.get(old, 0) is None and self.pick.random() < 0.2:
            new = f"{old}/into itself"
        refused = old not in self.model or new in self.model or new.startswith(f"{old}/")
        self.does(who, refused, "move", old, new)
        if not refused:
            for path in [old, *self.below(old)]:
                self.model[new + path[len(old) :]] = self.model.pop(path)
        return new

    def remove(self, who):
        path = self.anything() if self.pick.random() < 0.8 else self.new_path()
        if not path or len(self.model) < 6:
            return None
        self.does(who, path not in self.model, "remove", path)
        for gone in [path, *self.below(path)]:
            self.model.pop(gone, None)
        return path

    def does(self, who, refused, what, *args):
        shown = [f"{len(a)} bytes" if isinstance(a, bytes) else a for a in args]
        self.say(who, f"{what} {shown}{' (to be refused)' if refused else ''}")
        try:
            getattr(who, what)(*args)
        except Refused as e:
            assert refused, e
        else:
            assert not refused, f"{self.said[-1]}: it was done"

    def say(self, who, what):
        self.said.append(f"{getattr(who, 'store', type(who).__name__)} {what.replace(self.folder, '')}")

    # What is there now, by whom it is asked.

    def look_at(self, path, who):
        data = self.model.get(path)
        self.say(who, f"reads {path!r}")
        if path not in self.model:
            with pytest.raises(Refused):
                who.get(path)
            return
        if data is None:
            return
        assert who.get(path) == data
        if data:
            offset = self.pick.randrange(len(data))
            length = self.pick.randrange(1, len(data) + 1)
            assert who.part(path, offset, length) == data[offset : offset + length], (offset, length)
        if who in self.ours:
            assert who.size(path) == len(data)

    def look_at_all(self):
        self.said.append("all list")
        sizes = {p: None if data is None else len(data) for p, data in self.model.items()}
        for judge in self.judges:
            assert judge.tree(self.folder) == sizes
        for one in self.ours:
            assert one.tree(self.folder) == {p: size for p, size in sizes.items() if size is not None}
            for folder in self.pick.sample(self.folders(), min(3, len(self.folders()))):
                inside = {os.path.basename(p): size for p, size in sizes.items() if os.path.dirname(p) == folder}
                assert one.folder_of(folder) == inside

    def go(self, steps):
        """Some of the steps find nothing to do."""
        everyone = [*self.ours, *self.judges]
        try:
            for step in range(steps):
                who = self.pick.choice([*self.ours, *everyone])
                what = self.pick.choices([self.put, self.mkdir, self.move, self.remove], [6, 1, 3, 2])[0]
                path = what(who)
                if path:
                    for one in self.pick.sample(everyone, 4 if DEEP else 2):
                        self.look_at(path, one)
                if step % 15 == 14:
                    self.look_at_all()
            self.look_at_all()
            for path in self.files():
                assert self.pick.choice(everyone).get(path) == self.model[path], path
        except BaseException:
            print("\n".join(self.said))
            raise


def test_all_see_what_each_of_them_does(hdfs_pair, fs_shell, tmp_path):
    for seed in range(SEED, SEED + (10 if DEEP else 1)):
        (tmp_path / str(seed)).mkdir()
        world = World(hdfs_pair, tmp_path / str(seed), fs_shell, seed)
        print(f"repeat: SLUICE_JUDGES_SEED={seed}")
        world.go(300 if DEEP else 30)
        same_checksums(world, fs_shell)


def same_checksums(world, shell):
    """What DataNodes say of the bytes, by whomever they were written, sluice found when it had them."""
    out = world.ws.cwd / "out"
    world.ws.run("download", "native:", out)
    assert {f"{world.folder}/{p}": data for p, data in read_tree(out).items()} == {
        p: world.model[p] for p in world.files()
    }
    sums = {p: x.split("\t")[1] for p, x in shell.checksums(world.files(), "COMPOSITE_CRC").items() if world.model[p]}
    record = (out / RECORD).read_bytes()
    assert all(f"crc32c:{x}".encode() in record for x in sums.values())
    for store in ("native", "web"):
        same = world.ws.json("verify", out, f"{store}:")
        assert same["same"] and same["files"] == len(world.files()) and not same["unchecked"], same


@pytest.mark.parametrize("way", ["native", "web"])
def test_what_is_written_alike_has_hadoops_own_checksum_alike(hdfs_pair, fs_shell, tmp_path, way):
    """MD5-of-MD5-of-CRC32C is of the bytes and of how they were cut into blocks and chunks."""
    world = World(hdfs_pair, tmp_path, fs_shell, 1)
    ours = next(x for x in world.ours if x.store == way)
    for size in (0, 1, PAIR_BLOCK, PAIR_BLOCK + 1, 10 * PAIR_BLOCK + 700):
        data = world.pick.randbytes(size)
        a, b = (f"{world.folder}/{who}-{size}" for who in "ab")
        ours.put(a, data, False, None)
        fs_shell.put(b, data, False, PAIR_BLOCK)
        assert len(set(fs_shell.checksums([a, b], "MD5MD5CRC").values())) == 1, size
