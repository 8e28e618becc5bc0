# SPDX-License-Identifier: Apache-2.0
"""Identities: tokens from each of their sources, sent to a real Azurite that checks them, over TLS with a CA of our own."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import token_server
from conftest import BAD_INPUT, NO_PERMISSION, NOT_FOUND, NOT_SUPPORTED, Workspace, needs_root
from jobs import run_job, write_job
from stores import BlobStore
from token_server import ASSERTION, CLIENT, SECRET, TENANT, TokenServer


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    server = pytest.importorskip("azurite", reason="no azure-storage-blob (tools/dev deps scenario)")
    if not server.program():
        pytest.skip("no Azurite: SLUICE_AZURITE or node is missing (tools/dev deps scenario)")
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", names,
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    running = server.Azurite(folder, tls=(folder / "cert.pem", folder / "key.pem"))
    yield running
    running.stop()


@pytest.fixture
def tokens():
    server = TokenServer()
    yield server
    server.stop()


class Secure(BlobStore):
    """Reached by an identity instead of the account's key."""

    def at(self, path):
        there = Secure(self.server, f"{self.name}-{path}")
        there.container.create_container()
        return there

    def entry(self):
        plain = {k: v for k, v in super().entry().items() if k != "account_key"}
        return {**plain, "ca_file": self.server.ca, "credential": "default"}


@pytest.fixture
def ws(secure, tokens, tmp_path):
    w = Workspace(tmp_path, Secure(secure, f"id-{os.urandom(6).hex()}"))
    for name in list(w.env):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_")):
            del w.env[name]
    w.env["AZURE_AUTHORITY_HOST"] = tokens.url
    w.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = tokens.url
    w.env["PATH"] = f"{tmp_path / 'bin'}:{w.env['PATH']}"
    az(w, "exit 1")
    w.put("f", "bytes")
    return w


def program(ws, name, script):
    (ws.cwd / "bin").mkdir(exist_ok=True)
    path = ws.cwd / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def az(ws, script):
    program(ws, "az", script)


def credential(ws, value, **more):
    config = json.loads(ws.config.read_text())
    for entry in config["datastores"].values():
        entry["credential"] = value
        entry.update(more)
    ws.config.write_text(json.dumps(config))


def principal(ws, secret=SECRET):
    path = ws.cwd / "secret"
    path.touch(mode=0o600)
    path.write_text(secret + "\n")
    return {"type": "service_principal", "tenant_id": TENANT, "client_id": CLIENT, "client_secret": "file:secret"}


def read(ws, **more):
    return ws.run("cat", ws.ref("f"), **more)


def no_canary(*texts):
    assert not any("CANARY" in t for t in texts)


def test_a_service_principal(ws, tokens):
    credential(ws, principal(ws))
    assert read(ws).out == "bytes"
    assert tokens.asked == ["secret"]


def test_writing_and_listing_too(ws, tokens):
    credential(ws, principal(ws))
    (ws.cwd / "new").write_bytes(b"n" * (20 << 20))
    ws.run("cp", "new", ws.ref("d/new"))
    ws.run("cp", ws.ref("d/new"), ws.ref("d/copy"))
    assert ws.run("ls", "-R", ws.ref("")).out == "d/copy\nd/new\nf\n"
    ws.register("ds", "f")
    ws.run("rm", "-R", ws.ref("d"))
    assert not ws.exists("d")


def test_a_workload_identity(ws, tokens):
    credential(ws, "workload_identity")
    (ws.cwd / "federated").write_text(ASSERTION + "\n")
    env = {
        "AZURE_FEDERATED_TOKEN_FILE": str(ws.cwd / "federated"),
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
    }
    assert read(ws, env=env).out == "bytes"
    assert tokens.asked == ["workload"]
    assert "AZURE_FEDERATED_TOKEN_FILE" in read(ws, code=NOT_FOUND).err


def test_the_identity_of_a_machine(ws, tokens):
    credential(ws, "managed_identity")
    assert read(ws).out == "bytes"
    credential(ws, {"type": "managed_identity", "client_id": CLIENT})
    assert read(ws).out == "bytes"
    assert tokens.asked == ["machine", "machine" + CLIENT]


