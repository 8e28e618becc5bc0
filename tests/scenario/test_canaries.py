# SPDX-License-Identifier: Apache-2.0
"""Secrets are in no message, no log, no argument and no variable of a program that is started, whatever fails."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from test_blob import entry
from test_blob import secret as given
from test_identity import CLIENT, TENANT, az, credential, program, secure, tokens, ws  # noqa: F401

CANARY = "CANARYc4n4ry"
KEY = "Q0FOQVJZQ0FOQVJZQ0FOQVJZ"  # base64 of a canary
JWT = f"eyJhbGciOiJub25lIn0.eyJ4IjoxfQ.{CANARY}"
APPLICATION = {"type": "service_principal", "tenant_id": TENANT, "client_id": CLIENT}


def file(w, name, text):
    path = w.cwd / name
    path.touch(mode=0o600)
    path.write_text(text)
    return f"file:{name}"


def certificate(w):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=x", "-passout", f"pass:{CANARY}",
         "-keyout", "key", "-out", "cert"],
        check=True, capture_output=True, cwd=w.cwd,
    )  # fmt: skip
    return file(w, "pem", (w.cwd / "cert").read_text() + (w.cwd / "key").read_text())


KINDS = {
    "key": lambda w: {"account_key": given(w, KEY)},
    "sas": lambda w: {"sas_token": given(w, f"sv=2021-12-02&sp=r&se=2030-01-01&sig={CANARY}")},
    "sas of a command": lambda w: {"sas_token": f"cmd:cat {given(w, f'sv=1&se=2001-01-01&sig={CANARY}')[5:]}"},
    "connection string": lambda w: {"credential": given(w, f"AccountName=devstoreaccount1;AccountKey={KEY}")},
    "no secret": lambda w: {"account_key": given(w, f"{CANARY}!")},
    "secret": lambda w: {"credential": {**APPLICATION, "client_secret": given(w, CANARY)}},
    "assertion": lambda w: {"credential": {**APPLICATION, "client_assertion": given(w, JWT)}},
    "certificate": lambda w: {
        "credential": {
            **APPLICATION,
            "certificate": certificate(w),
            "certificate_password": given(w, CANARY),
        }
    },
    "wrong password": lambda w: {
        "credential": {
            **APPLICATION,
            "certificate": certificate(w),
            "certificate_password": given(w, CANARY + "-wrong"),
        }
    },
    "token": lambda w: {"credential": {"type": "token", "token": given(w, JWT)}},
    "no token": lambda w: {"credential": {"type": "token", "token": given(w, f"{CANARY} {CANARY}")}},
    "machine": lambda w: {"credential": "managed_identity"},
    "chain": lambda w: {"credential": "default"},
}

FAILURES = {
    "refused": (401, {"error": "invalid_client", "error_description": "AADSTS7000215: no\r\nmore"}),
    "broken": (500, {"error": "x"}),
    "no token": (200, {"access_token": f"{CANARY} {CANARY}", "expires_in": 1}),
    "no json": (200, f"{CANARY}"),
    "a token that is refused": (200, {"access_token": JWT, "expires_in": 3600}),
}


def everything(w, *command):
    """What a run said, wherever it said it, and what of it was its output."""
    done = w.start(*command, stdout=-1, stderr=-1, env={"SLUICE_LOG": "debug"})
    out, err = done.communicate(timeout=240)
    return done.returncode, (out + err).decode(), out.decode()


ASKED = {"secret", "assertion", "certificate", "machine", "chain"}  # those that ask the token server
CASES = [(k, f) for k in KINDS for f in FAILURES if k in ASKED or f == "refused"]


@pytest.mark.parametrize(("kind", "failure"), CASES)
def test_no_secret_is_told(ws, tokens, kind, failure):  # noqa: F811
    tokens.fail = FAILURES[failure]
    az(ws, f"echo '{CANARY}'; env >> '{ws.cwd}/started'; echo \"$0 $*\" >> '{ws.cwd}/started'; exit 1")
    program(ws, "azd", f'echo \'{{"token": "{CANARY} {CANARY}"}}\'')
    entry(ws, **{"credential": None, **KINDS[kind](ws)})
    for command in [("-v", "cat", ws.ref("f")), ("cp", "config.json", ws.ref("n")), ("ls", "-o", "json", ws.ref(""))]:
        code, text, _ = everything(ws, *command)
        assert code != 0, text
        assert "CANARY" not in text and KEY not in text
    _, text, out = everything(ws, "doctor", "-o", "json")
    assert "CANARY" not in text and KEY not in text
    checks = [c for c in json.loads(out) if c["check"].endswith("blobstore")]
    assert checks and not any(c["ok"] for c in checks)
    started = ws.cwd / "started"
    assert not started.exists() or "CANARY" not in started.read_text()


def test_a_mount_shows_no_secret_to_others(ws, tokens):  # noqa: F811
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no FUSE here")
    credential(ws, {**APPLICATION, "client_secret": file(ws, "s", "s3cr3t/CANARY+~")})
    with ws.mounted(ws.ref("")) as m:
        assert (m / "f").read_bytes() == b"bytes"
        seen = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                shown = process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
            except OSError:
                continue
            seen += str(m).encode() in shown
            assert b"sluice" not in shown.split(b"\0")[0] or b"CANARY" not in shown
        assert seen
