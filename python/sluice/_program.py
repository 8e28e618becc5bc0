# SPDX-License-Identifier: Apache-2.0
"""The command of a wheel: the program that is in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    program = str(Path(__file__).parent / "bin" / "sluice")
    os.execv(program, [program, *sys.argv[1:]])
