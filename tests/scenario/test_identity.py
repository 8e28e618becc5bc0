# SPDX-License-Identifier: Apache-2.0
"""Identities: tokens from each of their sources, sent to a real Azurite that checks them, over TLS with a CA of our own."""

import json
import os
import subprocess

import pytest
import token_server
from conftest import BAD_INPUT, NO_PERMISSION, NOT_FOUND, Workspace
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


def az(ws, script):
    (ws.cwd / "bin").mkdir(exist_ok=True)
    program = ws.cwd / "bin" / "az"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


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