def test_the_identity_of_an_app_service(ws, tokens):
    credential(ws, "managed_identity")
    env = {"IDENTITY_ENDPOINT": f"{tokens.url}/msi/token", "IDENTITY_HEADER": "CANARY-HEADER"}
    assert read(ws, env=env).out == "bytes"
    assert tokens.asked == ["service"]


def test_the_azure_cli(ws, tokens):
    credential(ws, "az_cli")
    told = json.dumps({"accessToken": token_server.token(), "expires_on": 4000000000})
    az(ws, f"[ \"$1 $2 $3 $4\" = 'account get-access-token --resource https://storage.azure.com/' ] && echo '{told}'")
    assert read(ws).out == "bytes"
    az(ws, "echo please sign in >&2; exit 1")
    assert "az login" in read(ws, code=NO_PERMISSION).err
    assert tokens.asked == []


def test_a_token_that_has_ended_by_our_clock_is_sent_all_the_same(ws, tokens):
    credential(ws, "az_cli")
    told = json.dumps({"accessToken": token_server.token(), "expires_on": 1700000000})
    az(ws, f"echo >>{ws.cwd}/asked; echo '{told}'")
    assert read(ws).out == "bytes"
    assert (ws.cwd / "asked").read_text() == "\n"
    told = json.dumps({"accessToken": token_server.token(life=-7200), "expires_on": 1700000000})
    az(ws, f"echo >>{ws.cwd}/asked; echo '{told}'")
    assert "identity's token" in read(ws, code=NO_PERMISSION).err
    assert len((ws.cwd / "asked").read_text()) <= 3  # once more when it is refused


def test_the_default_chain_takes_the_first_that_answers(ws, tokens):
    env = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET}
    assert read(ws, env=env).out == "bytes"
    assert tokens.asked == ["secret"]
    assert read(ws).out == "bytes"
    assert tokens.asked == ["secret", "machine"]


def test_a_chain_that_nobody_answers_says_why_each_did_not(ws, tokens):
    tokens.fail = (400, {"error": "invalid_request", "error_description": "Identity not found"})
    err = read(ws, code=NO_PERMISSION).err
    for part in ["AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "no such identity is assigned", "az login"]:
        assert part in err


def test_many_requests_wait_for_one_token(ws, tokens):
    ws.put_all({f"many/{i}": "x" for i in range(64)})
    credential(ws, principal(ws))
    ws.run("download", ws.ref("many"), "out")
    assert tokens.asked == ["secret"]


@pytest.mark.parametrize("what", [{"audience": "https://elsewhere"}, {"life": -7200}], ids=["audience", "expired"])
def test_a_token_that_the_service_refuses(ws, tokens, what):
    tokens.token = lambda life: token_server.token(**{"life": life, **what})
    credential(ws, principal(ws))
    err = read(ws, code=NO_PERMISSION).err
    assert "identity's token" in err
    no_canary(err)


def test_a_wrong_secret_is_explained_and_not_shown(ws, tokens):
    credential(ws, principal(ws, "wrong-CANARY"))
    done = ws.run("cat", "-v", "-v", ws.ref("f"), code=NO_PERMISSION)
    assert "the client secret is wrong" in done.err
    no_canary(done.err, done.out)


def test_secrets_are_in_no_message(ws, tokens):
    credential(ws, principal(ws))
    done = ws.run("cat", "-v", "-v", ws.ref("f"))
    no_canary(done.err, ws.run("datastore", "show", "workspaceblobstore").out)


def test_a_certificate_that_is_not_trusted(ws, tokens):
    credential(ws, principal(ws), ca_file="/etc/ssl/certs/ca-certificates.crt")
    assert "certificate" in read(ws, code=NO_PERMISSION).err.lower()


def test_hadoop_gets_the_identity_and_no_secret(ws, tokens):
    credential(ws, principal(ws))
    told = ws.run("hdfs", "-o", "json", ws.ref("f")).out
    assert "ClientCredsTokenProvider" in told and CLIENT in told
    no_canary(told)


def test_a_wrong_client_id_is_refused_at_once(ws, tokens):
    credential(ws, {"type": "managed_identity", "client_id": "x&resource=y"})
    assert "no client id" in read(ws, code=BAD_INPUT).err
    assert tokens.asked == []


def by_certificate(ws, tokens, *options, name="app"):
    """Makes a certificate with its key in one file; `openssl` options say how."""
    pem, cert = ws.cwd / f"{name}.pem", ws.cwd / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", *(options or ["-nodes"]), "-days", "2", "-subj", "/CN=app",
         "-keyout", pem, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    pem.write_text(pem.read_text() + cert.read_text())
    pem.chmod(0o600)
    tokens.certificate = cert
    return {"type": "service_principal", "tenant_id": TENANT, "client_id": CLIENT, "certificate": f"file:{pem.name}"}


def private(ws, name, text):
    path = ws.cwd / name
    path.touch(mode=0o600)
    path.write_text(text)
    return f"file:{name}"


def test_a_certificate(ws, tokens):
    credential(ws, by_certificate(ws, tokens))
    assert read(ws).out == "bytes"
    assert tokens.asked == ["certificate"]


def test_a_certificate_with_a_password(ws, tokens):
    value = by_certificate(ws, tokens, "-passout", "pass:CANARY-PW")
    credential(ws, {**value, "certificate_password": private(ws, "pw", "CANARY-PW\n")})
    assert read(ws).out == "bytes"
    credential(ws, {**value, "certificate_password": private(ws, "pw", "wrong\n")})
    done = ws.run("cat", "-v", "-v", ws.ref("f"), code=BAD_INPUT)
    assert "password" in done.err
    no_canary(done.err)


def test_a_certificate_as_pkcs12(ws, tokens):
    value = by_certificate(ws, tokens)
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", ws.cwd / "app.pem", "-out", ws.cwd / "app.pfx", "-passout", "pass:p"],
        check=True, capture_output=True,
    )  # fmt: skip
    (ws.cwd / "app.pfx").chmod(0o600)
    credential(ws, {**value, "certificate": "file:app.pfx", "certificate_password": private(ws, "pw", "p")})
    assert read(ws).out == "bytes"


