# SPDX-License-Identifier: Apache-2.0
"""Linked services and computes: entries of config.json made, shown, checked, waited for and let go."""

import concurrent.futures
import json
import subprocess
import sys

import pytest
from conftest import BAD_INPUT, EXISTS, NO_PERMISSION, NOT_FOUND, RUNG, USAGE
from jobs import run_job, show, write_job
from test_livy import Small

pytestmark = pytest.mark.local_only

LINK = ("--subscription", "sub", "--resource-group", "group", "--synapse-workspace", "syn")
POOL = "/livyApi/versions/2019-11-01-preview/sparkPools/spark1"


def link(ws, *more, name="synapselink1"):
    return ws.json("linked-service", "create", name, *LINK, *more)


def attach(ws, name="pool", *more, code=0):
    return ws.run("compute", "attach", name, "--linked-service", "synapselink1", "--pool", "spark1", *more, code=code)


def config(ws):
    return json.loads(ws.config.read_text())


def test_a_linked_service_and_its_pool(ws):
    made = link(ws)
    assert made["resource_id"].endswith("/resourceGroups/group/providers/Microsoft.Synapse/workspaces/syn")
    ws.run("linked-service", "create", "synapselink1", *LINK, code=EXISTS)
    assert [x["name"] for x in ws.json("linked-service", "list")] == ["synapselink1"]
    attach(ws, "pool", "--type", "SynapseSpark", "--set", "node_size=Small")
    got = ws.json("compute", "show", "pool")
    assert got["type"] == "synapsespark" and got["resource_id"] == made["resource_id"] + "/bigDataPools/spark1"
    assert config(ws)["computes"]["pool"] == {
        "type": "synapsespark", "linked_service": "synapselink1", "pool": "spark1", "node_size": "Small",
    }  # fmt: skip
    assert "pool" in ws.run("linked-service", "unregister", "synapselink1", code=EXISTS).err
    assert "detach" in ws.run("compute", "delete", "pool", code=NO_PERMISSION).err
    ws.run("compute", "detach", "pool")
    ws.run("linked-service", "unregister", "synapselink1")
    assert config(ws)["computes"] == {} == config(ws)["linked_services"]
    ws.run("compute", "show", "pool", code=NOT_FOUND)


@pytest.mark.parametrize("name", ["p", "1pool", "pool-", "a-name-of-17-char", "po_ol", "pool.x"])
def test_names_of_pools(ws, name):
    link(ws)
    assert "2 to 16" in attach(ws, name, code=BAD_INPUT).err
    assert "computes" not in config(ws)


def test_what_cannot_be_attached(ws):
    assert "linked-service list" in attach(ws, code=NOT_FOUND).err
    link(ws)
    assert "SynapseSpark" in attach(ws, "pool", "--type", "Databricks", code=USAGE).err
    assert "is 'node_size' meant?" in attach(ws, "pool", "--set", "node_sise=Small", code=BAD_INPUT).err.replace(
        "(", ""
    )
    assert "Large" in attach(ws, "pool", "--set", "node_size=Huge", code=BAD_INPUT).err
    ws.run("linked-service", "create", "other", "--set", "type=AzureML", *LINK, code=BAD_INPUT)
    ws.run("linked-service", "create", "other", code=BAD_INPUT)
    ws.run("compute", "attach", "pool", "--pool", "spark1", code=USAGE)


def test_files_of_the_cli(ws):
    (ws.cwd / "c.yml").write_text(
        "$schema: https://azuremlschemas.azureedge.net/latest/amlCompute.schema.json\nname: cpu-cluster\n"
        "type: amlcompute\nsize: Standard_DS3_v2\nmin_instances: 0\nmax_instances: 2\n"
        "idle_time_before_scale_down: 120\nssh_settings: {admin_username: me}\n"
    )
    err = ws.run("compute", "create", "--file", "c.yml").err
    assert "'ssh_settings' has no effect" in err and "run on this machine" in err
    assert config(ws)["computes"]["cpu-cluster"]["max_instances"] == 2
    run = run_job(ws, write_job(ws, "j.yml", "type: command\ncommand: 'true'\ncompute: azureml:cpu-cluster\n"))
    assert show(ws, run)["status"] == "Completed" and not show(ws, run).get("notes")
    (ws.cwd / "s.yml").write_text(
        "name: pool\ntype: synapsespark\nidentity: {type: system_assigned}\nresource_id: /subscriptions/s/resourceGroups/g"
        "/providers/Microsoft.Synapse/workspaces/w/bigDataPools/p\n"
    )
    ws.run("compute", "create", "--file", "s.yml")
    (ws.cwd / "bad.yml").write_text("name: x\ntype: amlcompute\nmax_instancs: 2\n")
    err = ws.run("compute", "create", "--file", "bad.yml", code=BAD_INPUT).err
    assert "bad.yml:3:" in err and "max_instances" in err
    (ws.cwd / "bad.yml").write_text("name: x\ntype: sweeper\n")
    assert "bad.yml:2:" in ws.run("compute", "create", "--file", "bad.yml", code=BAD_INPUT).err
    ws.run("compute", "delete", "cpu-cluster")


