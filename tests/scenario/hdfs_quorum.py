# SPDX-License-Identifier: Apache-2.0
"""A real HDFS with three NameNodes (active, standby, observer) whose edits a JournalNode keeps, and a DataNode; with a KDC: one that wants
Kerberos."""

import contextlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from hdfs_ha import PATIENT
from hdfs_server import JAVA, JVM, LOG, SERVER, die_with_parent, jars, write_conf
from kerberos_server import REALM
from ports import free_ports

NAME = "trio"  # of the file system
NODES = "nn1", "nn2", "nn3"
OBSERVED = SERVER + "namenode.ha.ObserverReadProxyProvider"
CONFIGURED = SERVER + "namenode.ha.ConfiguredFailoverProxyProvider"


class Quorum:
    def __init__(self, folder, kdc=None, **settings):
        """settings: of hdfs-site.xml, with '_' for '.'."""
        self.folder = Path(folder)
        self.kdc = kdc
        self.host = "localhost" if kdc else "127.0.0.1"
        self.conf = self.folder / "conf"
        self.env = dict(os.environ)
        self.jvm = []
        self.rpc, self.web, self.processes = [], [], []
        if kdc:
            self.secure()
        self.write(settings)
        self.run("qjournal.server.JournalNode")
        self.await_log("qjournal.server.JournalNode", "IPC Server listener")
        self.run("namenode.NameNode", "nn1", "-format", "-nonInteractive", "-force").wait(timeout=120)
        self.processes.pop()
        for other in NODES[1:]:
            shutil.copytree(self.folder / "nn1", self.folder / other)
        try:
            self.nodes = [self.run("namenode.NameNode", node) for node in NODES]
            self.run("datanode.DataNode")
            for node in NODES:
                self.await_log(f"namenode.NameNode-{node}", "Starting services required for standby")
            self.active = 0
            self.admin("-transitionToActive", NODES[0])
            self.admin("-transitionToObserver", NODES[2])
            for node in NODES:
                self.await_log(f"namenode.NameNode-{node}", "Processing first storage report")
        except BaseException:
            self.stop()
            raise

    def secure(self):
        """As in kerberos_server.SecureHdfs."""
        self.services = self.kdc.folder / "services.keytab"
        if not self.services.exists():
            self.kdc.keytab("services", *[f"{s}/localhost" for s in ("nn", "dn", "HTTP")])
        cache = self.kdc.tickets(self.services, "nn/localhost", self.kdc.folder / "admin")
        self.env = {**self.kdc.env, "KRB5CCNAME": f"FILE:{cache}"}
        inner = "java.security.jgss/sun.security.krb5=ALL-UNNAMED"
        self.jvm = [f"-Djava.security.krb5.conf={self.kdc.conf}", f"--add-exports={inner}", f"--add-opens={inner}"]

    def write(self, settings):
        for sub in ("hdfs", "datanode", "journal"):
            (self.conf / "webapps" / sub).mkdir(parents=True)
        (self.conf / "log4j.properties").write_text(LOG)
        ports = free_ports(11)
        core = {"fs.defaultFS": f"hdfs://{NAME}", "hadoop.tmp.dir": self.folder / "tmp", **PATIENT}
        site = {
            "dfs.nameservices": NAME,
            f"dfs.ha.namenodes.{NAME}": ",".join(NODES),
            f"dfs.client.failover.proxy.provider.{NAME}": OBSERVED,
            "dfs.journalnode.edits.dir": self.folder / "journal",
            "dfs.journalnode.rpc-address": f"{self.host}:{ports[0]}",
            "dfs.journalnode.http-address": f"{self.host}:{ports[1]}",
            "dfs.namenode.shared.edits.dir": f"qjournal://{self.host}:{ports[0]}/{NAME}",
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            # what it takes to read from an observer
            "dfs.namenode.state.context.enabled": "true",
            "dfs.ha.tail-edits.in-progress": "true",
            "dfs.ha.tail-edits.period": "100ms",
            "dfs.ha.tail-edits.period.backoff-max": "100ms",
            "dfs.journalnode.edit-cache-size.bytes": 1048576,
            "dfs.replication": 1,
            "dfs.blocksize": 65536,
            "dfs.namenode.fs-limits.min-block-size": 4096,
            "dfs.namenode.safemode.extension": 0,
            "dfs.heartbeat.interval": 1,
            "dfs.datanode.data.dir": f"file://{self.folder}/data",
            "dfs.datanode.address": f"127.0.0.1:{ports[2]}",
            "dfs.datanode.http.address": f"127.0.0.1:{ports[3]}",
            "dfs.datanode.ipc.address": f"127.0.0.1:{ports[4]}",
            "dfs.datanode.hostname": self.host,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            # who asks is in the log
            "dfs.namenode.audit.log.debug.cmdlist": "",
        }
        for node, rpc, web in zip(NODES, ports[5::2], ports[6::2]):
            self.rpc.append(f"{self.host}:{rpc}")
            self.web.append(f"{self.host}:{web}")
            site[f"dfs.namenode.rpc-address.{NAME}.{node}"] = self.rpc[-1]
            site[f"dfs.namenode.http-address.{NAME}.{node}"] = self.web[-1]
        if self.kdc:
            self.write_secure(core, site)
        write_conf(self.conf / "core-site.xml", core)
        write_conf(self.conf / "hdfs-site.xml", {**site, **{k.replace("_", "."): v for k, v in settings.items()}})

    def write_secure(self, core, site):
        spnego = f"HTTP/localhost@{REALM}"
        core |= {
            "hadoop.security.authentication": "kerberos",
            "hadoop.security.authorization": "true",
            "hadoop.http.authentication.type": "kerberos",
            "hadoop.http.authentication.kerberos.principal": spnego,
            "hadoop.http.authentication.kerberos.keytab": self.services,
            "hadoop.user.group.static.mapping.overrides": "alice=supergroup",
        }
        for who, principal in (("namenode", "nn"), ("journalnode", "nn"), ("datanode", "dn")):
            site[f"dfs.{who}.kerberos.principal"] = f"{principal}/localhost@{REALM}"
            site[f"dfs.{who}.keytab.file"] = self.services
            site[f"dfs.{who}.kerberos.internal.spnego.principal"] = spnego
        site |= {
            "dfs.web.authentication.kerberos.principal": spnego,
            "dfs.web.authentication.kerberos.keytab": self.services,
            "dfs.block.access.token.enable": "true",
            "ignore.secure.ports.for.testing": "true",
        }

    def java(self, *args):
        return [JAVA, *JVM, *self.jvm, "-cp", f"{self.conf}:{jars()}/*", *map(str, args)]

    def run(self, main, node=None, *args):
        own = [f"-Ddfs.ha.namenode.id={node}", f"-Ddfs.namenode.name.dir=file://{self.folder}/{node}"] if node else []
        with open(self.folder / (f"{main}-{node}.log" if node else f"{main}.log"), "ab") as log:
            p = subprocess.Popen(
                self.java(SERVER + main if "qjournal" not in main else f"org.apache.hadoop.hdfs.{main}", *own, *args),
                cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        self.processes.append(p)
        return p

    def tool(self, main, *args, env=None):
        """A program of Hadoop's."""
        done = subprocess.run(
            self.java(f"org.apache.hadoop.{main}", *args),
            env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def admin(self, *args):
        return self.tool("hdfs.tools.DFSHAAdmin", *args)

    def log(self, name):
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"{name}.log").read_text(errors="replace")
        return ""

    def await_log(self, name, text):
        end = time.monotonic() + 120
        while text not in self.log(name):
            for p in self.processes:
                assert p.poll() is None, f"HDFS did not start: {self.folder}/*.log"
            assert time.monotonic() < end, f"{name} is not ready after 120 s: {self.folder}/*.log"
            time.sleep(0.1)

    def calls(self, i, name):
        """Who made this call at a NameNode: "alice (auth:TOKEN)"."""
        return re.findall(
            rf"audit: allowed=true\tugi=(.*?)\tip=\S+\tcmd={name}\t", self.log(f"namenode.NameNode-{NODES[i]}")
        )

    def fail_over(self):
        other = 1 - self.active
        self.admin("-failover", NODES[self.active], NODES[other])
        self.active = other

    def stop(self):
        for p in self.processes:
            p.kill()
        for p in self.processes:
            p.wait()
