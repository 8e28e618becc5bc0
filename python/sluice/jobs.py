# SPDX-License-Identifier: Apache-2.0
"""Runs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Callable

from . import _lib, errors
from ._html import grid, table

if TYPE_CHECKING:
    from .dataset import Dataset
    from .workspace import Workspace


class Run:
    """A run of a job or pipeline file.  What it shows is as of now, each time."""

    def __init__(self, ws: Workspace, run_id: str) -> None:
        self._ws, self.id = ws, run_id

    @property
    def record(self) -> dict[str, Any]:
        """Everything that is known of it."""
        return _lib.ask_dict("job_show", self._ws._handle, _lib.text(self.id))

    @property
    def status(self) -> str:
        return str(self.record["status"])

    @property
    def children(self) -> list[Run]:
        """The steps of a pipeline."""
        return [Run(self._ws, x["run"]) for x in self.record.get("children") or []]

    def output(self, name: str) -> Dataset:
        """What it wrote, as a dataset."""
        return self._ws.dataset(f"azureml://jobs/{self.id}/outputs/{name}")

    def wait(self, fn: Callable[[dict[str, Any]], Any] | None = None, output: bool = False) -> Run:
        """Until it has ended; raises sluice.Failed or sluice.Canceled when it did not complete.  fn gets each change, with
        output also what the programs print, as {"run", "step", "output"}."""

        def event(text: bytes) -> None:
            if fn:
                fn(json.loads(os.fsdecode(text)))

        callback = _lib.Callback(_lib.EventFn, event)
        name = "job_stream" if output else "job_watch"
        _lib.call_back(callback, name, self._ws._handle, _lib.text(self.id), callback.c, None)
        return self

    def report(self, path: str | os.PathLike[str] | None = None) -> str:
        """The run as one HTML page that needs nothing else; with a path it is written there."""
        html = _lib.ask("job_report", self._ws._handle, _lib.text(self.id))
        if path is not None:
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as f:
                f.write(html)
        return html

    def cancel(self) -> None:
        _lib.call("job_cancel", self._ws._handle, _lib.text(self.id))

    def rerun(self, *steps: str, name: str | None = None) -> Run:
        """Runs it again: of a pipeline these steps and those that need them, or those that did not complete; the others take
        what they wrote."""
        asked = {"steps": list(steps), "name": name}
        settings = json.dumps({k: v for k, v in asked.items() if v})
        return Run(self._ws, _lib.ask("job_rerun", self._ws._handle, _lib.text(self.id), _lib.text(settings)))

    def archive(self) -> None:
        """Leaves it out of lists."""
        _lib.call("job_archive", self._ws._handle, _lib.text(self.id))

    def restore(self) -> None:
        """Lists it again."""
        _lib.call("job_restore", self._ws._handle, _lib.text(self.id))

    def delete(self) -> None:
        """Removes its record, code and logs and those of its steps.  Data that it wrote stays."""
        _lib.call("job_delete", self._ws._handle, _lib.text(self.id))

    def download(
        self, directory: str | os.PathLike[str] | None = None, output: str | None = None, all: bool = False
    ) -> dict[str, Any]:
        """Fetches its logs, one named output, or all of it; what was fetched."""
        settings = json.dumps({"output": output, "all": all} if output else {"all": all})
        where = os.fspath(directory) if directory is not None else self.id
        return _lib.ask_dict(
            "job_download", self._ws._handle, _lib.text(self.id), _lib.text(where), _lib.text(settings)
        )

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def _repr_html_(self) -> str:
        try:
            record = self.record
        except errors.Error as why:
            return table({"run": self.id, "status": why})
        steps = [(x.get("step"), x["run"], x["status"]) for x in record.get("children") or []]
        about = {"run": self.id, **{k: record.get(k) for k in ("status", "reason", "created", "started", "ended")}}
        return table(about) + (grid(["step", "run", "status"], steps) if steps else "")
