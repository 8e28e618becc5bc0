# SPDX-License-Identifier: Apache-2.0
"""The exceptions of azureml.exceptions, and the one for what is not here."""

from __future__ import annotations

import difflib
from typing import Any


class NotHere(ImportError):
    """A name of Azure ML's SDK that is not here."""


class AzureMLException(Exception):
    """What goes wrong, as Azure ML's SDK names it."""

    @property
    def message(self) -> str:
        return str(self)


class UserErrorException(AzureMLException):
    """What was asked for makes no sense."""


class WorkspaceException(AzureMLException):
    """No such workspace, or no such part of it."""


class ProjectSystemException(AzureMLException):
    """Of the workspace's files."""


class ComputeTargetException(AzureMLException):
    """No such compute target, or not one of that kind."""


class ActivityFailedException(AzureMLException):
    """A run that did not complete."""


class ExperimentExecutionException(AzureMLException):
    """A run that could not be submitted."""


class RunEnvironmentException(AzureMLException):
    """This is not inside a run."""


class AuthenticationException(AzureMLException):
    """Not let in."""


class ServiceException(AzureMLException):
    """Of a service, of which there is none here: nothing raises it."""


class TrainingException(AzureMLException):
    """Of training, which is not here: nothing raises it."""


class DatasetValidationError(UserErrorException):
    """A dataset without its data."""


class DatasetExecutionError(UserErrorException):
    """A dataset that cannot be read."""


def missing(what: str, known: Any) -> str:
    """The line for a name that is not here."""
    near = difflib.get_close_matches(what.rsplit(".", 1)[-1], known, 1)
    hint = f" (is '{near[0]}' meant?)" if near else ""
    return f"'{what}' of Azure ML's SDK is not in sluice{hint}; docs/azureml.md lists what is"


class _NamedKind(type):
    """Names what is asked of a class and not there."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(missing(f"{cls.__name__}.{name}", dir(cls)))


class Named(metaclass=_NamedKind):
    """A base that names what its classes have not."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        kind = type(self)
        raise AttributeError(missing(f"{kind.__name__}.{name}", dir(kind)))
