# SPDX-License-Identifier: Apache-2.0
"""Environments that programs registered: files in the folder of the workspace, one a version, which never change."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._errors import UserErrorException

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def _folder(workspace: Any) -> Path:
    return Path(workspace._info["directory"], ".sluice", "environments")


def _versions(folder: Path) -> list[int]:
    return sorted(int(x.stem) for x in folder.glob("*.json") if x.stem.isdigit())


def names(workspace: Any) -> list[str]:
    return sorted(x.name for x in _folder(workspace).glob("*") if _versions(x))


def load(workspace: Any, name: str, version: Any = None) -> dict[str, Any] | None:
    """The record of a version, without one of the newest; None: there is none of that name."""
    folder = _folder(workspace) / name
    found = _versions(folder) if _NAME.fullmatch(name or "") else []
    if not found:
        return None
    if version is not None and str(version) not in map(str, found):
        raise UserErrorException(f"environment '{name}' has no version {version}; it has: {', '.join(map(str, found))}")
    number = str(version or found[-1])
    record: dict[str, Any] = json.loads((folder / f"{number}.json").read_text())
    path = record["file"] and str(folder / record["file"])
    return {**record, "version": number, "path": path}


def keep(workspace: Any, name: str, record: dict[str, Any], text: str | None) -> str:
    """As the next version, unless it is what the newest one is; which that is.  text: of a conda file."""
    if not _NAME.fullmatch(name or ""):
        raise UserErrorException(f"'{name}' is no name of an environment: use letters, digits, '_', '.', '-'")
    folder = _folder(workspace) / name
    folder.mkdir(parents=True, exist_ok=True)
    record = {**record, "file": None}
    if text is not None:  # before what leads to it
        record["file"] = hashlib.sha256(text.encode()).hexdigest()[:16] + ".yml"
        _put(folder / record["file"], text, os.replace)
    while True:
        last = load(workspace, name)
        if last is not None and all(last[k] == v for k, v in record.items()):
            return str(last["version"])
        number = int(last["version"]) + 1 if last else 1
        with contextlib.suppress(FileExistsError):  # somebody else made it meanwhile
            _put(folder / f"{number}.json", json.dumps(record), os.link)
            return str(number)


def _put(path: Path, text: str, appear: Callable[[str, Path], None]) -> None:
    """It appears whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with open(handle, "w") as f:
            f.write(text)
        appear(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
