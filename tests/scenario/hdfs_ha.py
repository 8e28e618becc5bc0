# SPDX-License-Identifier: Apache-2.0
"""A real HDFS with two NameNodes, of which one is active, and a DataNode; the edits are shared by a folder."""

import contextlib
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from hdfs_server import JAVA, JVM, LOG, SERVER, die_with_parent, jars, write_conf
from ports import free_ports

NAME = "pair"  # of the file system
ADMIN = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
# A busy machine is no reason to take the old one for dead, whose fencing here is only said.
PATIENT = {
    f"ha.failover-controller.{what}.rpc-timeout.ms": 120_000 for what in ("graceful-fence", "new-active", "cli-check")
}
PROVIDER = SERVER + "namenode.ha.ConfiguredFailoverProxyProvider"


class HdfsHa:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.conf = self.folder / "conf"
        ports = [f"127.0.0.1:{port}" for port in free_ports(7)]
        self.rpc, self.web = ports[:2], ports[2:4]
        self.write(*ports[4:])
        self.nodes = ["nn1", "nn2"]
        # The second one begins as a copy of the first, which is what -bootstrapStandby makes.
        self.run("namenode.NameNode", *self.options("nn1"), "-format", "-nonInteractive", "-force").wait(timeout=240)
        shutil.copytree(self.folder / "nn1", self.folder / "nn2")
        self.processes = [self.run("namenode.NameNode", *self.options(node)) for node in self.nodes]
        self.processes.append(self.run("datanode.DataNode"))
        try:
            for web in self.web:
                self.wait(web, "NameNodeStatus", '"State"')
            self.admin("-transitionToActive", "nn1")
            self.active = 0
            self.wait(self.web[0], "FSNamesystemState", '"FSState" : "Operational"', '"NumLiveDataNodes" : 1')
        except BaseException:
            self.stop()
            raise

    def make_conf(self):
        for sub in ("hdfs", "datanode"):
            (self.conf / "webapps" / sub).mkdir(parents=True)
        (self.conf / "log4j.properties").write_text(LOG)

    def of_one_datanode(self, xfer, dn_web, ipc):
        return {
            "dfs.replication": 1,
            "dfs.datanode.data.dir": f"file://{self.folder}/data",
            "dfs.datanode.address": xfer,
            "dfs.datanode.http.address": dn_web,
            "dfs.datanode.ipc.address": ipc,
            "dfs.datanode.hostname": "127.0.0.1",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.heartbeat.interval": 1,
            "dfs.namenode.safemode.extension": 0,
        }

    def write(self, xfer, dn_web, ipc):
        self.make_conf()
        write_conf(
            self.conf / "core-site.xml",
            {"fs.defaultFS": f"hdfs://{NAME}", "hadoop.tmp.dir": self.folder / "tmp", **PATIENT},
        )
        settings = {
            "dfs.nameservices": NAME,
            f"dfs.ha.namenodes.{NAME}": "nn1,nn2",
            f"dfs.client.failover.proxy.provider.{NAME}": PROVIDER,
            "dfs.namenode.shared.edits.dir": f"file://{self.folder}/shared",
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.ha.tail-edits.period": 1,
            "ipc.client.connect.max.retries": 1,
            "dfs.namenode.fs-limits.min-block-size": 4096,
            "dfs.blocksize": 65536,
            **self.of_one_datanode(xfer, dn_web, ipc),
        }
        for i, (rpc, web) in enumerate(zip(self.rpc, self.web), 1):
            settings[f"dfs.namenode.rpc-address.{NAME}.nn{i}"] = rpc
            settings[f"dfs.namenode.http-address.{NAME}.nn{i}"] = web
        write_conf(self.conf / "hdfs-site.xml", settings)
        (self.folder / "shared").mkdir()

    def options(self, node):
        return f"-Ddfs.ha.namenode.id={node}", f"-Ddfs.namenode.name.dir=file://{self.folder}/{node}"

    def java(self, *args):
        return [JAVA, *JVM, "-cp", f"{self.conf}:{jars()}/*", *args]

    def run(self, main, *args):
        with open(self.folder / f"{main}.log", "ab") as log:
            return subprocess.Popen(
                self.java(SERVER + main, *args),
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip

    def admin(self, *args):
        done = subprocess.run(self.java(ADMIN, *args), capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr

    def wait(self, web, name, *texts):
        url = f"http://{web}/jmx?qry=Hadoop:service=NameNode,name={name}"
        end = time.monotonic() + 240
        while time.monotonic() < end:
            for p in self.processes:
                assert p.poll() is None, f"HDFS did not start: {self.folder}/*.log"
            with contextlib.suppress(OSError):
                answer = urllib.request.urlopen(url, timeout=60).read().decode()
                if all(text in answer for text in texts):
                    return
            time.sleep(0.1)
        raise AssertionError(f"HDFS is not ready after 240 s: {self.folder}/*.log")

    def fail_over(self):
        """As an administrator does it."""
        other = 1 - self.active
        self.admin("-failover", self.nodes[self.active], self.nodes[other])
        self.active = other

    def kill_active(self):
        """From now on none is active."""
        self.processes[self.active].kill()
        self.processes[self.active].wait()

    def stop_active(self):
        """It stands still, as in a long pause of Java's memory; the kernel goes on taking what is sent to it."""
        self.processes[self.active].send_signal(signal.SIGSTOP)

    def restart_other(self):
        """The one that is not active is started anew, as a standby."""
        other = 1 - self.active
        self.processes[other].kill()
        self.processes[other].wait()
        self.processes[other] = self.run("namenode.NameNode", *self.options(self.nodes[other]))
        self.wait(self.web[other], "NameNodeStatus", '"State" : "standby"')

    def activate_other(self):
        other = 1 - self.active
        self.admin("-transitionToActive", "--forceactive", self.nodes[other])
        self.active = other

    def stop(self):
        for p in self.processes:
            p.kill()
        for p in self.processes:
            p.wait()
