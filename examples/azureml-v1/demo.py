# SPDX-License-Identifier: Apache-2.0
"""A pipeline of Azure ML's Python SDK, version 1: Spark prepares a dataset, a script reads it.

    python -m sluice.azureml demo.py

Nothing in it knows of sluice.  config.json says where the data is and which Spark is behind the pool.
"""

from azureml.core import Dataset, Environment, LinkedService, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget, SynapseCompute
from azureml.core.compute_target import ComputeTargetException
from azureml.data import HDFSOutputDatasetConfig
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep, SynapseSparkStep

ws = Workspace.from_config()
store = ws.get_default_datastore()

# A Spark pool, attached when it is not there yet.
pool = "link1-spark01"
if pool not in ws.compute_targets:
    link = LinkedService.get(ws, "synapselink1")
    print(link)
    attaching = SynapseCompute.attach_configuration(link, type="SynapseSpark", pool_name="spark01")
    ComputeTarget.attach(workspace=ws, name=pool, attach_configuration=attaching).wait_for_completion()

# A cluster for scripts, made when it is not there yet.
cluster = "local"
try:
    compute = ComputeTarget(workspace=ws, name=cluster)
    print("found", compute.name)
except ComputeTargetException:
    sizes = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=4)
    compute = ComputeTarget.create(ws, cluster, sizes)
compute.wait_for_completion(show_output=True)

# The same file twice: as a table, and as a file.
titanic = "Titanic.csv"
store.upload_files([titanic], overwrite=True)
table = Dataset.Tabular.from_delimited_files(path=[(store, titanic)])
step1_input1 = table.as_named_input("tabular_input")
file = Dataset.File.from_files(path=[(store, titanic)])
step1_input2 = file.as_named_input("file_input").as_hdfs()
step1_output = HDFSOutputDatasetConfig(destination=(store, "test")).register_on_complete(name="registered_dataset")
step2_input = step1_output.as_input("step2_input").as_download()

env = Environment(name="myenv")
env.python.conda_dependencies.add_pip_package("azureml-core>=1.20.0")

step_1 = SynapseSparkStep(
    name="synapse-spark",
    file="dataprep.py",
    source_directory="./code",
    inputs=[step1_input1, step1_input2],
    outputs=[step1_output],
    arguments=["--tabular_input", step1_input1, "--file_input", step1_input2, "--output_dir", step1_output],
    compute_target=pool,
    driver_memory="1g",
    driver_cores=1,
    executor_memory="1g",
    executor_cores=1,
    num_executors=1,
    environment=env,
)
step_2 = PythonScriptStep(
    script_name="train.py",
    arguments=[step2_input],
    inputs=[step2_input],
    compute_target=cluster,
    source_directory="./code",
    allow_reuse=False,
)

pipeline = Pipeline(workspace=ws, steps=[step_1, step_2])
run = pipeline.submit("synapse-pipeline", regenerate_outputs=True)
run.wait_for_completion()
for step in run.get_children():
    print(step.name, step.get_status(), step.get_metrics())
    print(step.get_stdout_log())

made = Dataset.get_by_name(ws, "registered_dataset")
print("version", made.version, "of registered_dataset has", len(made.to_path()), "files")
