# SPDX-License-Identifier: Apache-2.0
"""A real Apache Knox before an HDFS, from the jars in $SLUICE_KNOX_JARS: https, with a topology for users with passwords, one for
bearer tokens, and one whose filter against cross-site requests wants a header of another name."""

import base64
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hdfs_server import JAVA, die_with_parent, jars, write_conf
from ports import free_ports

JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "--add-opens=java.base/java.lang=ALL-UNNAMED"]
LOG = """<Configuration><Appenders><Console name="c" target="SYSTEM_ERR"><PatternLayout pattern="%d %p %c{1}: %m%n"/>
</Console></Appenders><Loggers><Root level="info"><AppenderRef ref="c"/></Root></Loggers></Configuration>"""
PASSWORD = "guest's secret"


def folder_of_jars():
    """The folder of the jars, or None."""
    folder = os.environ.get("SLUICE_KNOX_JARS")
    return folder if folder and jars() and Path(folder).is_dir() else None


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def provider(role, name, **params):
    rows = "".join(f"<param><name>{k.replace('__', '.')}</name><value>{v}</value></param>" for k, v in params.items())
    return f"<provider><role>{role}</role><name>{name}</name><enabled>true</enabled>{rows}</provider>"


class Knox:
    def __init__(self, folder, hdfs):
        self.folder = Path(folder)
        self.hdfs = hdfs
        (port,) = free_ports(1)
        self.web = f"localhost:{port}"
        self.ca = self.folder / "ca.pem"
        for sub in (
            *(f"conf/{x}" for x in ("topologies", "descriptors", "shared-providers", "META-INF/services")),
            "data/security/keystores",
            "logs",
        ):
            (self.folder / sub).mkdir(parents=True)
        self.write_conf(port)
        self.java("org.apache.knox.gateway.util.KnoxCLI", "create-master", "--master", "secret").wait(timeout=120)
        self.process = self.java("org.apache.knox.gateway.GatewayServer")
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def write_conf(self, port):
        conf = self.folder / "conf"
        with zipfile.ZipFile(next(Path(folder_of_jars()).glob("gateway-service-definitions-*.jar"))) as jar:
            jar.extractall(self.folder / "data", [n for n in jar.namelist() if n.startswith("services/webhdfs/")])
        # what it lacks outside of its own distribution
        (conf / "META-INF/services/org.apache.knox.gateway.services.GatewayServices").write_text(
            "org.apache.knox.gateway.services.DefaultGatewayServices\n"
        )
        (conf / "log4j2.xml").write_text(LOG)
        (conf / "users.properties").write_text(f"user.guest={PASSWORD}\n")
        write_conf(
            conf / "gateway-site.xml",
            {
                "gateway.host": "localhost",
                "gateway.port": port,
                "gateway.path": "gateway",
                "gateway.websocket.feature.enabled": "false",
            },
        )
        self.write_keys()
        realm = {
            "main__realm": "org.apache.shiro.realm.text.PropertiesRealm",
            "main__realm__resourcePath": f"file:{conf}/users.properties",
            "urls__/**": "authcBasic",
        }
        passwords = provider("authentication", "ShiroProvider", **realm)
        tokens = provider("federation", "JWTProvider", knox__token__verification__pem=self.verification)
        for name, who, csrf in (
            ("default", passwords, {}),
            ("tokens", tokens, {}),
            ("strict", passwords, {"csrf__customHeader": "X-Of-Ours"}),
        ):
            security = provider("webappsec", "WebAppSec", csrf__enabled="true", **csrf)
            (conf / f"topologies/{name}.xml").write_text(
                f"<topology><gateway>{security}{who}{provider('identity-assertion', 'Default')}</gateway>"
                f"<service><role>NAMENODE</role><url>hdfs://{self.hdfs.rpc}</url></service>"
                f"<service><role>WEBHDFS</role><url>http://{self.hdfs.web}/webhdfs</url></service></topology>"
            )

    def write_keys(self):
        """Its own certificate, and the key that signs tokens."""
        store = self.folder / "data/security/keystores/gateway.jks"
        keytool = [shutil.which("keytool", path=f"{Path(JAVA).resolve().parent}:{os.environ['PATH']}"), "-keystore", store,
                   "-storepass", "secret", "-alias", "gateway-identity"]  # fmt: skip
        subprocess.run(
            [*keytool, "-genkeypair", "-keyalg", "RSA", "-dname", "CN=localhost", "-ext", "san=dns:localhost",
             "-validity", "30", "-storetype", "JKS", "-keypass", "secret"], check=True, capture_output=True,
        )  # fmt: skip
        done = subprocess.run([*keytool, "-exportcert", "-rfc"], check=True, capture_output=True)
        self.ca.write_bytes(done.stdout)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
        now = x509.load_pem_x509_certificate(done.stdout)
        cert = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
            .serial_number(1).not_valid_before(now.not_valid_before_utc).not_valid_after(now.not_valid_after_utc)
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip
        lines = cert.public_bytes(serialization.Encoding.PEM).decode().splitlines()
        self.verification = "".join(lines[1:-1])

    def token(self, user, seconds=3600):
        """A token as KNOXTOKEN gives them, and any other issuer that Knox trusts."""
        head = base64url(json.dumps({"alg": "RS256"}).encode())
        claims = {"sub": user, "iss": "KNOXSSO", "exp": int(time.time()) + seconds}
        text = f"{head}.{base64url(json.dumps(claims).encode())}"
        return f"{text}.{base64url(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def java(self, main, *args):
        path = f"{self.folder}/conf:{folder_of_jars()}/*"
        home = [f"-DGATEWAY_HOME={self.folder}", f"-Dlog4j2.configurationFile={self.folder}/conf/log4j2.xml"]
        with open(self.folder / "out.log", "ab") as log:
            return subprocess.Popen(
                [JAVA, *JVM, *home, "-cp", path, main, *args],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip

    def wait(self):
        """Topologies are put up one after the other."""
        missing = {"default", "tokens", "strict"}
        end = time.monotonic() + 120
        while missing and time.monotonic() < end:
            assert self.process.poll() is None, f"Knox did not start: {self.folder}/out.log"
            for name in sorted(missing):
                if self.status(name) == 401:
                    missing.discard(name)
            time.sleep(0.1)
        assert not missing, f"Knox is not ready after 120 s: {self.folder}/out.log"

    def status(self, topology, token="none"):
        """What it answers to a bearer; None: nothing yet."""
        request = urllib.request.Request(f"https://{self.web}/gateway/{topology}/webhdfs/v1/?op=GETFILESTATUS")
        request.add_header("Authorization", f"Bearer {token}")
        trust = ssl.create_default_context(cafile=str(self.ca))
        try:
            return urllib.request.urlopen(request, timeout=30, context=trust).status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return None

    def stop(self):
        self.process.kill()
        self.process.wait()
