# SPDX-License-Identifier: Apache-2.0
"""The names of Azure ML's Python SDK, version 1, over sluice: programs written for it run here unchanged.

`python -m sluice.azureml script.py ...` runs a script that way; `install()` does it from inside a program.  The steps
of a job that such a program submits find the names, too.  The table of names is docs/azureml.md.

>>> import sluice, sluice.azureml
>>> sluice.azureml.install()
True
>>> _ = sluice.Workspace.init("demo")
>>> from azureml.core import Dataset, Workspace
>>> ws = Workspace.from_config("demo")
>>> store = ws.get_default_datastore()
>>> store.name
'workspaceblobstore'
>>> with ws.sluice.open("workspaceblobstore:raw/a.csv", "wb") as f:
...     _ = f.write(b"x,y")
>>> raw = Dataset.File.from_files((store, "raw")).register(ws, "raw")
>>> raw.version, raw.to_path()
(1, ['/a.csv'])
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from ._errors import NotHere
from ._names import Names

__all__ = ["VERSION", "NotHere", "install"]

VERSION = "1.61.0"  # the release of azureml-core whose names these are


def _there() -> Any:
    """Is the SDK itself installed?"""
    if "azureml.core" in sys.modules:
        return not isinstance(sys.modules["azureml.core"].__loader__, Names)
    try:
        return importlib.util.find_spec("azureml.core") is not None
    except ImportError:
        return False


def install(*, force: bool = False) -> bool:
    """Makes `import azureml` find the names here.  False: the SDK itself is installed and stays what is found; with
    `force` the names here come first."""
    if any(isinstance(x, Names) for x in sys.meta_path):
        return True
    if _there():
        if not force:
            return False
        for name in [x for x in sys.modules if x.split(".")[0] == "azureml"]:
            del sys.modules[name]
    sys.meta_path.insert(0, Names())
    return True
