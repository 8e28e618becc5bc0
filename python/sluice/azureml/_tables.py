# SPDX-License-Identifier: Apache-2.0
"""Tables as data frames: what the package below does; in a step, over what its broker opens."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import Any

import sluice

from .. import _lib
from ._errors import UserErrorException


class _Staged(sluice.Dataset):
    """Its files are fetched once, not opened one by one."""

    def _files(self) -> list[Any]:
        self._staged = view = self.as_download()  # stays while this does
        return [(x.path, os.path.join(view.where, x.path), x.size) for x in self.ls() if not x.is_dir]


class _Spark(sluice.Dataset):
    """The session of a step has the secrets of its inputs; the step itself may not get them."""

    def as_hdfs(self) -> Any:
        view = super().as_hdfs()
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            try:
                _lib.call("view_save", view._v, b"hadoop", _lib.text(os.path.join(folder, "core-site.xml")))
            except sluice.Error:
                view.properties.pop("secret_refs", None)
        return view


def _over(data: Any, kind: Any) -> Any:
    inside = data._ws._flags & _lib.OF_STEP
    return kind(data._ws, data.ref, data.record) if inside else data


def _made(data: Any, kind: Any, verb: str) -> Any:
    """What the definition asks for and the files do not have is an error of who asked."""
    try:
        return getattr(_over(data, kind), verb)()
    except sluice.Error as why:
        if why.errno != errno.EINVAL:
            raise
        raise UserErrorException(str(why)) from why


def to_pandas(data: Any) -> Any:
    return _made(data, _Staged, "to_pandas_dataframe")


def to_arrow(data: Any) -> Any:
    return _made(data, _Staged, "to_arrow")


def to_dask(data: Any) -> Any:
    """All rows, read now, in as many partitions as there are files."""
    try:
        import dask.dataframe as dd
    except ImportError as why:
        raise ImportError("to_dask_dataframe() needs Dask: pip install 'dask[dataframe]'") from why
    return dd.from_pandas(to_pandas(data), npartitions=max(1, data.files))


def to_spark(data: Any) -> Any:
    return _made(data, _Spark, "to_spark_dataframe")
