# SPDX-License-Identifier: Apache-2.0
"""Datasets: what they are made of is said here, saved by the library when somebody needs their id."""

from __future__ import annotations

import enum
import json
import os
import re
import tempfile
import uuid
from typing import TYPE_CHECKING, Any

import sluice

from .. import _lib
from .._steps import keys_of
from . import _tables, _written
from ._datastore import DataPath, matching, place
from ._errors import DatasetValidationError, Named, UserErrorException
from ._expression import Expression
from ._workspace import workspace_of

if TYPE_CHECKING:
    from typing_extensions import Self

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    return bool(_GUID.fullmatch(text or ""))


class PromoteHeadersBehavior(enum.Enum):
    """Which files begin with the names of the columns."""

    NO_HEADERS = "no_header"
    ONLY_FIRST_FILE_HAS_HEADERS = "from_first_file"
    COMBINE_ALL_FILES_HEADERS = "all_files_different_headers"
    ALL_FILES_HAVE_SAME_HEADERS = "all_files_same_headers"


class DataType:
    """The type of a column, for set_column_types."""

    def __init__(self, kind: str | dict[str, Any]) -> None:
        self.kind = kind

    @staticmethod
    def to_string() -> DataType:
        return DataType("string")

    @staticmethod
    def to_long() -> DataType:
        return DataType("int")

    @staticmethod
    def to_float(decimal_mark: str = ".") -> DataType:
        return DataType("float")

    @staticmethod
    def to_bool() -> DataType:
        return DataType("boolean")

    @staticmethod
    def to_datetime(formats: Any = None) -> DataType:
        formats = [formats] if isinstance(formats, str) else formats
        return DataType({"datetime": {"formats": list(formats)}} if formats else "datetime")


def check_name(name: str) -> Any:
    if not name or not _NAME.fullmatch(name):
        raise UserErrorException(f"'{name}' is no name for an input or output: letters, digits and '_', no digit first")
    return name


def _references(path: Any) -> Any:
    """The references of what a factory got as path, and a datastore of them."""
    many = path if isinstance(path, list) else [path]
    if not many or many == [None]:
        raise UserErrorException("the dataset needs a path: (datastore, path), a URL, or a list of them")
    refs, owner = [], None
    for one in many:
        if isinstance(one, (DataPath,)):
            one = (one.datastore, one.path_on_datastore)
        if isinstance(one, tuple):
            store, below = one
            owner = owner or store
            refs += [place(store, x) for x in (below if isinstance(below, list) else [below])]
        elif isinstance(one, (str, os.PathLike)):
            refs.append(os.fspath(one))
        else:
            raise UserErrorException(f"a path of a dataset is (datastore, path) or a URL, not {one!r}")
    return refs, owner


class DatasetConsumptionConfig(Named):
    """A dataset as an input of a step: its name there, and the mode in which the program sees it."""

    def __init__(self, name: str, dataset: Any, mode: str = "direct", path_on_compute: Any = None) -> None:
        if mode not in ("direct", "download", "mount", "hdfs"):
            raise UserErrorException(f"'{mode}' is no mode of an input: direct, download, mount or hdfs")
        self.name, self.dataset, self.mode, self.path_on_compute = check_name(name), dataset, mode, path_on_compute
        if isinstance(dataset, TabularDataset) and mode != "direct":
            raise UserErrorException(
                f"input '{name}' is a table, which a program gets as its id: no {mode}, "
                "unless it is made of files (Dataset.File)"
            )

    def _as(self, mode: Any, path_on_compute: Any = None) -> DatasetConsumptionConfig:
        return DatasetConsumptionConfig(self.name, self.dataset, mode, path_on_compute)

    def as_mount(self, path_on_compute: Any = None) -> Any:
        return self._as("mount", path_on_compute)

    def as_download(self, path_on_compute: Any = None) -> Any:
        return self._as("download", path_on_compute)

    def as_hdfs(self) -> Any:
        return self._as("hdfs")

    def as_direct(self) -> Any:
        return self._as("direct")

    def __str__(self) -> str:
        return f"DatasetConsumptionConfig:{self.name}"

    @property
    def arg_val(self) -> str:
        """What stands for it in a text among the arguments."""
        return str(self)


