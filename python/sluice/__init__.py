# SPDX-License-Identifier: Apache-2.0
"""Data lakes opened onto compute nodes: datastores, datasets and the views of them, over libsluice.

>>> import sluice
>>> ws = sluice.Workspace.init("demo")
>>> ws.write("workspaceblobstore:raw/a.csv", b"x,y")
>>> data = ws.register("raw", "workspaceblobstore:raw/")
>>> data.open("a.csv").read()
b'x,y'
"""

from ._version import VERSION as __version__
from .dataset import Dataset, Differences, View
from .datastore import Datastore
from .errors import Canceled, Changed, Denied, Error, Exists, Failed, IsFolder, Late, NotFolder, NotFound
from .jobs import Run
from .progress import Progress
from .workspace import Entry, Workspace

__all__ = [
    "Canceled",
    "Changed",
    "Dataset",
    "Datastore",
    "Denied",
    "Differences",
    "Entry",
    "Error",
    "Exists",
    "Failed",
    "IsFolder",
    "Late",
    "NotFolder",
    "NotFound",
    "Progress",
    "Run",
    "View",
    "Workspace",
    "__version__",
]
