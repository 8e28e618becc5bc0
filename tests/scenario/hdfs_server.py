# SPDX-License-Identifier: Apache-2.0
"""A real HDFS of one NameNode and one or more DataNodes, from the jars in $SLUICE_HADOOP_JARS, on free ports of 127.0.0.1."""

import contextlib
import ctypes
import getpass
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from ports import free_ports

JAVA = Path(os.environ["JAVA_HOME"]) / "bin/java" if "JAVA_HOME" in os.environ else shutil.which("java")
JVM = [
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx256m", "-Djava.net.preferIPv4Stack=true",
    "-Djava.io.tmpdir=.",
    # without it every request to WebHDFS is answered with 500 on Java 17
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
]  # fmt: skip
SERVER = "org.apache.hadoop.hdfs.server."
LOG = """log4j.rootLogger=INFO,A
log4j.appender.A=org.apache.log4j.ConsoleAppender
log4j.appender.A.target=System.err
log4j.appender.A.layout=org.apache.log4j.PatternLayout
log4j.appender.A.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""


def jars():
    """The folder of the jars, or None."""
    folder = os.environ.get("SLUICE_HADOOP_JARS")
    return folder if folder and JAVA and Path(folder).is_dir() else None


def need():
    import pytest  # the benchmarks use this file as well

    if not jars():
        pytest.skip("no HDFS: SLUICE_HADOOP_JARS or Java is missing (tools/dev deps scenario)")


def while_it_runs(make, *args, **settings):
    """What a fixture yields from."""
    need()
    server = make(*args, **settings)
    yield server
    server.stop()


def write_conf(path, settings):
    rows = "".join(f"<property><name>{k}</name><value>{v}</value></property>" for k, v in settings.items())
    path.write_text(f"<configuration>{rows}</configuration>")


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Hdfs:
    host = "127.0.0.1"  # the name of the servers
    # more of core-site.xml: who runs it may speak for others, as a gateway does
    core = {f"hadoop.proxyuser.{getpass.getuser()}.{what}": "*" for what in ("hosts", "groups")}
    jvm = []

    def __init__(self, folder, datanodes=1, **settings):
        """settings: of hdfs-site.xml, with '_' for '.'."""
        self.folder = Path(folder)
        rpc, web, *dn_ports = free_ports(2 + 3 * datanodes)
        xfer, dn_web, ipc = dn_ports[:3]
        self.rpc, self.web = f"{self.host}:{rpc}", f"{self.host}:{web}"
        self.datanode_web = f"{self.host}:{dn_web}"
        self.user = getpass.getuser()
        self.conf = self.folder / "conf"
        for sub in ("hdfs", "datanode"):  # the jar has no pages, and the servers want them
            (self.conf / "webapps" / sub).mkdir(parents=True)
        (self.conf / "log4j.properties").write_text(LOG)
        write_conf(
            self.conf / "core-site.xml",
            {"fs.defaultFS": f"hdfs://{self.rpc}", "hadoop.tmp.dir": self.folder / "tmp", **self.core},
        )
        write_conf(
            self.conf / "hdfs-site.xml",
            {
                "dfs.replication": 1,
                "dfs.namenode.name.dir": f"file://{self.folder}/name",
                "dfs.datanode.data.dir": f"file://{self.folder}/data",
                "dfs.namenode.rpc-address": self.rpc,
                "dfs.namenode.http-address": self.web,
                "dfs.datanode.address": f"127.0.0.1:{xfer}",
                "dfs.datanode.http.address": self.datanode_web,
                "dfs.datanode.ipc.address": f"127.0.0.1:{ipc}",
                "dfs.datanode.hostname": self.host,  # else redirects name the machine
                "dfs.namenode.datanode.registration.ip-hostname-check": "false",
                "dfs.namenode.fs-limits.min-block-size": 4096,
                "dfs.namenode.safemode.extension": 0,
                "dfs.heartbeat.interval": 1,
                # a killed DataNode is known to be dead after 70 s; one that a busy machine holds up for 14 s is not dead
                "dfs.namenode.heartbeat.recheck-interval": 30_000,
                # all are on one machine anyway
                "dfs.namenode.redundancy.considerLoad": "false",
                **{k.replace("_", "."): v for k, v in settings.items()},
            },
        )
        self.processes = []
        self.run("namenode.NameNode", "-format", "-nonInteractive", "-force").wait(timeout=240)
        self.processes = [self.run("namenode.NameNode"), self.run("datanode.DataNode")]
        self.options = [[]]  # of each DataNode
        self.datanode_webs = [self.datanode_web]
        for i in range(1, datanodes):
            xfer, dn_web, ipc = dn_ports[3 * i : 3 * i + 3]
            self.datanode_webs.append(f"127.0.0.1:{dn_web}")
            self.options.append(
                [
                    f"-Ddfs.datanode.address=127.0.0.1:{xfer}",
                    f"-Ddfs.datanode.http.address=127.0.0.1:{dn_web}",
                    f"-Ddfs.datanode.ipc.address=127.0.0.1:{ipc}",
                    f"-Ddfs.datanode.data.dir=file://{self.folder}/data{i}",
                ]
            )
            self.processes.append(self.run("datanode.DataNode", *self.options[i]))
        try:
            self.wait(datanodes)
        except BaseException:
            self.stop()
            raise

    def run(self, main, *args):
        with open(self.folder / f"{main}.log", "ab") as log:
            return subprocess.Popen(
                [JAVA, *JVM, *self.jvm, "-cp", f"{self.conf}:{jars()}/*", SERVER + main, *args],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip

    def wait(self, datanodes):
        """Until it is out of safe mode with its DataNodes."""
        end = time.monotonic() + 240
        while time.monotonic() < end:
            for p in self.processes:
                assert p.poll() is None, f"HDFS did not start: {self.folder}/*.log"
            if self.is_ready(datanodes):
                return
            time.sleep(0.1)
        raise AssertionError(f"HDFS is not ready after 240 s: {self.folder}/*.log")

    def is_ready(self, datanodes):
        url = f"http://{self.web}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
        with contextlib.suppress(OSError):
            text = urllib.request.urlopen(url, timeout=60).read().decode()
            return '"FSState" : "Operational"' in text and f'"NumLiveDataNodes" : {datanodes}' in text
        return False

    def datanode(self, i):
        """Its process."""
        return self.processes[1 + i]

    def kill_datanode(self, i):
        self.datanode(i).kill()
        self.datanode(i).wait()

    def restart_datanodes(self):
        """Those that are gone, until they serve."""
        gone = [i for i in range(len(self.options)) if self.datanode(i).poll() is not None]
        for i in gone:
            self.processes[1 + i] = self.run("datanode.DataNode", *self.options[i])
        end = time.monotonic() + 240
        while not all(self.is_serving(i) for i in gone):
            assert time.monotonic() < end, f"a DataNode does not come back: {self.folder}/*.log"
            time.sleep(0.1)

    def is_serving(self, i):
        url = f"http://{self.datanode_webs[i]}/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo"
        with contextlib.suppress(OSError):
            return r"ActorState\":\"RUNNING" in urllib.request.urlopen(url, timeout=60).read().decode()
        return False

    def replicas(self, datanode):
        """The files of the blocks that a DataNode has."""
        folder = self.folder / (f"data{datanode}" if datanode else "data")
        return [p for p in folder.rglob("blk_*") if not p.name.endswith(".meta")]

    def fsck(self, path):
        """What it says of a file or folder."""
        url = f"http://{self.web}/fsck?ugi={self.user}&path={path}&files=1&blocks=1&locations=1&replicadetails=1"
        return urllib.request.urlopen(url, timeout=60).read().decode()

    def last_replica(self, datanode, path):
        """The file of the last block of a file."""
        name = re.findall(r":(blk_\d+)_\d+ len=", self.fsck(path))[-1]
        (found,) = [p for p in self.replicas(datanode) if p.name == name]
        return found

    def stop(self):
        for p in self.processes:
            p.kill()
        for p in self.processes:
            p.wait()