class AbstractDataset(Named):
    """What both kinds of dataset can."""

    _timestamps = (None, None)

    def __init__(self, workspace: Any, spec: Any = None, parent: Any = None, record: Any = None) -> None:
        self._workspace, self._spec, self._parent, self._record = workspace, spec, parent, record
        self._registered = record if record and record.get("name") else None

    # --- what it is ---

    def _saved(self) -> Any:
        """Its record; made, if need be, with all that it comes from."""
        if self._record is None:
            spec = self._spec.made() if isinstance(self._spec, _written.Spec) else dict(self._spec)
            if self._parent is not None:
                spec["from"] = self._parent._ref
            try:
                self._record = _lib.ask_json("data_save", self._ws._handle, _lib.text(json.dumps(spec)))
            except sluice.NotFound as why:
                raise DatasetValidationError(str(why)) from why
        return self._record

    @property
    def _ws(self) -> Any:
        return self._workspace.sluice

    @property
    def _ref(self) -> Any:
        """What the library knows it by."""
        if self._registered:
            return f"{self._registered['name']}@{self._registered['version']}"
        return self._saved()["dataset"]

    @property
    def _input(self) -> Any:
        """What a job file names it by: a path is looked up when the step begins."""
        if self._registered:
            return f"azureml:{self._registered['name']}:{self._registered['version']}"
        if (
            self._record is None
            and self._parent is None
            and isinstance(self._spec, dict)
            and set(self._spec) == {"path"}
        ):
            return self._spec["path"]
        return self._saved()["dataset"]

    @property
    def _data(self) -> Any:
        return sluice.Dataset(self._ws, self._ref, None if not self._record else self._record)

    @property
    def id(self) -> Any:
        return self._saved()["dataset"]

    @property
    def name(self) -> Any:
        return self._registered and self._registered["name"]

    @property
    def version(self) -> Any:
        if not self._registered:
            return None
        version = self._registered["version"]
        return int(version) if version.isdigit() else version

    @property
    def description(self) -> Any:
        return self._registered and self._registered.get("description")

    @property
    def tags(self) -> dict[str, Any]:
        return dict((self._registered or {}).get("tags") or {})

    @property
    def workspace(self) -> Any:
        return self._workspace

    def _more(self, steps: Any, rows: Any = None) -> Self:
        spec = {k: v for k, v in (("transformations", steps), ("rows", rows)) if v}
        made = type(self)(self._workspace, spec, self)
        made._timestamps = self._timestamps
        return made

    def _few(self, verb: str, arguments: Any) -> Self:
        return self._more([{verb: arguments}])

    # --- the registry ---

    def register(
        self, workspace: Any, name: str, description: Any = None, tags: Any = None, create_new_version: bool = False
    ) -> Any:
        """As a new name; one that is taken is an error unless a new version is asked for."""
        spec = {"name": name, "ref": self._ref, "description": description, "tags": tags,
                "create_new_version": create_new_version or None}  # fmt: skip
        spec = {k: v for k, v in spec.items() if v is not None}
        try:
            made = _lib.ask_json("data_register", workspace.sluice._handle, _lib.text(json.dumps(spec)))
        except sluice.Exists as why:
            raise UserErrorException(str(why)) from why
        return Dataset.get_by_name(workspace, name, made["version"])

    def _update(self, **change: Any) -> Self:
        if not self._registered:
            raise UserErrorException("the dataset is not registered: register() it first")
        self._registered = sluice.Dataset(self._ws, self._ref).update(**change).record
        return self

    def add_tags(self, tags: Any = None) -> Self:
        """New ones: a key that has another value is an error, for which there is update()."""
        taken = [k for k, v in (tags or {}).items() if self.tags.get(k, v) != v]
        if taken:
            raise UserErrorException(
                f"tag '{taken[0]}' is '{self.tags[taken[0]]}' already: remove_tags(['{taken[0]}']) first, or use update()"
            )
        return self._update(tags=tags or {})

    def remove_tags(self, tags: Any = None) -> Self:
        return self._update(remove_tags=tags or [])

    def update(self, description: Any = None, tags: Any = None) -> Self:
        gone = [x for x in self.tags if tags is not None and x not in tags]
        return self._update(description=description, tags=tags, remove_tags=gone)

    def unregister_all_versions(self) -> None:
        """Forgets the name; no data is touched."""
        _lib.ask("data_update", self._ws._handle, _lib.text(self.name), b'{"unregistered": true, "all": true}')
        self._registered = None

    # --- verbs of both kinds ---

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        return DatasetConsumptionConfig(name, self)

    def take(self, count: Any) -> Self:
        return self._few("take", count)

    def skip(self, count: Any) -> Self:
        return self._few("skip", count)

    def take_sample(self, probability: Any, seed: Any = None) -> Self:
        return self._few("take_random_sample", {"probability": probability, "seed": _seed(seed)})

    def random_split(self, percentage: Any, seed: Any = None) -> tuple[Self, Self]:
        """Two datasets, each with its share; every file or row is in one of them."""
        seed, parts = _seed(seed), []
        for low, high in ((0, percentage), (percentage, 1)):
            arguments = {"probability": high, "probability_lower_bound": low, "seed": seed}
            parts.append(self._few("sample", {"sampler": "random_percent", "sampler_arguments": arguments}))
        return parts[0], parts[1]

    @property
    def partition_keys(self) -> list[Any]:
        """The columns that its paths give."""
        found = (
            x.get(_written.EXTRACT) for x in self._data.definition.get("transformations") or [] if isinstance(x, dict)
        )
        forms = [x["partition_format"] if isinstance(x, dict) else x for x in found if x]
        return [x.partition(":")[0] for form in forms for x in dict.fromkeys(keys_of(form))]

    def get_partition_key_values(self, partition_keys: Any = None) -> Any:
        """Each set of values of them once, as a pandas.DataFrame."""
        import pandas

        keys = partition_keys or self.partition_keys
        found = pandas.DataFrame([x["columns"] for x in self._data.partitions()], columns=self.partition_keys)
        return found[list(keys)].drop_duplicates(ignore_index=True)

    @property
    def data_changed_time(self) -> Any:
        """When the newest of its files changed."""
        from datetime import datetime, timezone

        newest = max((x.mtime_ns for x in self._data.ls()), default=None)
        return newest and datetime.fromtimestamp(newest / 1e9, timezone.utc)

    def __repr__(self) -> str:
        known = f"name={self.name!r}, version={self.version!r}" if self._registered else repr(self._spec)
        return f"{type(self).__name__}({known})"