def test_no_secret_is_written_into_the_file(ws):
    before = ws.config.read_bytes()
    err = ws.run("linked-service", "create", "l", *LINK, "--set", "token=the-secret", code=BAD_INPUT).err
    assert "cmd:COMMAND" in err and "the-secret" not in err
    assert ws.config.read_bytes() == before


def test_waiting_until_a_pool_lets_us_in(ws):
    (ws.cwd / "token").write_text("t")
    answers = {("GET", f"{POOL}/batches"): [(503, "not yet")] * 5 + [(200, {"sessions": []})]}
    with Small(answers) as server:
        link(ws, "--endpoint", server.url, "--set", f"token=file:{ws.cwd}/token")
        attach(ws)
        lines = ws.run("compute", "wait", "pool").out.splitlines()
    assert lines[-1] == "Succeeded" and lines[0].startswith("Creating: ") and "503" in lines[0]
    with Small({("GET", f"{POOL}/batches"): [(403, {"message": "no role"})]}) as server:
        link(ws, "--endpoint", server.url, "--replace", "--set", f"token=file:{ws.cwd}/token")
        err = ws.run("compute", "wait", "pool", code=NO_PERMISSION).err
    assert "no role" in err and "Synapse Apache Spark Administrator" in err
    ws.run("compute", "create", "here")
    assert ws.run("compute", "wait", "here").out == "Succeeded\n"


def test_many_at_once_all_stay(ws):
    link(ws)
    names = [f"pool{i}" for i in range(12)]
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda name: attach(ws, name), names))
    assert sorted(config(ws)["computes"]) == sorted(names)


def test_values_that_mean_nothing_are_refused(ws):
    for setting in ("slots=two", "slots=0", "max_nodes=1000", "conf=x", "python=1"):
        said = ws.run("compute", "create", "c", "--type", "local", "--set", setting, code=BAD_INPUT)
        assert setting.split("=")[0] in said.err
    ws.run("compute", "create", "c", "--type", "spark", "--set", "conf.spark.x=1", "--set", "conf.spark.y.z=a=b")
    assert config(ws)["computes"]["c"]["conf"] == {"spark.x": "1", "spark.y.z": "a=b"}


def test_what_is_built_in_is_shown(ws):
    assert {x["name"]: x["default"] for x in ws.json("compute", "list")} == {"local": True, "spark": False}
    got = ws.json("compute", "show", "local")
    assert (got["type"], got["built_in"], got["default"]) == ("local", True, True)
    ws.run("compute", "wait", "local")
    assert "built in" in ws.run("compute", "delete", "local", code=NOT_FOUND).err
    ws.run("compute", "create", "local", "--set", "slots=2")
    assert "built_in" not in ws.json("compute", "show", "local")
    assert [x["name"] for x in ws.json("compute", "list")] == ["local", "spark"]


def test_the_default_stays(ws):
    ws.run("compute", "create", "mine", "--set", "slots=2")
    ws.config.write_text(json.dumps({**config(ws), "default_compute": "mine"}))
    assert ws.json("compute", "list")[0]["default"]
    assert "default_compute" in ws.run("compute", "detach", "mine", code=EXISTS).err


@pytest.mark.skipif(RUNG != "scenario", reason="a sanitizer's library wants to be the first that is loaded")
def test_from_python(ws):
    """As Azure ML's own sample does it, and what it refuses."""
    script = """
from azureml.core import LinkedService, SynapseWorkspaceLinkedServiceConfiguration, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget, SynapseCompute
ws = Workspace.from_config()
config = SynapseWorkspaceLinkedServiceConfiguration(subscription_id="sub", resource_group="group", name="syn")
link = LinkedService.register(workspace=ws, name="synapselink1", linked_service_config=config)
assert LinkedService.register(ws, "synapselink1", config).name == "synapselink1"
attach = SynapseCompute.attach_configuration(linked_service=link, type="SynapseSpark", pool_name="spark1")
pool = ComputeTarget.attach(workspace=ws, name="pool", attach_configuration=attach)
assert isinstance(ws.compute_targets["pool"], SynapseCompute)
cpu = ComputeTarget.create(ws, "cpucluster", AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=1))
cpu.wait_for_completion(show_output=True)
try:
    pool.delete()
except Exception as why:
    assert "detach" in str(why), why
else:
    raise SystemExit("it was deleted")
pool.detach()
link.unregister()
print(sorted(ws.compute_targets), [x.name for x in LinkedService.list(ws)])
"""
    (ws.cwd / "a.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-m", "sluice.azureml", "a.py"], cwd=ws.cwd, env=ws.env, capture_output=True, text=True
    )
    assert done.stdout == "Succeeded\n['cpucluster', 'local', 'spark'] []\n", done.stderr
