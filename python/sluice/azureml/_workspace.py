# SPDX-License-Identifier: Apache-2.0
"""Workspace, Datastore and linked services."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import sluice

from .. import _lib
from ._errors import Named, ProjectSystemException, UserErrorException, WorkspaceException


def in_step() -> Any:
    """Is this process part of a step, whose broker answers for the workspace?"""
    return os.environ.get("AZUREML_SERVICE_ENDPOINT", "").startswith("unix:") and "AZUREML_RUN_TOKEN" in os.environ


class Lazy(Mapping[str, Any]):
    """A mapping whose values are made when they are asked for."""

    def __init__(self, names: Any, make: Any, what: str) -> None:
        self._names, self._make, self._what = list(names), make, what

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(f"there is no {self._what} '{name}'; there are: {', '.join(self._names) or 'none'}")
        return self._make(name)

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return repr({name: self._make(name) for name in self._names})


class Workspace(Named):
    """The workspace of a config.json: `Workspace.from_config()`.  `sluice` is the one of the package below."""

    def __init__(
        self,
        subscription_id: Any = None,
        resource_group: Any = None,
        workspace_name: Any = None,
        *,
        _sluice: Any = None,
        **_: Any,
    ) -> None:
        try:
            self.sluice = _sluice or sluice.Workspace()
        except sluice.Error as why:
            raise WorkspaceException(str(why)) from why
        asked = {"subscription_id": subscription_id, "resource_group": resource_group,
                 "workspace_name": workspace_name}  # fmt: skip
        for key, value in asked.items():
            if value is not None and value != self._info.get(key):
                raise WorkspaceException(
                    f"'{self._info['config']}' is the workspace with {key} '{self._info.get(key)}', not '{value}'"
                )

    @classmethod
    def from_config(cls, path: Any = None, auth: Any = None, _logger: Any = None, _file_name: Any = None) -> Any:
        """Of a config.json, or of the one that is found from a folder upward; in a step, of its run."""
        if path is None and in_step():
            return cls(_sluice=sluice.Workspace(of_step=True))
        if _file_name and (path is None or os.path.isdir(path)):
            path = os.path.join(path or ".", _file_name)
        try:
            return cls(_sluice=sluice.Workspace(path))
        except sluice.Error as why:
            raise UserErrorException(str(why)) from why

    @classmethod
    def get(cls, name: str, auth: Any = None, subscription_id: Any = None, resource_group: Any = None, **_: Any) -> Any:
        return cls(subscription_id, resource_group, name)

    @property
    def _info(self) -> Any:
        return self.sluice.info

    @property
    def name(self) -> Any:
        return self._info["workspace_name"]

    @property
    def subscription_id(self) -> Any:
        return self._info.get("subscription_id")

    @property
    def resource_group(self) -> Any:
        return self._info.get("resource_group")

    @property
    def location(self) -> str:
        return "local"

    @property
    def tags(self) -> dict[str, Any]:
        """A workspace here has none."""
        return {}

    def get_details(self) -> dict[str, Any]:
        return dict(self._info)

    @property
    def _stores(self) -> Any:
        """Who reads and writes datastores: in a step nobody, unless the workspace is around it."""
        if not self.sluice._flags & _lib.OF_STEP:
            return self.sluice
        try:
            return sluice.Workspace(os.getcwd())
        except sluice.Error as why:
            raise UserErrorException(
                "a step has no credentials of datastores: give it inputs and outputs instead "
                "(Dataset...as_named_input(), OutputFileDatasetConfig)"
            ) from why

    def _changed(self) -> None:
        """config.json says something else now; what is open has it as it was."""
        self.sluice = sluice.Workspace(self.sluice.config_path)

    def write_config(self, path: Any = None, file_name: Any = None) -> None:
        """Writes the three keys of this workspace, and where it is, to .azureml/config.json."""
        folder = os.path.join(path or ".", ".azureml")
        os.makedirs(folder, exist_ok=True)
        info = self._info
        entry = {k: info[k] for k in ("subscription_id", "resource_group", "workspace_name") if k in info}
        target = os.path.abspath(os.path.join(folder, file_name or "config.json"))
        if target == os.path.abspath(info["config"]):
            return
        for key in ("root", "default_datastore", "datastores", "default_compute", "computes"):
            if key in info:
                entry[key] = info[key]
        if any(isinstance(x, dict) and x.get("type") == "local" for x in info.get("datastores", {}).values()):
            raise ProjectSystemException(
                f"'{info['config']}' has local datastores, which are relative to its folder: "
                "give that file to Workspace.from_config()"
            )
        with open(target, "w") as f:
            json.dump(entry, f, indent=2)

    # --- datastores ---

    @property
    def datastores(self) -> Lazy:
        return Lazy(self._info["datastores"], lambda name: Datastore.get(self, name), "datastore")

    def get_default_datastore(self) -> Any:
        return Datastore.get(self, self._info.get("default_datastore") or "workspaceblobstore")

    def set_default_datastore(self, name: str) -> None:
        _lib.call("datastore_set_default", self.sluice._handle, _lib.text(getattr(name, "name", name)))
        self._changed()

    # --- what it holds ---

    @property
    def datasets(self) -> Lazy:
        """The newest version of each registered dataset."""
        from ._dataset import of_record

        found = {x.name: x for x in self.sluice.datasets()}
        return Lazy(found, lambda name: of_record(self, self.sluice.dataset(found[name].ref).record), "dataset")

    @property
    def compute_targets(self) -> Any:
        from ._compute import targets

        return targets(self)

    def get_default_compute_target(self, type: str = "CPU") -> Any:
        from ._compute import ComputeTarget

        return ComputeTarget(self, self._info.get("default_compute") or "local")

    @property
    def experiments(self) -> Lazy:
        from ._run import Experiment

        names = dict.fromkeys(x.get("experiment") or "Default" for x in self._runs())
        return Lazy(names, lambda name: Experiment(self, name), "experiment")

    def _runs(self) -> Any:
        return _lib.ask_json("job_list", self.sluice._handle)

    @property
    def environments(self) -> Any:
        from ._environment import Environment

        return Environment.list(self)

    @property
    def linked_services(self) -> dict[str, Any]:
        return {x.name: x for x in LinkedService.list(self)}

    def get_run(self, run_id: Any) -> Any:
        from ._run import Run

        return Run.get(self, run_id)

    def __repr__(self) -> str:
        i = self._info
        return (
            f"Workspace.create(name={self.name!r}, subscription_id={i.get('subscription_id')!r}, "
            f"resource_group={i.get('resource_group')!r})"
        )


def workspace_of(*candidates: Any) -> Any:
    """The first that is a workspace; else that of the current folder or step."""
    for x in candidates:
        x = getattr(x, "workspace", x)
        if isinstance(x, Workspace):
            return x
    return Workspace.from_config()


class Datastore(Named):
    """`Datastore.get(ws, name)`, `Datastore(ws, name)`, and the register_... functions."""

    def __new__(cls, workspace: Any, name: Any = None) -> Any:
        return cls.get(workspace, name)

    @staticmethod
    def get(workspace: Any, datastore_name: Any = None) -> Any:
        from ._datastore import open_datastore

        return open_datastore(workspace, datastore_name)

    @staticmethod
    def get_default(workspace: Any) -> Any:
        return workspace.get_default_datastore()

    @staticmethod
    def register_azure_blob_container(
        workspace: Any,
        datastore_name: Any,
        container_name: Any,
        account_name: Any,
        sas_token: Any = None,
        account_key: Any = None,
        protocol: Any = None,
        endpoint: Any = None,
        overwrite: bool = False,
        create_if_not_exists: bool = False,
        skip_validation: bool = False,
        **_: Any,
    ) -> Any:
        """Keys become files of mode 0600 beside the workspace, which the entry refers to."""
        from ._datastore import register

        entry = {"type": "azure_blob", "account_name": account_name, "container_name": container_name,
                 "protocol": protocol, "endpoint": endpoint}  # fmt: skip
        secrets = {"sas_token": sas_token, "account_key": account_key}
        return register(workspace, datastore_name, entry, secrets, overwrite, skip_validation)

    @staticmethod
    def register_azure_data_lake_gen2(
        workspace: Any,
        datastore_name: Any,
        filesystem: Any,
        account_name: Any,
        tenant_id: Any = None,
        client_id: Any = None,
        client_secret: Any = None,
        resource_url: Any = None,
        authority_url: Any = None,
        protocol: Any = None,
        endpoint: Any = None,
        overwrite: bool = False,
        **_: Any,
    ) -> Any:
        from ._datastore import register

        entry = {"type": "azure_data_lake_gen2", "account_name": account_name, "filesystem": filesystem,
                 "protocol": protocol, "endpoint": endpoint}  # fmt: skip
        if client_id:
            entry["credential"] = {"type": "service_principal", "tenant_id": tenant_id, "client_id": client_id,
                                   "authority_url": authority_url}  # fmt: skip
        return register(workspace, datastore_name, entry, {"credential.client_secret": client_secret}, overwrite)

    @staticmethod
    def register_hdfs(
        workspace: Any,
        datastore_name: Any,
        protocol: Any,
        namenode_address: Any,
        hdfs_server_certificate: Any = None,
        kerberos_realm: Any = None,
        kerberos_kdc_address: Any = None,
        kerberos_principal: Any = None,
        kerberos_keytab: Any = None,
        kerberos_password: Any = None,
        overwrite: bool = False,
    ) -> Any:
        """kerberos_keytab: the path of one; the KDC is that of krb5.conf."""
        from ._datastore import register

        entry = {"type": "hdfs", "namenode": namenode_address, "protocol": protocol,
                 "ca_file": hdfs_server_certificate}  # fmt: skip
        if kerberos_principal:
            entry["kerberos"] = {"realm": kerberos_realm, "principal": kerberos_principal, "keytab": kerberos_keytab}
        return register(workspace, datastore_name, entry, {"kerberos.password": kerberos_password}, overwrite)


class LinkedServiceConfiguration(Named):
    """What a linked service leads to."""


class SynapseWorkspaceLinkedServiceConfiguration(LinkedServiceConfiguration):
    """A Synapse workspace by subscription, resource group and name."""

    def __init__(self, subscription_id: Any, resource_group: Any, name: str) -> None:
        self.subscription_id, self.resource_group, self.name = subscription_id, resource_group, name


class LinkedService(Named):
    """A link to a Synapse workspace: an entry of "linked_services" in config.json."""

    def __init__(self, workspace: Any, name: str, _entry: Any = None) -> None:
        self.workspace, self.name = workspace, name
        self._entry = _entry if _entry is not None else self._call("linked_service_show", workspace, name)

    @staticmethod
    def _call(what: str, workspace: Any, *arguments: Any) -> Any:
        try:
            return _lib.ask_json(what, workspace.sluice._handle, *map(_lib.text, arguments))
        except sluice.Error as why:
            raise UserErrorException(str(why)) from why

    @staticmethod
    def list(workspace: Any) -> list[Any]:
        return [LinkedService(workspace, x["name"], x) for x in LinkedService._call("linked_service_list", workspace)]

    @staticmethod
    def get(workspace: Any, name: str) -> LinkedService:
        return LinkedService(workspace, name)

    @staticmethod
    def register(workspace: Any, name: str, linked_service_config: Any) -> LinkedService:
        """Links it; one that is there already, to the same place, is that one."""
        c = linked_service_config
        entry = {"type": "Synapse", "subscription_id": c.subscription_id, "resource_group": c.resource_group,
                 "workspace": c.name}  # fmt: skip
        there = workspace._info.get("linked_services", {}).get(name)
        if there is not None and all(there.get(k, v) == v for k, v in entry.items()):
            return LinkedService(workspace, name)
        try:
            _lib.call(
                "linked_service_create", workspace.sluice._handle, _lib.text(name), _lib.text(json.dumps(entry)), 0
            )
        except sluice.Error as why:
            raise UserErrorException(str(why)) from why
        workspace._changed()
        return LinkedService(workspace, name)

    def unregister(self) -> None:
        try:
            _lib.call("linked_service_unregister", self.workspace.sluice._handle, _lib.text(self.name))
        except sluice.Error as why:
            raise UserErrorException(str(why)) from why
        self.workspace._changed()

    @property
    def type(self) -> Any:
        return self._entry.get("type", "Synapse")

    @property
    def linked_service_resource_id(self) -> Any:
        return self._entry.get("resource_id")

    @property
    def system_assigned_identity_principal_id(self) -> Any:
        """Nobody knows it here: the identity is that of this machine."""
        return self._entry.get("principal_id")

    def __repr__(self) -> str:
        return f"LinkedService(name={self.name!r}, type={self.type!r}, id={self.linked_service_resource_id!r})"