def _seed(seed: Any) -> Any:
    return int.from_bytes(os.urandom(4), "big") if seed is None else seed


class MountContext:
    """A mount with a beginning and an end: start() and stop(), or a `with` block."""

    def __init__(self, data: Any, mount_point: Any) -> None:
        self._data, self._view = data, None
        self.mount_point = mount_point or tempfile.mkdtemp(prefix="sluice-")
        self._made = mount_point is None or not os.path.exists(mount_point)

    def start(self) -> None:
        os.makedirs(self.mount_point, exist_ok=True)
        self._view = self._data.as_mount(self.mount_point)

    def stop(self) -> None:
        if self._view is not None:
            self._view.close()
            self._view = None
            if self._made:
                os.rmdir(self.mount_point)

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()


class FileDataset(AbstractDataset):
    """Files."""

    def to_path(self) -> list[Any]:
        """The paths of its files, as they are in a mount or download."""
        return ["/" + x.path for x in self._data.ls()]

    def download(self, target_path: Any = None, overwrite: bool = False, ignore_not_found: bool = False) -> list[Any]:
        """To a folder; the paths of the files there."""
        target_path = target_path or tempfile.mkdtemp(prefix="sluice-")  # whose it is from now on
        policy = "merge" if overwrite else "fail"
        view = self._data.as_download(os.path.abspath(target_path), policy=policy)
        return [os.path.join(view.where, x.path) for x in self._data.ls()]

    def mount(self, mount_point: Any = None, **_: Any) -> MountContext:
        return MountContext(self._data, mount_point)

    def as_mount(self, path_on_compute: Any = None) -> Any:
        return self.as_named_input(self._auto_name()).as_mount(path_on_compute)

    def as_download(self, path_on_compute: Any = None) -> Any:
        return self.as_named_input(self._auto_name()).as_download(path_on_compute)

    def as_hdfs(self) -> Any:
        return self.as_named_input(self._auto_name()).as_hdfs()

    def _auto_name(self) -> str:
        return f"input__{self.id[:8]}"

    @staticmethod
    def file_metadata(col: Any) -> Expression:
        """For filter(): "Size", "LastModifiedTime", "CreationTime", "Extension", "CanSeek"."""
        return Expression(f"file_metadata({col!r})")

    def __getitem__(self, key: str) -> Expression:
        return Expression(f"col({key!r})")

    def filter(self, expression: Any) -> Self:
        """The files of which it is true: `ds.filter(ds.file_metadata("Size") > 1000)`."""
        return self._more([{"filter": expression.text}])


