# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, as exceptions: the library's one line, its errno, and the service's own code."""

from __future__ import annotations

import errno as _errno


class Error(OSError):
    """A failure, with the line that names the object and the remedy.

    `errno` is the errno value and `service` the store's own error code, or "".  Failures that Python has a class
    for are of that class, too: `except FileNotFoundError` works.
    """

    service = ""

    def __str__(self) -> str:
        return str(self.strerror)


class NotFound(Error, FileNotFoundError):
    """There is no such object, dataset, version or run."""


class Exists(Error, FileExistsError):
    """It is there already, and was not to be replaced."""


class Denied(Error, PermissionError):
    """The store or the system refuses."""


class IsFolder(Error, IsADirectoryError):
    """It is a folder, where a file is wanted."""


class NotFolder(Error, NotADirectoryError):
    """It is a file, where a folder is wanted."""


class Late(Error, TimeoutError):
    """No answer within the time limit."""


class Changed(Error):
    """What was pinned is not what the store has now (ESTALE)."""


class Canceled(Error):
    """Ended because the caller wanted it."""


class Failed(Error):
    """A run that failed."""


_CLASSES = {
    _errno.ENOENT: NotFound,
    _errno.EEXIST: Exists,
    _errno.EACCES: Denied,
    _errno.EPERM: Denied,
    _errno.EISDIR: IsFolder,
    _errno.ENOTDIR: NotFolder,
    _errno.ETIMEDOUT: Late,
    _errno.ESTALE: Changed,
    _errno.ECANCELED: Canceled,
    _errno.ECHILD: Failed,
}


def make(code: int, message: str, service: str = "") -> Error:
    """The exception for an errno value."""
    error = _CLASSES.get(code, Error)(code, message)
    error.service = service
    return error
