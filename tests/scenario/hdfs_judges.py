# SPDX-License-Identifier: Apache-2.0
"""Who else reads and writes HDFS: hdfs-native, and Hadoop's FsShell in one Java for all of its commands.  Both do what the
tests of an operation stream need, and sluice in the same words."""

import contextlib
import json
import subprocess
import time
from pathlib import Path

import hdfs_server

PATTERN = "\\*?[]{}"  # what FsShell and sluice take for a pattern


def quoted(path):
    return "".join(f"\\{c}" if c in PATTERN else c for c in path)


class Refused(Exception):
    """By whom and why."""


class HdfsNative:
    """A client in Rust."""

    def __init__(self, server):
        import hdfs_native

        self.options = hdfs_native.WriteOptions
        self.client = hdfs_native.Client(f"hdfs://{server.rpc}")

    def put(self, path, data, replace, block):
        """It does not wait for a NameNode that has yet to hear of the block before, and gives up."""
        end = time.monotonic() + 120
        while True:
            try:
                return self.put_once(path, data, replace, block)
            except Refused as e:
                if not any(x in str(e) for x in ("NotReplicatedYet", "complete file in time")):
                    raise
                assert time.monotonic() < end, f"hdfs-native never came to the end of {path!r}: {e}"
            replace = True  # what it left of itself
            time.sleep(0.05)

    def put_once(self, path, data, replace, block):
        with refusals("hdfs-native"):
            options = self.options(block_size=block, overwrite=replace, create_parent=True)
            with self.client.create(path, options) as f:
                f.write(data)

    def get(self, path):
        with refusals("hdfs-native"), self.client.read(path) as f:
            return f.read()

    def part(self, path, offset, length):
        with refusals("hdfs-native"), self.client.read(path) as f:
            return f.read_range(offset, min(length, len(f) - offset))

    def mkdir(self, path):
        with refusals("hdfs-native"):
            self.client.mkdirs(path, create_parent=True)

    def move(self, old, new):
        with refusals("hdfs-native"):
            self.client.rename(old, new)

    def remove(self, path):
        with refusals("hdfs-native"):
            if not self.client.delete(path, recursive=True):
                raise Refused(f"hdfs-native: {path!r} is not there")

    def tree(self, path):
        """All below: path -> length, None of a folder."""
        return {x.path: None if x.isdir else x.length for x in self.client.list_status(path, recursive=True)}


@contextlib.contextmanager
def refusals(who):
    try:
        yield
    except (OSError, RuntimeError, ValueError) as e:
        raise Refused(f"{who}: {e}") from e