class TabularDataset(AbstractDataset):
    """A table."""

    def _few(self, verb: str, arguments: Any) -> Self:
        return self._more(None, [{verb: arguments}])

    def keep_columns(self, columns: Any, validate: bool = False) -> Self:
        return self._more(None, [{"keep_columns": columns if isinstance(columns, list) else [columns]}])

    def drop_columns(self, columns: Any) -> Self:
        return self._more(None, [{"drop_columns": columns if isinstance(columns, list) else [columns]}])

    def __getitem__(self, key: str) -> Any:
        """A column, for filter(); a list of them is keep_columns()."""
        return self.keep_columns(key) if isinstance(key, list) else Expression(f"col({key!r})")

    def filter(self, expression: Any) -> Self:
        """The rows of which it is true: `ds.filter(ds["Age"] > 30)`."""
        return self._more(None, [{"filter": expression.text}])

    # --- times: kept beside the definition, since nothing but these verbs asks for them ---

    def with_timestamp_columns(
        self, timestamp: Any = None, partition_timestamp: Any = None, validate: bool = False, **_: Any
    ) -> Self:
        """Says which column time_before() and the like are about."""
        made = self._more(None)
        made._spec = {"rows": []}
        made._timestamps = (timestamp, partition_timestamp)
        return made

    @property
    def timestamp_columns(self) -> Any:
        return self._timestamps

    def _when(self, sign: Any, time: Any, include_boundary: Any) -> Self:
        column = next((x for x in self._timestamps if x), None)
        if column is None:
            raise UserErrorException("the table has no column of times: with_timestamp_columns(timestamp=NAME)")
        return self.filter(self[column]._with(sign + "=" * include_boundary, time))

    def time_before(self, end_time: Any, include_boundary: bool = True, validate: bool = True) -> Self:
        return self._when("<", end_time, include_boundary)

    def time_after(self, start_time: Any, include_boundary: bool = True, validate: bool = True) -> Self:
        return self._when(">", start_time, include_boundary)

    def time_between(
        self, start_time: Any, end_time: Any, include_boundary: bool = True, validate: bool = True
    ) -> Self:
        return self.time_after(start_time, include_boundary).time_before(end_time, include_boundary)

    def time_recent(self, time_delta: Any, include_boundary: bool = True, validate: bool = True) -> Self:
        from datetime import datetime

        return self.time_after(datetime.now() - time_delta, include_boundary)

    def to_pandas_dataframe(self, on_error: str = "null", out_of_range_datetime: str = "null") -> Any:
        """All rows as a pandas.DataFrame."""
        return _tables.to_pandas(self._data)

    def to_spark_dataframe(self) -> Any:
        """The rows as Spark's DataFrame, read where they lie."""
        return _tables.to_spark(self._data)

    def to_dask_dataframe(
        self, sample_size: int = 10000, dtypes: Any = None, on_error: str = "null", out_of_range_datetime: str = "null"
    ) -> Any:
        """The rows as Dask's DataFrame, in as many partitions as there are files."""
        return _tables.to_dask(self._data)

    # --- as files ---

    def to_csv_files(self, separator: str = ",") -> FileDataset:
        """The rows as files of delimited text, in the default datastore; made when somebody needs them."""
        return FileDataset(self._workspace, _written.Spec(self, "csv", separator))

    def to_parquet_files(self) -> FileDataset:
        return FileDataset(self._workspace, _written.Spec(self, "parquet"))

    def partition_by(
        self,
        partition_keys: Any,
        target: Any,
        name: Any = None,
        show_progress: bool = True,
        partition_as_file_dataset: bool = False,
    ) -> Any:
        """Writes the rows to (datastore, path), a folder for each value of the keys; the dataset of that."""
        store, below, keys = _written.partitions(self, partition_keys, target)
        path = (store, "/".join([*below, *("*" for _ in keys), _written.PART]))
        form = "/".join(["", *(f"{{{x}}}" for x in keys), _written.PART])
        kind = FileDatasetFactory.from_files if partition_as_file_dataset else TabularDatasetFactory.from_parquet_files
        made = kind(path, partition_format=form)
        return made.register(self._workspace, name, create_new_version=True) if name else made