def test_a_certificate_without_its_key(ws, tokens):
    value = by_certificate(ws, tokens)
    (ws.cwd / "app.crt").chmod(0o600)
    credential(ws, {**value, "certificate": "file:app.crt"})
    assert "private key" in read(ws, code=BAD_INPUT).err


def test_the_certificate_of_the_environment(ws, tokens):
    by_certificate(ws, tokens)
    env = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_CLIENT_CERTIFICATE_PATH": str(ws.cwd / "app.pem"),
    }
    assert read(ws, env=env).out == "bytes"
    assert tokens.asked == ["certificate"]


def test_an_assertion_that_somebody_else_makes(ws, tokens):
    value = {"type": "service_principal", "tenant_id": TENANT, "client_id": CLIENT, "client_assertion": "cmd:cat given"}
    private(ws, "given", ASSERTION + "\n")
    credential(ws, value)
    assert read(ws).out == "bytes"
    assert tokens.asked == ["workload"]


def test_a_principal_needs_one_proof(ws, tokens):
    value = principal(ws)
    credential(ws, {**value, "certificate": "file:x"})
    assert "exactly one" in read(ws, code=BAD_INPUT).err
    del value["client_secret"]
    credential(ws, value)
    assert "exactly one" in read(ws, code=BAD_INPUT).err


def test_a_machine_with_several_identities(ws, tokens):
    credential(ws, {"type": "managed_identity", "object_id": CLIENT})
    assert read(ws).out == "bytes"
    credential(ws, {"type": "managed_identity", "resource_id": "/subscriptions/s/x y"})
    assert read(ws).out == "bytes"
    env = {"IDENTITY_ENDPOINT": f"{tokens.url}/msi/token", "IDENTITY_HEADER": "CANARY-HEADER"}
    assert read(ws, env=env).out == "bytes"
    ids = "/subscriptions/s/x y"
    assert tokens.asked == [f"machine object_id={CLIENT}", f"machine msi_res_id={ids}", f"service mi_res_id={ids}"]


@needs_root
def test_a_machine_of_azure_arc(ws, tokens):
    credential(ws, "managed_identity")
    folder = Path("/var/opt/azcmagent/tokens")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / f"{os.urandom(6).hex()}.key"
    env = {"IDENTITY_ENDPOINT": f"{tokens.url}/arc", "IMDS_ENDPOINT": tokens.url}
    try:
        key.write_text("CANARY-ARC")
        tokens.arc_key = str(key)
        assert read(ws, env=env).out == "bytes"
        assert tokens.asked == ["arc"]
        for bad in ("/etc/passwd", f"{folder}/../x.key", f"{folder}/none.key", ""):
            tokens.arc_key = bad
            no_canary(read(ws, env=env, code=NO_PERMISSION).err)
    finally:
        key.unlink()
        if made:
            folder.rmdir()
            folder.parent.rmdir()


