# SPDX-License-Identifier: Apache-2.0
"""A real federation of HDFS: two file systems with a NameNode each, and one DataNode that serves both."""

from pathlib import Path

from hdfs_ha import HdfsHa
from hdfs_server import write_conf
from ports import free_ports

NAMES = ["west", "east"]


class HdfsFederation(HdfsHa):
    def __init__(self, folder):
        self.folder = Path(folder)
        self.conf = self.folder / "conf"
        ports = [f"127.0.0.1:{port}" for port in free_ports(7)]
        self.rpc, self.web = ports[:2], ports[2:4]
        self.write(*ports[4:])
        for name in NAMES:
            format = ["-format", "-nonInteractive", "-force", "-clusterid", "CID-of-both"]
            self.run("namenode.NameNode", *self.options(name), *format).wait(timeout=120)
        self.processes = [self.run("namenode.NameNode", *self.options(name)) for name in NAMES]
        self.processes.append(self.run("datanode.DataNode"))
        try:
            for web in self.web:
                self.wait(web, "FSNamesystemState", '"FSState" : "Operational"', '"NumLiveDataNodes" : 1')
        except BaseException:
            self.stop()
            raise

    def write(self, xfer, dn_web, ipc):
        self.make_conf()
        self.default("hdfs://west")
        settings = {
            "dfs.nameservices": ",".join(NAMES),
            "dfs.blocksize": 1 << 20,
            **self.of_one_datanode(xfer, dn_web, ipc),
        }
        for name, rpc, web in zip(NAMES, self.rpc, self.web):
            settings[f"dfs.namenode.rpc-address.{name}"] = rpc
            settings[f"dfs.namenode.http-address.{name}"] = web
        write_conf(self.conf / "hdfs-site.xml", settings)

    def default(self, uri):
        """The file system that Hadoop's configuration means when none is named."""
        write_conf(self.conf / "core-site.xml", {"fs.defaultFS": uri, "hadoop.tmp.dir": self.folder / "tmp"})

    def options(self, name):
        return f"-Ddfs.nameservice.id={name}", f"-Ddfs.namenode.name.dir=file://{self.folder}/{name}"