def of_record(workspace: Any, record: Any) -> Any:
    """The dataset of a record."""
    steps = (record.get("definition") or {}).get("transformations") or []
    names = [next(iter(x)) if isinstance(x, dict) else x for x in steps]
    kind = TabularDataset if any(x.startswith("read_") for x in names) else FileDataset
    return kind(workspace, record=record)


class FileDatasetFactory(Named):
    """Dataset.File"""

    @staticmethod
    def from_files(
        path: Any, validate: bool = True, partition_format: Any = None, is_file: bool = False
    ) -> FileDataset:
        """Of (datastore, path), URLs, or a list of them; `*` and `**` are patterns."""
        refs, owner = _references(path)
        spec = {"path": refs[0]} if len(refs) == 1 else {"paths": refs}
        if partition_format:
            spec["partition_format"] = partition_format
        made = FileDataset(workspace_of(owner), spec)
        if validate and partition_format:
            made._saved()
        return made

    @staticmethod
    def upload_directory(
        src_dir: Any, target: Any, pattern: Any = None, overwrite: bool = False, show_progress: bool = True
    ) -> FileDataset:
        """Copies a folder to (datastore, path), and is the dataset of that."""
        if isinstance(target, DataPath):
            target = (target.datastore, target.path_on_datastore)
        store, below = target if isinstance(target, tuple) else (target, "")
        files = matching(os.path.abspath(src_dir), pattern)
        if not files:
            raise UserErrorException(f"'{src_dir}' has no file" + (f" that '{pattern}' takes" if pattern else ""))
        store.upload_files(files, src_dir, below, overwrite, show_progress)
        return FileDatasetFactory.from_files((store, below))