class FsShell:
    """Hadoop's own commands; Java is started once, and called by py4j, which comes with Spark."""

    def __init__(self, server, work):
        from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

        port, self.process = launch_gateway(
            classpath=f"{server.conf}:{hdfs_server.jars()}/*",
            javaopts=[*hdfs_server.JVM, "-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8"],
            java_path=str(hdfs_server.JAVA),
            die_on_exit=True,
            return_proc=True,
            redirect_stderr=subprocess.DEVNULL,
        )
        self.gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port, auto_convert=True))
        self.java = self.gateway.jvm
        self.file = Path(work) / "of-fsshell"

    def stop(self):
        self.gateway.shutdown()
        self.process.stdin.close()
        self.process.wait()

    def run(self, *args, **settings):
        """What a command prints.  settings: with '_' for '.'."""
        return self.tool(self.java.org.apache.hadoop.fs.FsShell(), args, settings)

    def admin(self, *args):
        self.tool(self.java.org.apache.hadoop.hdfs.tools.DFSAdmin(), args, {})

    def tool(self, tool, args, settings):
        java = self.java
        conf = java.org.apache.hadoop.conf.Configuration()
        for key, value in settings.items():
            conf.set(key.replace("_", "."), str(value))
        argv = self.gateway.new_array(java.java.lang.String, len(args))
        for i, arg in enumerate(args):
            argv[i] = arg
        out, err = java.java.io.ByteArrayOutputStream(), java.java.io.ByteArrayOutputStream()
        java.java.lang.System.setOut(java.java.io.PrintStream(out, True))
        java.java.lang.System.setErr(java.java.io.PrintStream(err, True))
        code = java.org.apache.hadoop.util.ToolRunner.run(conf, tool, argv)
        java.org.apache.hadoop.fs.FileSystem.closeAll()  # those with these settings
        if code:
            raise Refused(f"FsShell {args}: {err.toString()}")
        return bytes(out.toByteArray())

    def put(self, path, data, replace, block):
        self.file.write_bytes(data)
        self.run("-put", *(["-f"] if replace else []), str(self.file), path, dfs_blocksize=block)

    def get(self, path):
        return self.run("-cat", quoted(path))

    def part(self, path, offset, length):
        """-tail, which takes no pattern, is the one part that it reads; the rest is cut from all."""
        data = self.get(path)
        assert self.run("-tail", path) == data[-1024:]
        return data[offset : offset + length]

    def mkdir(self, path):
        self.run("-mkdir", "-p", path)

    def move(self, old, new):
        self.run("-mv", quoted(old), new)

    def remove(self, path):
        self.run("-rm", "-r", "-skipTrash", quoted(path))

    def tree(self, path):
        names = [x.decode() for x in self.run("-find", quoted(path), "-print0").split(b"\0")[:-1]]
        sizes = self.run("-stat", "%F %b", *map(quoted, names)).decode().splitlines()
        found = {}
        for name, line in zip(names, sizes, strict=True):
            kind, size = line.rsplit(" ", 1)
            found[name] = None if kind == "directory" else int(size)
        del found[path]
        return found

    def checksums(self, paths, mode):
        """Of each file, by DataNodes: MD5MD5CRC depends on the blocks, COMPOSITE_CRC on the bytes alone."""
        lines = self.run("-checksum", *map(quoted, paths), dfs_checksum_combine_mode=mode).decode()
        found = {}
        for path in paths:
            assert lines.startswith(f"{path}\t"), (path, lines)
            found[path], lines = lines[len(path) + 1 :].split("\n", 1)
        return found


class OfSluice:
    """By the command, with one of the two protocols."""

    def __init__(self, ws, folder, store):
        self.ws, self.folder, self.store = ws, folder, store
        self.file = ws.cwd / "of-sluice"

    def ref(self, path):
        assert path.startswith(self.folder)
        return f"{self.store}:{quoted(path[len(self.folder) :].lstrip('/'))}"

    def run(self, *args):
        command = ["sluice", *map(str, args)]
        done = subprocess.run(command, cwd=self.ws.cwd, env=self.ws.env, stdin=subprocess.DEVNULL, capture_output=True)
        err = done.stderr.decode()
        if done.returncode:
            assert done.returncode > 0 and err.count("\n") == 1 and "'" in err, (args, done.returncode, err)
            raise Refused(err)
        return done.stdout

    def put(self, path, data, replace, block):
        """Blocks are as long as the NameNode wants them."""
        self.file.write_bytes(data)
        self.run("cp", *(["--overwrite"] if replace else []), self.file, self.ref(path))

    def get(self, path):
        return self.run("cat", self.ref(path))

    def part(self, path, offset, length):
        return self.run("cat", f"--offset={offset}", f"--length={length}", self.ref(path))

    def move(self, old, new):
        self.run("mv", self.ref(old), self.ref(new))

    def remove(self, path):
        self.run("rm", "-R", self.ref(path))

    def tree(self, path):
        """Only files; of folders it says nothing here."""
        rows = self.listing("-R", path)
        return {f"{self.folder}/{x['path']}": x["size"] for x in rows}

    def folder_of(self, path):
        return {x["path"]: x["size"] if x["kind"] == "file" else None for x in self.listing(path)}

    def listing(self, *args):
        *options, path = args
        return [json.loads(line) for line in self.run("ls", *options, "-o", "json", self.ref(path)).splitlines()]

    def size(self, path):
        return json.loads(self.run("stat", "-o", "json", self.ref(path)))["size"]
