# SPDX-License-Identifier: Apache-2.0
"""Outputs of steps.  Every call gives a copy; all copies know the step that writes."""

from __future__ import annotations

import copy
import hashlib
import uuid
from typing import Any

from ._dataset import DatasetConsumptionConfig, check_name
from ._datastore import place
from ._errors import Named, UserErrorException


class _Origin:
    """Shared by the copies of an output: by it a pipeline finds who writes and who reads."""

    step: Any = None  # who writes it: the one that was made last


class OutputDatasetConfig(Named):
    """What the outputs have in common."""

    mode = "upload"
    _kind = "output"

    def __init__(self, name: Any = None, destination: Any = None) -> None:
        self._origin, self.destination = _Origin(), _destination(destination)
        self.name = check_name(name) if name else f"output_{self._auto_name()}"
        self._register, self._overwrite, self._globs, self._table, self._source = None, False, None, None, None

    def _auto_name(self) -> Any:
        """The same for the same destination, so that a step can be recognised."""
        if self.destination:
            return hashlib.sha256("/".join(map(str, self.destination)).encode()).hexdigest()[:8]
        return uuid.uuid4().hex[:8]

    def _copy(self, **change: Any) -> Any:
        other = copy.copy(self)
        other.__dict__.update(change)
        return other

    def register_on_complete(self, name: str, description: Any = None, tags: Any = None) -> Any:
        """When the run has completed, what it wrote becomes the next version of a dataset."""
        check_name_of_dataset(name)
        return self._copy(_register={"name": name, "description": description, "tags": tags})

    def as_input(self, name: Any = None) -> Any:
        """As an input of another step."""
        return DatasetConsumptionConfig(name or f"input_{self.name}", self, "mount")

    @property
    def arg_val(self) -> str:
        """What stands for it in a text among the arguments."""
        return str(self)

    def _job(self) -> dict[str, Any]:
        """As job files have it."""
        o = {"type": "uri_folder", "path_on_compute": self._source, "mode": self.mode, "overwrite": self._overwrite or None,
             "source_globs": self._globs, **(self._register or {}), **(self._table or {})}  # fmt: skip
        if self._table:
            o["type"] = "mltable"
        elif getattr(self, "_partition_format", None):
            raise UserErrorException(f"output '{self.name}': a partition_format is of tables: read_delimited_files()")
        if self.destination:
            store, path = self.destination
            o["path"] = place(store, path).replace("%7B", "{").replace("%7D", "}")
        return {k: v for k, v in o.items() if v is not None}

    def __str__(self) -> str:
        return f"DatasetOutputConfig:{self.name}"


def check_name_of_dataset(name: str) -> Any:
    if not name:
        raise UserErrorException("an output that is registered needs a name")
    return name


def _destination(destination: Any) -> Any:
    if destination is None:
        return None
    if not isinstance(destination, tuple):
        destination = (destination, "")
    store, path = destination
    return (getattr(store, "name", store), path or "")


class _Readable(OutputDatasetConfig):
    """A folder whose files may be read as a table."""

    _partition_format: Any = None

    def _tabular(
        self, reading: Any, options: Any, partition_format: Any, path_glob: Any, set_column_types: Any
    ) -> OutputTabularDatasetConfig:
        table = {
            reading: options,
            "partition_format": partition_format or self._partition_format,
            "path_glob": path_glob,
        }
        made: Any = self._copy(_table={k: v for k, v in table.items() if v is not None}, mode=self.mode)
        made.__class__ = OutputTabularDatasetConfig
        types = [{"columns": k, "column_type": v.kind} for k, v in (set_column_types or {}).items()]
        if types:
            made = _then(made, "convert_column_types", types)
        assert isinstance(made, OutputTabularDatasetConfig)
        return made

    def read_delimited_files(
        self,
        include_path: bool = False,
        separator: str = ",",
        header: Any = None,
        partition_format: Any = None,
        path_glob: Any = None,
        set_column_types: Any = None,
    ) -> OutputTabularDatasetConfig:
        options = {"delimiter": separator, "include_path_column": include_path}
        if header is not None:
            options["header"] = getattr(header, "value", header)
        return self._tabular("delimited", options, partition_format, path_glob, set_column_types)

    def read_parquet_files(
        self,
        include_path: bool = False,
        partition_format: Any = None,
        path_glob: Any = None,
        set_column_types: Any = None,
    ) -> OutputTabularDatasetConfig:
        options = {"include_path_column": include_path}
        return self._tabular("parquet", options, partition_format, path_glob, set_column_types)


class OutputFileDatasetConfig(_Readable):
    """A folder: mounted, or uploaded when the step has ended."""

    mode = "rw_mount"

    def __init__(
        self, name: Any = None, destination: Any = None, source: Any = None, partition_format: Any = None
    ) -> None:
        super().__init__(name, destination)
        self._source = source
        self._partition_format = partition_format

    def as_upload(self, overwrite: bool = False, source_globs: Any = None) -> Any:
        globs = [source_globs] if isinstance(source_globs, str) else source_globs
        return self._copy(mode="upload", _overwrite=overwrite, _globs=globs)

    def as_mount(self, disable_metadata_cache: bool = False) -> Any:
        return self._copy(mode="rw_mount")