class TabularDatasetFactory(Named):
    """Dataset.Tabular"""

    @staticmethod
    def _make(
        path: Any, reading: Any, options: Any, validate: Any, types: Any, partition_format: Any
    ) -> TabularDataset:
        refs, owner = _references(path)
        spec = {"path": refs[0]} if len(refs) == 1 else {"paths": refs}
        spec[reading] = {k: v for k, v in options.items() if v is not None}
        if partition_format:
            spec["partition_format"] = partition_format
        if types:
            columns = [{"columns": k, "column_type": v.kind} for k, v in types.items()]
            spec["rows"] = [{"convert_column_types": columns}]
        made = TabularDataset(workspace_of(owner), spec)
        if validate:
            made._saved()
        return made

    @staticmethod
    def from_delimited_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        infer_column_types: bool = True,
        set_column_types: Any = None,
        separator: str = ",",
        header: bool | PromoteHeadersBehavior = True,
        partition_format: Any = None,
        support_multi_line: bool = False,
        empty_as_string: bool = False,
        encoding: str = "utf8",
    ) -> TabularDataset:
        if isinstance(header, bool):
            header = PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS if header else PromoteHeadersBehavior.NO_HEADERS
        options = {"delimiter": separator, "header": header.value, "support_multi_line": support_multi_line,
                   "empty_as_string": empty_as_string, "encoding": encoding,
                   "infer_column_types": infer_column_types,
                   "include_path_column": include_path}  # fmt: skip
        make = TabularDatasetFactory._make
        return make(path, "delimited", options, validate, set_column_types, partition_format)

    @staticmethod
    def from_json_lines_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Any = None,
        partition_format: Any = None,
        invalid_lines: str = "error",
        encoding: str = "utf8",
    ) -> TabularDataset:
        options = {"invalid_lines": invalid_lines, "encoding": encoding, "include_path_column": include_path}
        make = TabularDatasetFactory._make
        return make(path, "json_lines", options, validate, set_column_types, partition_format)

    @staticmethod
    def from_parquet_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Any = None,
        partition_format: Any = None,
    ) -> TabularDataset:
        options = {"include_path_column": include_path}
        make = TabularDatasetFactory._make
        return make(path, "parquet", options, validate, set_column_types, partition_format)

    @staticmethod
    def register_pandas_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: Any = None,
        tags: Any = None,
        show_progress: bool = True,
        **_: Any,
    ) -> TabularDataset:
        """Writes it as Parquet to (datastore, path), in a folder of its own, and registers that."""
        if isinstance(target, DataPath):
            target = (target.datastore, target.path_on_datastore)
        store, below = target if isinstance(target, tuple) else (target, "")
        below = "/".join(x for x in ((below or "").strip("/"), str(uuid.uuid4())) if x)
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            dataframe.to_parquet(os.path.join(folder, "part-00000.parquet"))
            store.upload(folder, below)
        made = TabularDatasetFactory.from_parquet_files((store, f"{below}/*.parquet"))
        found: TabularDataset = made.register(store.workspace, name, description, tags, create_new_version=True)
        return found


class Dataset(AbstractDataset):
    """Dataset.File and Dataset.Tabular make one; get_by_name() and get_by_id() find one."""

    File = FileDatasetFactory
    Tabular = TabularDatasetFactory

    @staticmethod
    def get_by_name(workspace: Any, name: str, version: str = "latest") -> Any:
        latest = version in (None, "latest")
        ref = f"azureml:{name}@latest" if latest else f"azureml:{name}:{version}"
        try:
            return of_record(workspace, workspace.sluice.dataset(ref).record)
        except sluice.NotFound as why:
            raise UserErrorException(str(why)) from why

    @staticmethod
    def get_by_id(workspace: Any, id: Any, **_: Any) -> Any:
        if not is_id(id):
            raise UserErrorException(f"'{id}' is no id of a dataset")
        try:
            return of_record(workspace, workspace.sluice.dataset(id).record)
        except sluice.NotFound as why:
            raise UserErrorException(str(why)) from why

    @staticmethod
    def get_all(workspace: Any) -> Any:
        return workspace.datasets
