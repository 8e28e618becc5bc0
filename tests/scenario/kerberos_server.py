# SPDX-License-Identifier: Apache-2.0
"""A KDC of MIT's (krb5-kdc) with a realm of its own, and an HDFS that asks it who is who; all on free ports, no file of the system is touched."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from hdfs_server import JAVA, JVM, Hdfs, die_with_parent, jars, write_conf
from ports import free_ports

REALM = "SLUICE.TEST"
PATH = f"{os.environ['PATH']}:/usr/sbin"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")


def missing():
    """The programs of the KDC that are not there."""
    return [p for p in PROGRAMS if not shutil.which(p, path=PATH)]


class Kdc:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.conf = self.folder / "krb5.conf"
        self.write_conf(self.conf, REALM, self.port)
        (self.folder / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{self.port}\n kdc_tcp_listen = 127.0.0.1:{self.port}\n"
            f"[realms]\n {REALM} = {{\n  database_name = {self.folder}/principal\n"
            f"  key_stash_file = {self.folder}/stash\n  max_life = 1h\n  max_renewable_life = 2h\n }}\n"
        )
        self.env = {
            **os.environ,
            "PATH": PATH,
            "KRB5_CONFIG": str(self.conf),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{self.folder}/nobody",
        }
        self.run("kdb5_util", "create", "-r", REALM, "-s", "-P", "master")
        with open(self.folder / "kdc.log", "ab") as log:
            self.process = subprocess.Popen(
                ["krb5kdc", "-n", "-P", str(self.folder / "kdc.pid")],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the KDC did not start: {self.folder}/kdc.log"
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("the KDC does not answer")

    @staticmethod
    def write_conf(path, realm, port):
        path.write_text(
            f"[libdefaults]\n default_realm = {realm}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
            " dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n"
            f"[realms]\n {realm} = {{\n  kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = {realm}\n"
        )

    def run(self, *args, **more):
        return subprocess.run(args, env=self.env, check=True, capture_output=True, text=True, **more)

    def admin(self, query):
        self.run("kadmin.local", "-r", REALM, "-q", query)

    def keytab(self, name, *principals):
        """A keytab with fresh keys of new principals."""
        path = self.folder / f"{name}.keytab"
        for p in principals:
            self.admin(f"addprinc -randkey {p}")
        self.admin(f"ktadd -k {path} {' '.join(principals)}")
        return path

    def tickets(self, keytab, principal, cache, *options):
        """A ticket cache, as kinit leaves it."""
        self.run("kinit", "-c", f"FILE:{cache}", *options, "-kt", str(keytab), principal)
        return cache

    def stop(self):
        self.process.kill()
        self.process.wait()


class SecureHdfs(Hdfs):
    """Kerberos for all; the superuser is `nn`, whose keytab is .services."""

    host = "localhost"
    more_core = {}

    def __init__(self, folder, kdc, **settings):
        self.kdc = kdc
        services = [f"{s}/localhost" for s in ("nn", "dn", "HTTP")]
        self.services = kdc.folder / "services.keytab"
        if not self.services.exists():
            kdc.keytab("services", *services)
        http = {"principal": f"HTTP/localhost@{REALM}", "keytab": self.services}
        self.core = {
            "hadoop.security.authentication": "kerberos",
            "hadoop.security.authorization": "true",
            # without these three WebHDFS believes any name
            "hadoop.http.authentication.type": "kerberos",
            "hadoop.http.authentication.kerberos.principal": http["principal"],
            "hadoop.http.authentication.kerberos.keytab": http["keytab"],
            "hadoop.user.group.static.mapping.overrides": "alice=supergroup",
            # gateways, and who may say that he acts for others
            **{f"hadoop.proxyuser.{who}.{what}": "*" for who in ("httpfs", "alice") for what in ("hosts", "groups")},
            **self.more_core,
        }
        inner = "java.security.jgss/sun.security.krb5=ALL-UNNAMED"
        self.jvm = [f"-Djava.security.krb5.conf={kdc.conf}", f"--add-exports={inner}", f"--add-opens={inner}"]
        super().__init__(
            folder,
            **{
                "dfs.namenode.kerberos.principal": f"nn/localhost@{REALM}",
                "dfs.namenode.keytab.file": self.services,
                "dfs.datanode.kerberos.principal": f"dn/localhost@{REALM}",
                "dfs.datanode.keytab.file": self.services,
                "dfs.web.authentication.kerberos.principal": http["principal"],
                "dfs.web.authentication.kerberos.keytab": http["keytab"],
                "dfs.namenode.kerberos.internal.spnego.principal": http["principal"],
                "dfs.block.access.token.enable": "true",
                # a DataNode without privileged ports and without https
                "ignore.secure.ports.for.testing": "true",
                **settings,
            },
        )

    def is_ready(self, datanodes):
        """/jmx wants Kerberos as well: its log says the same."""
        text = (self.folder / "namenode.NameNode.log").read_text(errors="replace")
        return text.count("Processing first storage report") >= datanodes

    def calls(self, name, proto="webhdfs"):
        """Who made this call, in the order of the calls: "alice (auth:TOKEN)"."""
        text = (self.folder / "namenode.NameNode.log").read_text(errors="replace")
        found = re.findall(r"audit: allowed=true\tugi=(.*?)\tip=\S+\tcmd=(\S+)\t.*proto=(\S+)", text)
        return [ugi for ugi, cmd, by in found if cmd == name and by == proto]

    def tool(self, main, *args, env=None, conf=None):
        """A program of Hadoop's, as a user with a ticket would run it; conf: a folder of settings for the cluster's."""
        return subprocess.run(
            [JAVA, *JVM, *self.jvm, "-cp", f"{conf or self.conf}:{jars()}/*", f"org.apache.hadoop.{main}", *map(str, args)],
            env={**self.kdc.env, **(env or {})}, check=True, capture_output=True, text=True, timeout=120,
        ).stdout  # fmt: skip


class HttpsHdfs(SecureHdfs):
    """Its web servers speak https and nothing else."""

    def __init__(self, folder, kdc, **settings):
        names, data = free_ports(2)
        conf = Path(folder) / "conf"
        conf.mkdir(parents=True)
        self.ca = conf / "ca.pem"
        store = {"location": conf / "key.jks", "password": "secret", "type": "jks"}
        keytool = [shutil.which("keytool", path=f"{Path(JAVA).resolve().parent}:{PATH}"), "-keystore", store["location"],
                   "-storepass", "secret", "-alias", "servers"]  # fmt: skip
        subprocess.run(
            [*keytool, "-genkeypair", "-keyalg", "RSA", "-dname", "CN=localhost", "-ext", "san=dns:localhost",
             "-storetype", "JKS", "-keypass", "secret"], check=True, capture_output=True,
        )  # fmt: skip
        self.ca.write_bytes(subprocess.run([*keytool, "-exportcert", "-rfc"], check=True, capture_output=True).stdout)
        for side in ("server", "client"):
            write_conf(
                conf / f"ssl-{side}.xml",
                {
                    **{f"ssl.{side}.keystore.{k}": v for k, v in store.items()},
                    **{f"ssl.{side}.truststore.{k}": v for k, v in store.items()},
                    f"ssl.{side}.keystore.keypassword": "secret",
                },
            )
        super().__init__(
            folder, kdc,
            **{
                "dfs.http.policy": "HTTPS_ONLY",
                "dfs.namenode.https-address": f"localhost:{names}",
                "dfs.datanode.https.address": f"localhost:{data}",
                **settings,
            },
        )  # fmt: skip
        self.web, self.datanode_web = f"localhost:{names}", f"localhost:{data}"
