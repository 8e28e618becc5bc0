# SPDX-License-Identifier: Apache-2.0
"""Datastores: the places that a workspace knows by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from . import _lib
from ._html import table

if TYPE_CHECKING:
    from .workspace import Entry, Workspace


class Datastore(Mapping[str, Any]):
    """An entry of a workspace, without secrets: `store["type"]`, and what can be done with it.

    >>> import sluice
    >>> ws = sluice.Workspace.init("demo")
    >>> store = ws.datastore()
    >>> store.name, store["type"], store.ref("raw/a.csv")
    ('workspaceblobstore', 'local', 'workspaceblobstore:raw/a.csv')
    >>> [x["right"] for x in store.test() if x["allowed"] != "yes"]
    []
    """

    def __init__(self, ws: Workspace, entry: dict[str, Any]) -> None:
        self._ws, self._entry = ws, entry

    @property
    def name(self) -> str:
        return str(self._entry["name"])

    @property
    def type(self) -> str:
        return str(self._entry["type"])

    @property
    def default(self) -> bool:
        """Is it the one of the workspace?"""
        return bool(self._entry.get("default"))

    def __getitem__(self, key: str) -> Any:
        return self._entry[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entry)

    def __len__(self) -> int:
        return len(self._entry)

    def ref(self, path: str = "") -> str:
        """A path in it as a reference; wildcards are wildcards."""
        return f"{self.name}:{path}"

    def ls(self, path: str = "", *, recursive: bool = False) -> Iterator[Entry]:
        return self._ws.ls(self.ref(path), recursive=recursive)

    def open(self, path: str, mode: str = "rb", **text: Any) -> IO[Any]:
        return self._ws.open(self.ref(path), mode, **text)

    def test(self) -> list[dict[str, Any]]:
        """What may be done there, by trying: `[{"right", "allowed": "yes"|"no"|"unknown", "detail"}]`."""
        return _lib.ask_list("datastore_test", self._ws._handle, _lib.text(self.name))

    def update(self, **changes: Any) -> Datastore:
        """Sets keys of the entry; None removes one.  The type stays."""
        text = _lib.text(json.dumps(changes))
        _lib.call("datastore_update", self._ws._handle, _lib.text(self.name), text, 0)
        self._ws._renew()
        return self._ws.datastore(self.name)

    def set_default(self) -> None:
        _lib.call("datastore_set_default", self._ws._handle, _lib.text(self.name))
        self._ws._renew()

    def unregister(self) -> None:
        """Forgets it; no data is touched."""
        _lib.call("datastore_unregister", self._ws._handle, _lib.text(self.name))
        self._ws._renew()

    def __repr__(self) -> str:
        return f"Datastore({self.name!r}, type={self.type!r})"

    def _repr_html_(self) -> str:
        return table(self._entry)
