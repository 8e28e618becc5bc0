# SPDX-License-Identifier: Apache-2.0
"""Progress of long calls: a function of the caller's, or a bar, in a notebook as well as in a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from . import _lib

OFTEN = 0.1  # s: no bar is drawn again sooner


class Progress(NamedTuple):
    """How far it is.  The totals are 0 as long as nobody knows them."""

    files: int
    files_total: int
    bytes: int
    bytes_total: int


class Bar:
    """What is shown of it."""

    def __init__(self, what: str) -> None:
        self.what, self.now, self.drawn = what, Progress(0, 0, 0, 0), -OFTEN
        self.handle = _notebook(self)

    def __call__(self, p: Any) -> None:
        self.now = p
        if time.monotonic() - self.drawn >= OFTEN:
            self.draw()

    def draw(self) -> None:
        self.drawn = time.monotonic()
        if self.handle:
            self.handle.update(self)
        else:
            print(f"\r{self}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        self.draw()
        if not self.handle:
            print(file=sys.stderr)

    def __str__(self) -> str:
        p = self.now
        share = f"{100 * p.bytes // p.bytes_total:3d}%" if p.bytes_total else "    "
        files = f"{p.files:,}/{p.files_total:,}" if p.files_total else f"{p.files:,}"
        return f"{self.what} {share} {files} files, {p.bytes / 1e6:,.1f} MB"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        p = self.now
        how = f"value='{p.bytes}' max='{p.bytes_total}'" if p.bytes_total else ""
        return f"<progress {how}></progress> {escape(str(self))}"


def _notebook(bar: Any) -> Any:
    """The place in a notebook, None in a terminal."""
    shell = sys.modules.get("IPython")
    shell = shell and shell.get_ipython()
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display(bar, display_id=True)


@contextlib.contextmanager
def shown(progress: Any, what: str) -> Iterator[Any]:
    """progress: None, a function of a Progress, or True for a bar.  Gives the callback for C, or None.  Interrupts
    reach a call only by its callback, so there is always one."""
    bar = None
    if progress is True:
        progress = bar = Bar(what)

    def tell(p: Any) -> None:
        if progress:
            p = p.contents
            progress(Progress(p.files, p.files_total, p.bytes, p.bytes_total))

    try:
        yield _lib.Callback(_lib.ProgressFn, tell)
    finally:
        if bar:
            bar.close()
