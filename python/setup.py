# SPDX-License-Identifier: Apache-2.0
"""Beside pyproject.toml: with the library and the program inside (tools/dev wheel) the package is of one platform;
without them it uses what is installed."""

import atexit
import shutil
import tempfile
from pathlib import Path

from setuptools import Distribution, setup

INSIDE = (Path(__file__).parent / "sluice" / "bin" / "sluice").exists()


class Binary(Distribution):
    def has_ext_modules(self):
        return INSIDE


def commands():
    if not INSIDE:
        return {}
    from setuptools.command.bdist_wheel import bdist_wheel

    class AnyPython(bdist_wheel):
        def get_tag(self):
            return "py3", "none", super().get_tag()[2]

    return {"bdist_wheel": AnyPython}


# a build in the tree would be found again by the next one, and committed by somebody
WORK = tempfile.mkdtemp(prefix="sluice-build-")
atexit.register(shutil.rmtree, WORK, True)

setup(
    distclass=Binary,
    cmdclass=commands(),
    options={"build": {"build_base": WORK}, "egg_info": {"egg_base": WORK}},
)
