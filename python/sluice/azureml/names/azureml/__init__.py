# SPDX-License-Identifier: Apache-2.0
"""What the steps of a job find as `azureml`: the folder above is in their PYTHONPATH, and nothing else of where the
package is installed, so that a step's own environment is what it imports everything else from."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("sluice") is None:
    _home = Path(__file__).resolve().parents[3]
    _spec = importlib.util.spec_from_file_location(
        "sluice", _home / "__init__.py", submodule_search_locations=[str(_home)]
    )
    assert _spec and _spec.loader
    _module = sys.modules["sluice"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)

from sluice.azureml._names import Names  # noqa: E402

sys.meta_path.insert(0, Names())
__path__ = []
