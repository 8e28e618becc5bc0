# SPDX-License-Identifier: Apache-2.0
"""python -m sluice.azureml [-m MODULE | SCRIPT] ARGUMENTS"""

from __future__ import annotations

import os
import runpy
import sys

from . import install

USAGE = "usage: python -m sluice.azureml SCRIPT [ARGUMENTS], or -m MODULE [ARGUMENTS]"


def main() -> None:
    arguments = sys.argv[1:]
    module = arguments[:1] == ["-m"]
    arguments = arguments[1:] if module else arguments
    if not arguments or (arguments[0].startswith("-") and not module):
        sys.exit(USAGE)
    install(force=True)
    sys.argv = arguments
    # as Python itself begins the path: the script's folder, or the current one
    sys.path[0] = os.getcwd() if module else os.path.dirname(os.path.abspath(arguments[0]))
    if module:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif not os.path.exists(arguments[0]):
        sys.exit(f"'{arguments[0]}' is not there; {USAGE}")
    else:
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
