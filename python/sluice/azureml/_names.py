# SPDX-License-Identifier: Apache-2.0
"""Which module of Azure ML's SDK has which names, and where each is here."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from typing import Any

from ._errors import NotHere, missing

# a name: the module here that has it
WHERE = {
    "_workspace": "Workspace Datastore LinkedService SynapseWorkspaceLinkedServiceConfiguration "
    "LinkedServiceConfiguration",
    "_datastore": "AzureBlobDatastore AzureDataLakeGen2Datastore HDFSDatastore LocalDatastore DataReference DataPath "
    "DataPathComputeBinding",
    "_dataset": "Dataset FileDataset TabularDataset AbstractDataset DataType FileDatasetFactory "
    "TabularDatasetFactory PromoteHeadersBehavior DatasetConsumptionConfig",
    "_outputs": "OutputFileDatasetConfig HDFSOutputDatasetConfig OutputTabularDatasetConfig OutputDatasetConfig "
    "LinkFileOutputDatasetConfig LinkTabularOutputDatasetConfig PipelineData PipelineOutputFileDataset "
    "PipelineOutputTabularDataset",
    "_compute": "ComputeTarget AmlCompute SynapseCompute ComputeTargetAttachConfiguration",
    "_environment": "Environment CondaDependencies RunConfiguration ScriptRunConfig DockerConfiguration "
    "DEFAULT_CPU_IMAGE DEFAULT_GPU_IMAGE",
    "_outside": "AbstractAuthentication InteractiveLoginAuthentication AzureCliAuthentication "
    "ServicePrincipalAuthentication MsiAuthentication TokenAuthentication RunDetails",
    "_run": "Run Experiment PipelineRun StepRun OutputData get_run",
    "_inside": "_OfflineRun",
    "_steps": "Pipeline PipelineStep PipelineParameter StepSequence PythonScriptStep SynapseSparkStep CommandStep",
    "_errors": "AzureMLException UserErrorException WorkspaceException ProjectSystemException ComputeTargetException "
    "ActivityFailedException ExperimentExecutionException RunEnvironmentException DatasetValidationError "
    "DatasetExecutionError AuthenticationException ServiceException TrainingException",
}
HOME = {name: module for module, names in WHERE.items() for name in names.split()}

_CORE = (
    "Workspace Datastore Dataset Experiment Environment ScriptRunConfig Run RunConfiguration ComputeTarget "
    "LinkedService SynapseWorkspaceLinkedServiceConfiguration LinkedServiceConfiguration HDFSOutputDatasetConfig"
)
_OUTPUTS = (
    "OutputFileDatasetConfig HDFSOutputDatasetConfig OutputTabularDatasetConfig OutputDatasetConfig "
    "LinkFileOutputDatasetConfig LinkTabularOutputDatasetConfig"
)
_STEPS = "PythonScriptStep SynapseSparkStep CommandStep"
_STORES = "AzureBlobDatastore AzureDataLakeGen2Datastore HDFSDatastore"

# a module of the SDK: its names
MODULES = {
    "azureml": "",
    "azureml.core": _CORE,
    "azureml.core.workspace": "Workspace",
    "azureml.core.datastore": "Datastore",
    "azureml.core.dataset": "Dataset",
    "azureml.core.experiment": "Experiment",
    "azureml.core.run": "Run get_run _OfflineRun",
    "azureml.core.environment": "Environment CondaDependencies",
    "azureml.core.conda_dependencies": "CondaDependencies",
    "azureml.core.runconfig": "RunConfiguration DockerConfiguration CondaDependencies Environment DEFAULT_CPU_IMAGE "
    "DEFAULT_GPU_IMAGE",
    "azureml.core.script_run_config": "ScriptRunConfig",
    "azureml.core.compute": "ComputeTarget AmlCompute SynapseCompute ComputeTargetAttachConfiguration",
    "azureml.core.compute.amlcompute": "AmlCompute",
    "azureml.core.compute.synapse": "SynapseCompute",
    "azureml.core.compute_target": "ComputeTargetException ComputeTarget",
    "azureml.core.linked_service": "LinkedService SynapseWorkspaceLinkedServiceConfiguration "
    "LinkedServiceConfiguration",
    "azureml.data": "FileDataset TabularDataset DataType OutputFileDatasetConfig HDFSOutputDatasetConfig "
    "OutputDatasetConfig LinkFileOutputDatasetConfig LinkTabularOutputDatasetConfig",
    "azureml.data.abstract_dataset": "AbstractDataset",
    "azureml.data.file_dataset": "FileDataset",
    "azureml.data.tabular_dataset": "TabularDataset",
    "azureml.data.dataset_factory": "FileDatasetFactory TabularDatasetFactory DataType",
    "azureml.data.dataset_type_definitions": "PromoteHeadersBehavior",
    "azureml.data.dataset_consumption_config": "DatasetConsumptionConfig",
    "azureml.data.output_dataset_config": _OUTPUTS,
    "azureml.data.data_reference": "DataReference",
    "azureml.data.datapath": "DataPath DataPathComputeBinding",
    "azureml.data.dataset_error_handling": "DatasetValidationError DatasetExecutionError",
    "azureml.data.azure_storage_datastore": "AzureBlobDatastore",
    "azureml.data.azure_data_lake_datastore": "AzureDataLakeGen2Datastore",
    "azureml.data.hdfs_datastore": "HDFSDatastore",
    "azureml.exceptions": WHERE["_errors"],
    "azureml.core.authentication": "AbstractAuthentication InteractiveLoginAuthentication AzureCliAuthentication "
    "ServicePrincipalAuthentication MsiAuthentication TokenAuthentication",
    "azureml.widgets": "RunDetails",
    "azureml.pipeline": "",
    "azureml.pipeline.core": "Pipeline PipelineData PipelineOutputFileDataset PipelineParameter PipelineRun PipelineStep StepRun "
    "StepSequence",
    "azureml.pipeline.core.pipeline": "Pipeline",
    "azureml.pipeline.core.graph": "PipelineParameter",
    "azureml.pipeline.core.builder": "PipelineData PipelineStep",
    "azureml.pipeline.core.pipeline_output_dataset": "PipelineOutputFileDataset PipelineOutputTabularDataset",
    "azureml.pipeline.core.run": "PipelineRun StepRun",
    "azureml.pipeline.steps": _STEPS,
    "azureml.pipeline.steps.python_script_step": "PythonScriptStep",
    "azureml.pipeline.steps.synapse_spark_step": "SynapseSparkStep",
    "azureml.pipeline.steps.command_step": "CommandStep",
}


def _version() -> Any:
    from . import VERSION

    return VERSION


class Names(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `azureml` and what is below it: modules that get each name when it is asked for."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.split(".")[0] != "azureml":
            return None
        if fullname not in MODULES:
            parent = fullname.rpartition(".")[0]
            if fullname.rpartition(".")[2] in MODULES.get(parent, "").split():
                return None  # a name that is no module: Python's own words say so
            raise NotHere(missing(fullname, MODULES), name=fullname)
        below = any(x.startswith(f"{fullname}.") for x in MODULES)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=below)

    def create_module(self, spec: Any) -> Any:
        return None

    def exec_module(self, module: Any) -> None:
        fullname = module.__name__
        names = MODULES[fullname].split()

        def get(name: str) -> Any:
            if name in names:
                value = getattr(importlib.import_module(f"sluice.azureml.{HOME[name]}"), name)
                setattr(module, name, value)
                return value
            if fullname == "azureml.core" and name in ("VERSION", "__version__"):
                return _version()
            if name.startswith("__"):
                raise AttributeError(name)
            below = f"{fullname}.{name}"
            if below in MODULES:  # the SDK's own packages import theirs
                return importlib.import_module(below)
            raise NotHere(missing(below, names), name=fullname)

        module.__doc__ = f"The names of '{fullname}' that are in sluice."
        module.__getattr__ = get
        module.__all__ = names
        module.__dir__ = lambda: sorted({*names, *module.__dict__})


def here() -> Any:
    """Is `azureml` that of this package?"""
    found = sys.modules.get("azureml.core")
    return found is None or isinstance(found.__loader__, Names)
