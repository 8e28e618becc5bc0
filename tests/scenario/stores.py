# SPDX-License-Identifier: Apache-2.0
"""The kinds of store that scenarios run on, each looked at by other means than sluice's own.

A kind gives: `entry(path)`, the datastore entry of config.json for a folder of it; put, get, remove, exists, mkdir,
mtime_ns of an object by its path in the folder; holds: can an object have this name; uri, what as_hdfs has to say of it."""

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def as_bytes(data):
    return data if isinstance(data, bytes) else data.encode()


class LocalStore:
    kind = "local"

    def __init__(self, folder):
        self.folder = Path(folder)

    def holds(self, name):
        return True

    def entry(self):
        return {"type": "local", "path": str(self.folder)}

    def put(self, path, data):
        full = self.folder / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(as_bytes(data))

    def put_all(self, objects):
        for path, data in objects.items():
            self.put(path, data)

    def get(self, path):
        return (self.folder / path).read_bytes()

    def remove(self, path):
        full = self.folder / path
        if full.is_dir():
            shutil.rmtree(full)
        else:
            full.unlink()

    def exists(self, path):
        return (self.folder / path).exists()

    def mkdir(self, path):
        (self.folder / path).mkdir(parents=True)

    def mtime_ns(self, path):
        return (self.folder / path).stat().st_mtime_ns

    def uri(self, path):
        return f"file://{self.folder}/{path}"


class HdfsStore:
    """Through WebHDFS by Python's own HTTP client."""

    kind = "hdfs"

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder  # absolute in HDFS

    def holds(self, name):
        return True

    def at(self, path):
        """The same store, a folder deeper."""
        return HdfsStore(self.server, f"{self.folder}/{path}")

    def entry(self):
        return {
            "type": "hdfs",
            "namenode": self.server.web,
            "rpc_address": self.server.rpc,
            "path": self.folder,
            "user": self.server.user,
        }

    def ask(self, method, path, op, url=None, data=None, **params):
        if url is None:
            full = urllib.parse.quote(f"{self.folder}/{path}".rstrip("/"))
            query = urllib.parse.urlencode({"op": op, "user.name": self.server.user, **params})
            url = f"http://{self.server.web}/webhdfs/v1{full}?{query}"
        request = urllib.request.Request(url, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=200) as answer:
            return answer.read()

    def put(self, path, data):
        where = json.loads(self.ask("PUT", path, "CREATE", overwrite="true", noredirect="true"))["Location"]
        where = urllib.parse.quote(where, safe="%/:?&=,")  # it comes with names as they are
        self.ask("PUT", path, None, url=where, data=as_bytes(data))

    def put_all(self, objects):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(self.put, objects.keys(), objects.values()))

    def get(self, path):
        return self.ask("GET", path, "OPEN")

    def remove(self, path):
        assert json.loads(self.ask("DELETE", path, "DELETE", recursive="true"))["boolean"]

    def status(self, path):
        return json.loads(self.ask("GET", path, "GETFILESTATUS"))["FileStatus"]

    def exists(self, path):
        try:
            self.status(path)
        except urllib.error.HTTPError as e:
            if e.code != 404:
                raise
            return False
        return True

    def mkdir(self, path):
        self.ask("PUT", path, "MKDIRS")

    def mtime_ns(self, path):
        return self.status(path)["modificationTime"] * 1_000_000

    def uri(self, path):
        return f"hdfs://{self.server.rpc}{self.folder}/{path}"


class BlobStore:
    """A container each, by the Azure SDK for Python."""

    kind = "blob"

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.container = server.client.get_container_client(name)

    def holds(self, name):
        """Azurite makes a slash of a backslash, and lists control bytes as no XML allows it."""
        return "\\" not in name and "\x1b" not in name

    def at(self, path):
        there = BlobStore(self.server, f"{self.name}-{path}")
        there.container.create_container()
        return there

    def entry(self):
        return {
            **self.server.more,
            "type": "azure_blob",
            "account_name": self.server.client.account_name,
            "container_name": self.name,
            "endpoint": self.server.url,
            "account_key": f"file:{self.server.key_file}",
        }

    def put(self, path, data):
        self.container.upload_blob(path, as_bytes(data), overwrite=True)

    def put_all(self, objects):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(self.put, objects.keys(), objects.values()))

    def get(self, path):
        return self.container.download_blob(path).readall()

    def remove(self, path):
        below = [b.name for b in self.container.list_blobs(name_starts_with=f"{path}/")]
        for name in reversed(below):  # a folder of a hierarchical namespace has to be empty
            self.container.delete_blob(name)
        if not below or self.container.get_blob_client(path).exists():
            self.container.delete_blob(path)

    def exists(self, path):
        below = self.container.list_blobs(name_starts_with=f"{path}/", results_per_page=1)
        return self.container.get_blob_client(path).exists() or any(True for _ in below)

    def mkdir(self, path):
        if path:
            self.container.upload_blob(path, b"", metadata={"hdi_isfolder": "true"})

    def mtime_ns(self, path):
        when = self.container.get_blob_client(path).get_blob_properties().last_modified
        return int(when.timestamp()) * 1_000_000_000

    def uri(self, path):
        account = self.server.client.account_name
        return f"abfs://{self.name}@{account}.dfs.core.windows.net/{path}"
