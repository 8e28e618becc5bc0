# SPDX-License-Identifier: Apache-2.0
"""The library through ctypes: include/sluice.h, as far as the package needs it.  ctypes gives the GIL away for
each call.  Nothing here decides anything."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Sequence
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any, NoReturn, Union

from . import errors

Ref = Union[str, "os.PathLike[str]"]

OPTIONAL, OF_STEP = 1, 2
RECURSIVE, OVERWRITE, NO_SYNC, DRY_RUN, UPDATE, SKIP = 1, 2, 4, 8, 16, 32
NO_SUPERVISOR, REHASH, NO_PROBE = 64, 128, 1024
POLICIES = {"fail": 0, "conflict": 1, "merge": 2, "append": 3, "replace": 4}


class ErrorStruct(ctypes.Structure):
    _fields_ = [("code", c_int), ("service", ctypes.c_char * 40), ("message", ctypes.c_char * 640)]


class Entry(ctypes.Structure):
    _fields_ = [("path", c_char_p), ("is_dir", c_int), ("size", c_uint64), ("mtime_ns", c_int64),
                ("identity", c_char_p), ("detail", c_char_p)]  # fmt: skip


class Progress(ctypes.Structure):
    _fields_ = [(x, c_uint64) for x in ("files", "files_total", "bytes", "bytes_total")]


EntryFn = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(Entry))
ProgressFn = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(Progress))
FileFn = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_char_p, c_uint64, POINTER(ErrorStruct))
EventFn = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p)
PathFn = ctypes.CFUNCTYPE(c_void_p, c_void_p)


class Difference(ctypes.Structure):
    _fields_ = [("what", c_int), ("path", c_char_p), ("before", c_uint64), ("after", c_uint64)]


DifferenceFn = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(Difference))


class DifferenceTotals(ctypes.Structure):
    _fields_ = [(x, c_uint64) for x in ("same", "added", "removed", "changed")]


class CopyTotals(ctypes.Structure):
    _fields_ = [(x, c_uint64) for x in ("files", "bytes", "skipped", "failed")]


class CopyOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("flags", c_uint), ("jobs", c_uint), ("check", c_int),
                ("properties_json", c_char_p), ("progress", ProgressFn), ("file", FileFn), ("user", c_void_p),
                ("include", POINTER(c_char_p)), ("exclude", POINTER(c_char_p)),
                ("totals", POINTER(CopyTotals))]  # fmt: skip


class RemoveOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("flags", c_uint), ("include", POINTER(c_char_p)), ("exclude", POINTER(c_char_p)),
                ("file", FileFn), ("user", c_void_p)]  # fmt: skip


class DownloadTotals(ctypes.Structure):
    _fields_ = [(x, c_uint64) for x in ("files", "bytes", "resumed", "there", "kept", "missing", "failed", "cloned")]


class ViewOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("flags", c_uint), ("jobs", c_uint), ("allow_other", c_int),
                ("io_timeout_ns", c_int64), ("manifest", c_char_p), ("progress", ProgressFn), ("user", c_void_p),
                ("log", c_char_p), ("check", c_int), ("settings", POINTER(c_char_p)), ("policy", c_int),
                ("file", FileFn), ("totals", POINTER(DownloadTotals))]  # fmt: skip


def _find() -> str:
    """$SLUICE_LIBRARY, the one in the package, the installed one.  The program in the package serves mounts and runs."""
    here = Path(__file__).parent
    program = here / "bin" / "sluice"
    if program.exists():
        os.environ.setdefault("SLUICE_PROGRAM", str(program))
    named = os.environ.get("SLUICE_LIBRARY")
    inside = here / "libsluice.so.0"
    return named or (str(inside) if inside.exists() else "libsluice.so.0")


E = POINTER(ErrorStruct)
S = c_void_p
TEXT = POINTER(c_void_p)  # char **ret
_PROTOTYPES = {
    "free": (None, c_void_p),
    "version": (c_char_p,),
    "init": (c_int, c_char_p, c_char_p, TEXT, E),
    "open": (c_int, c_char_p, c_uint, POINTER(S), E),
    "close": (None, S),
    "workspace": (c_int, S, TEXT, E),
    "datastore_create": (c_int, S, c_char_p, c_char_p, c_uint, E),
    "datastore_update": (c_int, S, c_char_p, c_char_p, c_uint, E),
    "datastore_set_default": (c_int, S, c_char_p, E),
    "datastore_unregister": (c_int, S, c_char_p, E),
    "datastore_test": (c_int, S, c_char_p, TEXT, E),
    "datastore_list": (c_int, S, TEXT, E),
    "datastore_show": (c_int, S, c_char_p, TEXT, E),
    "list": (c_int, S, c_char_p, c_uint, EntryFn, c_void_p, E),
    "stat": (c_int, S, c_char_p, EntryFn, c_void_p, E),
    "file_open": (c_int, S, c_char_p, POINTER(c_void_p), POINTER(c_uint64), E),
    "file_pread": (c_int, c_void_p, c_void_p, c_size_t, c_uint64, POINTER(c_size_t), E),
    "file_identity": (c_char_p, c_void_p),
    "file_close": (None, c_void_p),
    "writer_open": (c_int, S, c_char_p, c_uint, POINTER(c_void_p), E),
    "writer_write": (c_int, c_void_p, c_void_p, c_size_t, E),
    "writer_commit": (c_int, c_void_p, E),
    "writer_free": (None, c_void_p),
    "copy": (c_int, S, POINTER(c_char_p), c_size_t, c_char_p, POINTER(CopyOptions), E),
    "move": (c_int, S, c_char_p, c_char_p, c_uint, E),
    "mkdir": (c_int, S, c_char_p, E),
    "remove": (c_int, S, c_char_p, POINTER(RemoveOptions), E),
    "data_create": (c_int, S, c_char_p, TEXT, E),
    "data_show": (c_int, S, c_char_p, TEXT, E),
    "data_save": (c_int, S, c_char_p, TEXT, E),
    "data_search": (c_int, S, c_char_p, TEXT, E),
    "data_update": (c_int, S, c_char_p, c_char_p, TEXT, E),
    "data_manifest": (c_int, S, c_char_p, TEXT, E),
    "data_lineage": (c_int, S, c_char_p, TEXT, E),
    "data_history": (c_int, S, c_char_p, TEXT, E),
    "data_used_by": (c_int, S, c_char_p, TEXT, E),
    "data_preview": (c_int, S, c_char_p, c_uint64, TEXT, E),
    "data_schema": (c_int, S, c_char_p, TEXT, E),
    "data_register": (c_int, S, c_char_p, TEXT, E),
    "data_partitions": (c_int, S, c_char_p, c_char_p, POINTER(c_char_p), EventFn, c_void_p, E),
    "data_diff": (c_int, S, c_char_p, c_char_p, DifferenceFn, c_void_p, POINTER(DifferenceTotals), E),
    "data_verify": (c_int, S, c_char_p, DifferenceFn, c_void_p, POINTER(DifferenceTotals), E),
    "data_pin": (c_int, S, c_char_p, TEXT, E),
    "data_freeze": (c_int, S, c_char_p, c_char_p, ProgressFn, c_void_p, TEXT, E),
    "view_save": (c_int, c_void_p, c_char_p, c_char_p, E),
    "download": (c_int, S, c_char_p, c_char_p, POINTER(ViewOptions), POINTER(c_void_p), E),
    "plan": (c_int, S, c_char_p, c_char_p, POINTER(ViewOptions), TEXT, E),
    "verify": (c_int, S, c_char_p, c_char_p, POINTER(ViewOptions), TEXT, E),
    "mount": (c_int, S, c_char_p, c_char_p, POINTER(ViewOptions), POINTER(c_void_p), E),
    "hdfs": (c_int, S, c_char_p, POINTER(c_void_p), E),
    "view_where": (c_char_p, c_void_p),
    "view_properties": (c_char_p, c_void_p),
    "view_close": (c_int, c_void_p, E),
    "view_free": (None, c_void_p),
    "unmount": (c_int, c_char_p, c_int64, E),
    "mount_stats": (c_int, c_char_p, c_char_p, TEXT, E),
    "mount_prefetch": (c_int, c_char_p, PathFn, c_void_p, TEXT, E),
    "job_create": (c_int, S, c_char_p, c_char_p, TEXT, E),
    "job_show": (c_int, S, c_char_p, TEXT, E),
    "job_report": (c_int, S, c_char_p, TEXT, E),
    "job_list": (c_int, S, TEXT, E),
    "compute_create": (c_int, S, c_char_p, c_char_p, c_uint, E),
    "compute_detach": (c_int, S, c_char_p, E),
    "compute_delete": (c_int, S, c_char_p, E),
    "compute_wait": (c_int, S, c_char_p, c_uint64, EventFn, c_void_p, E),
    "linked_service_create": (c_int, S, c_char_p, c_char_p, c_uint, E),
    "linked_service_list": (c_int, S, TEXT, E),
    "linked_service_show": (c_int, S, c_char_p, TEXT, E),
    "linked_service_unregister": (c_int, S, c_char_p, E),
    "job_watch": (c_int, S, c_char_p, EventFn, c_void_p, E),
    "job_stream": (c_int, S, c_char_p, EventFn, c_void_p, E),
    "job_cancel": (c_int, S, c_char_p, E),
    "job_rerun": (c_int, S, c_char_p, c_char_p, TEXT, E),
    "job_search": (c_int, S, c_char_p, TEXT, E),
    "job_archive": (c_int, S, c_char_p, E),
    "job_restore": (c_int, S, c_char_p, E),
    "job_delete": (c_int, S, c_char_p, E),
    "job_download": (c_int, S, c_char_p, c_char_p, c_char_p, TEXT, E),
}


def _load() -> Any:
    path = _find()
    try:
        lib = ctypes.CDLL(path)
    except OSError as why:
        raise ImportError(
            f"the library '{path}' cannot be loaded: install sluice, or set SLUICE_LIBRARY ({why})"
        ) from why
    for name, (result, *arguments) in _PROTOTYPES.items():
        try:
            f = getattr(lib, f"sluice_{name}")
        except AttributeError as why:
            raise ImportError(f"the library '{path}' is older than this package: it has no sluice_{name}()") from why
        f.restype, f.argtypes = result, arguments
    return lib


_loaded = None


def lib() -> Any:
    global _loaded
    if _loaded is None:
        _loaded = _load()
    return _loaded


def text(s: Ref | None) -> bytes | None:
    """A str or path as the library takes it."""
    return None if s is None else os.fsencode(s)


# remedies that the library says in words of the command
_REMEDIES = {
    "give --overwrite, --update or --no-clobber": "say overwrite=True or update=True",
    "remove it, or give --overwrite": "remove it, or say policy='merge'",
    "choose an empty folder, or give --overwrite": "choose an empty folder, or say policy='merge'",
    "--policy=fail_on_file_conflict": "policy='conflict'",
    "give --overwrite to replace it": "it is replaced with overwrite=True, or by mode 'w' of open()",
    "(data create without --no-new-version, data register with --create-new-version)": "(create_new_version=True)",
}


def fail(rc: int, error: ErrorStruct) -> NoReturn:
    message = os.fsdecode(error.message)
    for command, python in _REMEDIES.items():
        message = message.replace(command, python)
    raise errors.make(error.code or -rc, message, os.fsdecode(error.service))


def call(name: str, *arguments: Any) -> int:
    """The result, 0 or above; a failure is raised."""
    error = ErrorStruct()
    rc: int = getattr(lib(), f"sluice_{name}")(*arguments, ctypes.byref(error))
    if rc < 0:
        fail(rc, error)
    return rc


def ask(name: str, *arguments: Any) -> str:
    """The text that a call gives."""
    ret = c_void_p()
    call(name, *arguments, ctypes.byref(ret))
    try:
        return os.fsdecode(ctypes.string_at(ret)) if ret else ""
    finally:
        lib().sluice_free(ret)


def ask_json(name: str, *arguments: Any) -> Any:
    return json.loads(ask(name, *arguments))


def ask_dict(name: str, *arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = ask_json(name, *arguments)
    return found


def ask_list(name: str, *arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask_json(name, *arguments)
    return found


def strings(items: Sequence[Ref] | None) -> Any:
    """NULL-ended, or NULL."""
    if not items:
        return None
    return (c_char_p * (len(items) + 1))(*[text(x) for x in items], None)


class Callback:
    """A Python function that C calls: what it raises is kept, ends the call, and is raised by the caller."""

    def __init__(self, kind: Any, fn: Callable[..., Any]) -> None:
        self.raised: BaseException | None = None
        self.c = kind(lambda _user, *arguments: self.run(fn, arguments))

    def run(self, fn: Any, arguments: Any) -> Any:
        try:
            return fn(*arguments) or 0
        except BaseException as why:  # an interrupt, too, has to come out of the C call first
            self.raised = why
            return 1

    def check(self) -> None:
        if self.raised is not None:
            raise self.raised


def call_back(callback: Callback | None, name: str, *arguments: Any) -> int:
    """call(), whose callback may have raised."""
    try:
        rc = call(name, *arguments)
    except errors.Error as why:
        if callback is None or callback.raised is None:
            raise
        raise callback.raised from why
    if callback is not None:
        callback.check()
    return rc