def test_a_token_that_somebody_else_keeps_fresh(ws, tokens):
    value = {"type": "token", "token": private(ws, "token", token_server.token() + "\n")}
    credential(ws, value)
    assert read(ws).out == "bytes"
    private(ws, "token", json.dumps({"accessToken": token_server.token(), "expiresOn": "2099-01-01T00:00:00Z"}))
    credential(ws, {"type": "token", "token": "cmd:cat token"})
    assert read(ws).out == "bytes"
    private(ws, "token", token_server.token(life=-60))
    assert "expired" in read(ws, code=NO_PERMISSION).err
    private(ws, "token", "no token\nat all")
    assert "no token" in read(ws, code=BAD_INPUT).err
    assert tokens.asked == []


def test_a_program_that_is_not_there(ws, tokens):
    credential(ws, "az_cli")
    (ws.cwd / "bin/az").unlink()
    done = read(ws, env={"PATH": f"{Path(shutil.which('sluice')).parent}:/nowhere"}, code=NOT_FOUND)
    assert "the Azure CLI is not installed" in done.err and "sh:" not in done.err


def test_the_identity_of_azure_ml_and_of_cloud_shell(ws, tokens):
    credential(ws, "managed_identity")
    env = {"MSI_ENDPOINT": f"{tokens.url}/ml", "MSI_SECRET": "CANARY-HEADER"}
    assert read(ws, env=env).out == "bytes"
    assert read(ws, env={"MSI_ENDPOINT": f"{tokens.url}/shell"}).out == "bytes"
    assert tokens.asked == ["ml", "shell"]
    credential(ws, {"type": "managed_identity", "object_id": CLIENT})
    assert "one identity only" in read(ws, code=BAD_INPUT, env={"MSI_ENDPOINT": f"{tokens.url}/shell"}).err


def test_an_audience_of_ones_own(ws, tokens):
    tokens.audience = "https://store.example.org"
    credential(ws, {**principal(ws), "audience": "https://store.example.org/"})
    assert read(ws).out == "bytes"
    assert tokens.asked == ["secret"]


def test_what_hadoop_cannot_sign_in_as(ws, tokens):
    who = {
        "type": "service_principal",
        "tenant_id": TENANT,
        "client_id": CLIENT,
        "client_assertion": f"cmd:echo {ASSERTION}",
    }
    for what in [who, {"type": "managed_identity", "object_id": CLIENT}, {"type": "token", "token": "env:T"}]:
        credential(ws, what)
        assert (
            "Hadoop cannot sign in"
            in ws.run("hdfs", ws.ref("f"), env={"T": token_server.token()}, code=NOT_SUPPORTED).err
        )


def test_why_a_program_gave_no_token(ws, tokens):
    credential(ws, "az_cli")
    az(ws, "echo first >&2; echo 'AADSTS50173: sign in again' >&2; exit 1")
    err = read(ws, code=NO_PERMISSION).err
    assert "AADSTS50173" in err and "az login" in err and len(err.splitlines()) == 1
    az(ws, "echo 'eyJ0.CANARY' >&2; exit 1")
    no_canary(read(ws, code=NO_PERMISSION).err)


def test_an_application_that_is_refused_ends_the_chain(ws, tokens):
    env = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": "wrong-CANARY"}
    err = read(ws, env=env, code=NO_PERMISSION).err
    assert "the client secret is wrong" in err
    assert tokens.asked == ["secret"]
    no_canary(err)


@pytest.mark.parametrize(("life", "code"), [(3600, 0), (-60, NO_PERMISSION)])
def test_the_end_of_a_token_in_json_is_its_own(ws, tokens, life, code):
    path = ws.cwd / "token"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"accessToken": token_server.token(life), "expiresOn": "2026-11-21 08:00:00.000000"}))
    credential(ws, {"type": "token", "token": "file:token"})
    assert ("has expired" in read(ws, code=code).err) == (code != 0)


