# SPDX-License-Identifier: Apache-2.0
"""`sluice doctor` of Azure datastores: as whom it signs in, what that lets it do, what is missing."""

import json

import token_server
from test_blob import account_sas, blob, entry, secret  # noqa: F401
from test_identity import CLIENT, TENANT, credential, principal, secure, tokens, ws  # noqa: F401


def diagnosis(w, name="workspaceblobstore", env=None):
    env = {**(env or {}), "SLUICE_LOG": "debug"}
    done = w.start("doctor", "-o", "json", stdout=-1, stderr=-1, env=env)
    out, err = done.communicate()
    assert b"CANARY" not in out + err
    found = {c["check"]: c for c in json.loads(out)}[f"datastore {name}"]
    return found, found.get("facts", {})


def rights(facts):
    return {k[4:]: v for k, v in facts.items() if k.startswith("may_")}


ALL = {"list": True, "read": True, "write": True, "delete": True}


def test_an_account_key(blob):  # noqa: F811
    blob.put("f", "bytes")
    found, facts = diagnosis(blob)
    assert found["ok"] and rights(facts) == ALL
    assert facts["credential"] == "account key" and facts["namespace"] == "flat"
    assert abs(facts["clock_ahead_ms"]) < 60_000
    assert blob.run("ls", blob.ref("")).out == "f\n"


def test_a_sas_with_few_letters(blob):  # noqa: F811
    entry(blob, account_key=None, sas_token=secret(blob, account_sas(blob, "rl")))
    found, facts = diagnosis(blob)
    assert found["ok"] and rights(facts) == {**ALL, "write": False, "delete": False}
    assert facts["sas_permissions"] == "rl" and facts["credential"] == "account SAS" and facts["sas_ends"]
    assert facts["reference"].startswith("file:") and "missing_role" not in facts
    assert "may not write" in found["detail"] and "letters rl" in found["detail"]


def test_a_sas_that_may_not_list(blob):  # noqa: F811
    entry(blob, account_key=None, sas_token=secret(blob, account_sas(blob, "r")))
    found, facts = diagnosis(blob)
    assert not found["ok"] and facts["may_list"] is False and found["remedy"]


def test_a_secret_that_is_wrong(blob):  # noqa: F811
    entry(blob, account_key=None, sas_token=secret(blob, "sv=2021-12-02&sp=rCANARY&se=2030-01-01&sig=CANARY"))
    found, facts = diagnosis(blob)
    assert not found["ok"] and facts["may_read"] is False


def test_an_application(ws, tokens):  # noqa: F811
    tokens.token = lambda life: token_server.token(life, claims={"oid": "the-object", "appid": CLIENT, "tid": TENANT})
    credential(ws, principal(ws))
    found, facts = diagnosis(ws)
    assert found["ok"] and rights(facts) == ALL
    assert facts["credential"] == "service_principal" and facts["token_object_id"] == "the-object"
    assert facts["token_client_id"] == CLIENT and facts["token_audience"] == "https://storage.azure.com"
    assert facts["token_ends"].startswith("20") and "link" not in facts


def test_the_link_of_the_chain_that_answered(ws, tokens):  # noqa: F811
    found, facts = diagnosis(ws)
    assert found["ok"] and facts["link"] == "a managed identity" and "a managed identity answered" in found["detail"]


def test_nobody_to_sign_in_as(ws, tokens):  # noqa: F811
    tokens.fail = (400, {"error": "invalid_request", "error_description": "Identity not found"})
    found, facts = diagnosis(ws)
    assert not found["ok"] and "az login" in found["detail"] and facts["credential"] == "default"
