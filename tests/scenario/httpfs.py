# SPDX-License-Identifier: Apache-2.0
"""A real HttpFS, the gateway that speaks WebHDFS and reads and writes HDFS itself, from the jar in $SLUICE_HTTPFS_JARS."""

import contextlib
import getpass
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from hdfs_server import JAVA, JVM, LOG, die_with_parent, jars, write_conf
from ports import free_ports


def jar():
    """The folder of the jar, or None."""
    folder = os.environ.get("SLUICE_HTTPFS_JARS")
    return folder if folder and jars() and Path(folder).is_dir() else None


class HttpFs:
    """Before an HDFS that takes everybody at their word."""

    host = "127.0.0.1"
    ready = {200}  # what it says when it is

    def __init__(self, folder, hdfs, jvm=(), **settings):
        """settings: more of httpfs-site.xml, with '_' for '.'."""
        self.folder = Path(folder)
        self.web = f"{self.host}:{free_ports(1)[0]}"
        conf = self.folder / "conf"
        for sub in ("conf", "log", "temp"):
            (self.folder / sub).mkdir()
        (conf / "httpfs-log4j.properties").write_text(LOG)
        (conf / "httpfs-signature.secret").write_text("of these tests")
        host, port = self.web.split(":")
        write_conf(
            conf / "httpfs-site.xml",
            {
                "httpfs.http.hostname": host,
                "httpfs.http.port": port,
                "httpfs.hadoop.config.dir": hdfs.conf,
                **{f"httpfs.proxyuser.{getpass.getuser()}.{what}": "*" for what in ("hosts", "groups")},
                **{k.replace("_", "."): v for k, v in settings.items()},
            },
        )
        places = {"home": self.folder, "config": conf, "log": self.folder / "log", "temp": self.folder / "temp"}
        with open(self.folder / "out.log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    JAVA, *JVM, *jvm, *(f"-Dhttpfs.{name}.dir={path}" for name, path in places.items()),
                    "-cp", f"{conf}:{hdfs.conf}:{jar()}/*:{jars()}/*",
                    "org.apache.hadoop.fs.http.server.HttpFSServerWebServer",
                ],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def wait(self):
        url = f"http://{self.web}/webhdfs/v1/?op=GETFILESTATUS&user.name={getpass.getuser()}"
        end = time.monotonic() + 120
        while time.monotonic() < end:
            assert self.process.poll() is None, f"HttpFS did not start: {self.folder}/out.log"
            with contextlib.suppress(OSError):
                try:
                    status = urllib.request.urlopen(url, timeout=30).status
                except urllib.error.HTTPError as e:
                    status = e.code
                if status in self.ready:
                    return
            time.sleep(0.1)
        raise AssertionError(f"HttpFS is not ready after 120 s: {self.folder}/out.log")

    def stop(self):
        self.process.kill()
        self.process.wait()


class SecureHttpFs(HttpFs):
    """Before one with Kerberos (kerberos_server.py): it signs in as httpfs and speaks for who signs in to it."""

    host = "localhost"
    ready = {401}

    def __init__(self, folder, hdfs):
        kdc = hdfs.kdc
        keytab = kdc.keytab("httpfs", "httpfs/localhost")
        http = {"principal": "HTTP/localhost", "keytab": hdfs.services}
        super().__init__(
            folder, hdfs, hdfs.jvm,
            **{
                "httpfs.hadoop.authentication.type": "kerberos",
                "httpfs.hadoop.authentication.kerberos.principal": "httpfs/localhost",
                "httpfs.hadoop.authentication.kerberos.keytab": keytab,
                "hadoop.http.authentication.type": "kerberos",
                **{f"hadoop.http.authentication.kerberos.{k}": v for k, v in http.items()},
                "httpfs.authentication.type": "kerberos",
                **{f"httpfs.authentication.kerberos.{k}": v for k, v in http.items()},
                **{f"httpfs.proxyuser.alice.{what}": "*" for what in ("hosts", "groups")},
            },
        )  # fmt: skip