def _then(output: Any, step: str, argument: Any) -> Any:
    """A copy of a table, with one step more."""
    steps = [*output._table.get("transformations", []), {step: argument if isinstance(argument, list) else [argument]}]
    return output._copy(_table={**output._table, "transformations": steps})


class OutputTabularDatasetConfig(OutputFileDatasetConfig):
    """The same, read as a table."""

    def keep_columns(self, columns: Any) -> Any:
        return _then(self, "keep_columns", columns)

    def drop_columns(self, columns: Any) -> Any:
        return _then(self, "drop_columns", columns)

    def as_input(self, name: Any = None) -> Any:
        """As an input of another step: the id of the table."""
        return DatasetConsumptionConfig(name or f"input_{self.name}", self, "direct")


class HDFSOutputDatasetConfig(_Readable):
    """A folder that a Spark step writes itself."""

    mode = "hdfs"


class LinkFileOutputDatasetConfig(OutputDatasetConfig):
    """The script says what its result is: run.output_datasets[name].link(dataset)."""

    mode = "link"

    def __init__(self, name: Any = None) -> None:
        super().__init__(name)


class LinkTabularOutputDatasetConfig(LinkFileOutputDatasetConfig):
    """The same of a table."""

    def as_input(self, name: Any = None) -> Any:
        return DatasetConsumptionConfig(name or f"input_{self.name}", self, "direct")


class PipelineData(OutputFileDatasetConfig):
    """What one step leaves for others, as older programs write it."""

    def __init__(
        self,
        name: str,
        datastore: Any = None,
        output_name: Any = None,
        output_mode: str = "mount",
        output_path_on_compute: Any = None,
        output_overwrite: Any = None,
        data_type: Any = None,
        is_directory: Any = None,
        **_: Any,
    ) -> None:
        super().__init__(output_name or name)
        if datastore is not None:
            self.destination = (datastore.name, f"azureml/{{run-id}}/{self.name}")
        self.mode = "upload" if output_mode == "upload" else "rw_mount"
        self._overwrite = bool(output_overwrite)

    def as_dataset(self) -> PipelineOutputFileDataset:
        return PipelineOutputFileDataset(self)

    def as_download(self, input_name: Any = None, **_: Any) -> Any:
        return DatasetConsumptionConfig(input_name or self.name, self, "download")

    def as_input(self, name: Any = None, *_: Any, **__: Any) -> Any:
        return DatasetConsumptionConfig(name or self.name, self, "mount")


class PipelineOutputFileDataset(Named):
    """PipelineData as a dataset."""

    _mode = "mount"

    def __init__(self, data: Any, name: Any = None) -> None:
        self._data, self.name = data, name or data.name

    def register(self, name: str, create_new_version: bool = True) -> Any:
        """When the run has completed, it becomes the next version of a dataset."""
        self._data._register = {"name": check_name_of_dataset(name)}
        return self

    def as_named_input(self, name: str) -> Any:
        return type(self)(self._data, name)

    def _as(self, mode: Any, path_on_compute: Any = None) -> Any:
        return DatasetConsumptionConfig(self.name, self._data, mode, path_on_compute)

    def as_mount(self, path_on_compute: Any = None) -> Any:
        return self._as("mount", path_on_compute)

    def as_download(self, path_on_compute: Any = None) -> Any:
        return self._as("download", path_on_compute)

    def as_direct(self) -> Any:
        return self._as("direct")

    def _as_input(self) -> Any:
        """As which it is an input where nothing else is said."""
        return self._as(self._mode)

    def _read(self, made: Any) -> PipelineOutputTabularDataset:
        """The same output, as a table."""
        self._data._table = made._table
        return PipelineOutputTabularDataset(self._data, self.name)

    def parse_delimited_files(self, include_path: bool=False, separator: str=",", header: Any=None, partition_format: Any=None,
                              file_extension: str="", set_column_types: Any=None, quoted_line_breaks: bool=False) -> Any:  # fmt: skip
        glob = f"**/*{file_extension}" if file_extension else None
        return self._read(OutputFileDatasetConfig.read_delimited_files(
            self._data, include_path, separator, header, partition_format, glob, set_column_types))  # fmt: skip

    def parse_parquet_files(self, include_path: bool=False, partition_format: Any=None, file_extension: str="",
                            set_column_types: Any=None) -> Any:  # fmt: skip
        glob = f"**/*{file_extension}" if file_extension else None
        return self._read(OutputFileDatasetConfig.read_parquet_files(
            self._data, include_path, partition_format, glob, set_column_types))  # fmt: skip


class PipelineOutputTabularDataset(PipelineOutputFileDataset):
    """The same, read as a table: a program gets its id."""

    _mode = "direct"

    def keep_columns(self, columns: Any) -> Any:
        return self._read(_then(self._data, "keep_columns", columns))

    def drop_columns(self, columns: Any) -> Any:
        return self._read(_then(self._data, "drop_columns", columns))
