# SPDX-License-Identifier: Apache-2.0
"""Clusters of one machine: a real Spark standalone master with one worker (pyspark's jars), and a real Livy server (the
jars in $SLUICE_LIVY_JARS), whose batches that Spark runs."""

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from hdfs_server import JVM, die_with_parent
from jobs import let_spark_wait
from ports import free_port

LOG4J1 = """log4j.rootCategory=WARN, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%p %c{1}: %m%n
"""
QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m")
PATIENCE = 240  # so many JVMs may start at once that one takes minutes


def java():
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else shutil.which("java")


def spark_home():
    """pyspark, which is a whole Spark; or None."""
    spec = importlib.util.find_spec("pyspark")
    return Path(spec.origin).parent if spec and java() else None


def livy_jars():
    folder = os.environ.get("SLUICE_LIVY_JARS")
    return folder if folder and spark_home() and Path(folder).is_dir() else None


def scala():
    """Of pyspark's jars: what starts executors does not find it out by itself."""
    (core,) = (spark_home() / "jars").glob("spark-core_*.jar")
    return core.name.removeprefix("spark-core_").partition("-")[0]


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return json.load(answer)


class Server:
    """Processes of a server, its folder, and how to wait until it answers."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.processes = []

    def start(self, name, *args, env=None):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [java(), *QUICK, *args], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", **(env or {})}, preexec_fn=die_with_parent,
                )
            )  # fmt: skip

    def wait(self, what, ready):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError, KeyError, http.client.HTTPException):
                if ready():
                    return
            if any(p.poll() is not None for p in self.processes):
                break
            time.sleep(0.05)
        self.stop()
        logs = "\n".join(p.read_text()[-2000:] for p in self.folder.glob("*.log"))
        raise AssertionError(f"{what} never came up:\n{logs}")

    def stop(self):
        for p in self.processes:
            p.kill()
            p.wait()


class Standalone(Server):
    """Spark's own cluster: a master and a worker with 2 cores and 2 GB."""

    def __init__(self, folder):
        super().__init__(folder)
        port, web, worker_web = free_port(), free_port(), free_port()
        self.master = f"spark://127.0.0.1:{port}"
        self.web = f"http://127.0.0.1:{web}/json/"
        jars = f"{spark_home()}/jars/*"
        opens = [a for a in JVM if a.startswith("--add-opens")]
        opens += ["--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED"]
        self.start(
            "master", *opens, "-cp", jars, "org.apache.spark.deploy.master.Master",
            "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(web),
        )  # fmt: skip
        self.wait("the master", lambda: get(self.web)["status"] == "ALIVE")
        self.start(
            "worker", *opens, "-cp", jars, "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1",
            "--cores", "2", "--memory", "2g", "--webui-port", str(worker_web), "--work-dir", str(self.folder / "work"),
            self.master, env={"SPARK_HOME": str(spark_home()), "SPARK_SCALA_VERSION": scala()},
        )  # fmt: skip
        self.wait("the worker", lambda: get(self.web)["aliveworkers"] == 1)

    def apps(self):
        """The programs it ran: name and cores of each."""
        state = get(self.web)
        return {a["name"]: a["cores"] for a in state["activeapps"] + state["completedapps"]}


class Livy(Server):
    """Apache Livy, whose batches run on local[1] and may read files below `readable`."""

    def __init__(self, folder, readable):
        super().__init__(folder)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        (self.folder / "conf").mkdir()
        (self.folder / "logs").mkdir()
        (self.folder / "conf/log4j.properties").write_text(LOG4J1)
        (self.folder / "conf/livy.conf").write_text(
            f"livy.server.host = 127.0.0.1\nlivy.server.port = {port}\nlivy.spark.master = local[1]\n"
            f"livy.file.local-dir-whitelist = {readable}\n"
        )
        env = {
            "LIVY_HOME": str(self.folder),
            "LIVY_CONF_DIR": str(self.folder / "conf"),
            "SPARK_HOME": str(spark_home()),
            "PYSPARK_PYTHON": sys.executable,
            **let_spark_wait(self.folder),
        }
        opens = [a for a in JVM if a.startswith("--add-opens")]
        jars = f"{self.folder}/conf:{livy_jars()}/*"
        self.start("livy", *opens, "-cp", jars, "org.apache.livy.server.LivyServer", env=env)
        self.wait("Livy", lambda: "sessions" in get(f"{self.url}/batches"))

    def batches(self):
        return get(f"{self.url}/batches")["sessions"]