@pytest.mark.skipif(os.environ.get("SLUICE_DEEP") != "1", reason="starts Java: SLUICE_DEEP=1")
@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed")
@pytest.mark.parametrize("kind", ["secret", "workload", "machine"])
def test_hadoop_signs_in_by_what_a_view_says(ws, secure, tokens, kind):
    jars = os.environ.get("SLUICE_HADOOP_AZURE_JARS")
    if not jars:
        pytest.skip("no jars of hadoop-azure: SLUICE_HADOOP_AZURE_JARS (tools/dev deps scenario)")
    (ws.cwd / "assertion").touch(mode=0o600)
    (ws.cwd / "assertion").write_text(ASSERTION)
    names = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_FEDERATED_TOKEN_FILE": str(ws.cwd / "assertion"),
    }
    if kind == "workload":
        ws.env.update(names)
    ways = {"secret": principal(ws), "workload": "workload_identity", "machine": "managed_identity"}
    credential(ws, ways[kind])
    (ws.cwd / "hadoop").mkdir()
    uri = ws.run("hdfs", ws.ref("f"), "--core-site", "hadoop/core-site.xml").out.strip()
    assert uri.startswith("abfss://")
    trust = ws.cwd / "trust.p12"
    subprocess.run(
        ["keytool", "-importcert", "-noprompt", "-keystore", trust, "-storepass", "public", "-file", secure.ca],
        check=True, capture_output=True,
    )  # fmt: skip
    tokens.asked.clear()
    spark = Path(importlib.util.find_spec("pyspark").origin).parent
    done = subprocess.run(
        ["java", f"-Djavax.net.ssl.trustStore={trust}", "-Djavax.net.ssl.trustStorePassword=public", "-cp", f"{ws.cwd}/hadoop:{spark}/jars/*:{jars}/*",
         "org.apache.hadoop.fs.FsShell", "-D", "fs.azure.io.retry.max.retries=1", "-cat", uri],
        env={k: v for k, v in ws.env.items() if k not in names}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "bytes" and tokens.asked[0] == kind, done.stderr


JOB = """
    command: cat ${{inputs.i}} && test "${MARK:-}" = "${DEFAULT_IDENTITY_CLIENT_ID:-}"
    environment_variables: {MARK: "%s"}
    inputs: {i: {path: "azureml://datastores/workspaceblobstore/paths/f", mode: MODE}}
    """
AS_MANAGED = f"identity: {{type: managed, client_id: {CLIENT}}}\n"


@needs_root
def test_the_identity_of_a_job(ws, tokens):
    """It takes the place of the chain, whose first link would answer, in the supervisor and in what serves its mounts."""
    env = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET}
    path = write_job(ws, "job.yml", (JOB % CLIENT).replace("MODE", "ro_mount"))
    text = path.read_text()
    path.write_text(text + AS_MANAGED)
    run = run_job(ws, path, env=env)
    assert "machine" + CLIENT in tokens.asked
    (note,) = [n for n in ws.json("job", "show", run)["notes"] if "identity" in n]
    assert "managed_identity: it opens datastore" in note and "'workspaceblobstore'" in note
    told = json.dumps({"accessToken": token_server.token(), "expires_on": 4000000000})
    az(ws, f"echo >>{ws.cwd}/asked; echo '{told}'")
    path.write_text(text.replace(CLIENT, "") + "identity: {type: user_identity}\n")
    before = tokens.asked.count("machine" + CLIENT)
    run_job(ws, path, env=env)
    assert (ws.cwd / "asked").exists() and tokens.asked.count("machine" + CLIENT) == before


def test_an_identity_that_cannot_be(ws):
    def refused(text):
        return ws.run("job", "validate", write_job(ws, "job.yml", text), code=BAD_INPUT).err

    plain = "command: 'true'\n"
    assert "nobody gives such a token" in refused(plain + "identity: {type: aml_token}\n")
    assert "user_identity or managed" in refused(plain + "identity: {type: me}\n")
    assert "has no place" in refused(plain + "identity: {type: user_identity, client_id: x}\n")
    step = "  {}: {{type: command, command: 'true', {}}}\n"
    one = step.format("a", "identity: {type: managed}")
    both = "type: pipeline\njobs:\n" + one
    assert "step 'b' has no 'identity'" in refused(both + step.format("b", "name: b"))
    assert "said before" in refused(both + step.format("b", "identity: {type: user_identity}"))
