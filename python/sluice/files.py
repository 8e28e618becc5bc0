# SPDX-License-Identifier: Apache-2.0
"""Objects as Python files."""

from __future__ import annotations

import ctypes
import errno
import io
import os
from ctypes import addressof, byref, c_char, c_size_t, c_ssize_t, c_uint64, c_void_p, py_object
from typing import IO, TYPE_CHECKING, Any

from . import _lib, errors

if TYPE_CHECKING:
    from types import TracebackType

    from .workspace import Workspace

BUFFER = 1 << 20  # bytes read at least, by what open() gives


# bytes that nobody else has yet, which a read fills in place.  The prototypes are ours: pythonapi's own functions are shared
# with whoever else gives them types.
_unwritten = ctypes.PYFUNCTYPE(py_object, c_void_p, c_ssize_t)(("PyBytes_FromStringAndSize", ctypes.pythonapi))
_address = ctypes.PYFUNCTYPE(c_void_p, py_object)(("PyBytes_AsString", ctypes.pythonapi))


class Reader(io.RawIOBase):
    """An object open for reading, pinned to the state it had then."""

    def __init__(self, ws: Workspace, ref: _lib.Ref) -> None:
        self._f: c_void_p | None = None  # first: what close() looks at
        self._ws, self.name = ws, os.fspath(ref)
        self._at = 0
        self._open()

    def _open(self) -> None:
        f, size = c_void_p(), c_uint64()
        _lib.call("file_open", self._ws._handle, _lib.text(self.name), byref(f), byref(size))
        self._f, self._pid, self.size = f, os.getpid(), size.value
        self._identity: bytes = _lib.lib().sluice_file_identity(f)

    def _usable(self) -> None:
        """After a fork the file is opened again, and has to be the one that it was."""
        if self._f is None:
            raise ValueError("I/O operation on closed file")
        if self._pid == os.getpid():
            return
        pid, was = self._pid, (self._identity, self.size)
        self._open()
        if (self._identity, self.size) != was:
            _lib.lib().sluice_file_close(self._f)
            self._pid, (self._identity, self.size) = pid, was  # so that the next read is told, too
            message = f"'{self.name}' changed while it was open: open it again in this process"
            raise errors.make(errno.ESTALE, message)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def pread(self, n: int, offset: int) -> bytes:
        """At most n bytes from there; fewer only at the end.  Many threads may do so at once."""
        self._usable()
        data: bytes = _unwritten(None, max(min(n, self.size - offset), 0))
        got = self._pread_to(_address(data), len(data), offset)
        return data if got == len(data) else data[:got]

    def _pread_to(self, address: int, n: int, offset: int) -> int:
        if not n:
            return 0
        got = c_size_t()
        _lib.call("file_pread", self._f, address, n, offset, byref(got))
        return got.value

    def readinto(self, buffer: Any) -> int:
        self._usable()
        with memoryview(buffer) as view, view.cast("B") as data:
            n = min(len(data), max(self.size - self._at, 0))
            got = self._pread_to(addressof(c_char.from_buffer(data)), n, self._at) if n else 0
        self._at += got
        return got

    def readall(self) -> bytes:
        data = self.pread(self.size - self._at, self._at)
        self._at += len(data)
        return data

    def close(self) -> None:
        if self._f is not None and self._pid == os.getpid():
            _lib.lib().sluice_file_close(self._f)
        self._f = None
        super().close()


class Writer(io.RawIOBase):
    """An object that is being written: it appears whole at close(), or, after an exception, not at all."""

    def __init__(self, ws: Workspace, ref: _lib.Ref, *, overwrite: bool = True) -> None:
        self._w: c_void_p | None = None
        self._ws, self.name, self._n = ws, os.fspath(ref), 0
        w = c_void_p()
        flags = _lib.OVERWRITE if overwrite else 0
        _lib.call("writer_open", ws._handle, _lib.text(self.name), flags, byref(w))
        self._w, self._pid = w, os.getpid()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._n

    def write(self, data: Any) -> int:
        if self._w is None:
            raise ValueError("I/O operation on closed file")
        if self._pid != os.getpid():
            raise errors.make(errno.EBADF, f"'{self.name}' is written by the process that opened it")
        with memoryview(data) as view, view.cast("B") as octets:
            n = len(octets)
            # read-only memory has no address that ctypes gives; bytes do as they are
            source: Any = bytes(octets) if octets.readonly else (c_char * n).from_buffer(octets)
            try:
                _lib.call("writer_write", self._w, source, n)
            except BaseException:
                self.discard()
                raise
        self._n += n
        return n

    def discard(self) -> None:
        """Nothing was written."""
        w, self._w = self._w, None
        if w is not None and self._pid == os.getpid():
            _lib.lib().sluice_writer_free(w)

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self._w is not None and self._pid == os.getpid():
                _lib.call("writer_commit", self._w)
        finally:
            self.discard()
            super().close()

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None = None, at: TracebackType | None = None
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        # a file that nobody closed is none that anybody meant to be whole
        self.discard()


class _BufferedWriter(io.BufferedWriter):
    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None = None, at: TracebackType | None = None
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def discard(self) -> None:
        """Nothing was written, and what is buffered goes nowhere."""
        raw: Any = self.raw
        raw.discard()
        raw.write = len
        raw.close()

    def __del__(self) -> None:
        # what its block did not close is not what anybody meant to be whole
        if not self.closed:
            self.discard()


class _TextWriter(io.TextIOWrapper):
    def _discard(self) -> None:
        binary: Any = self.buffer
        binary.discard()

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None = None, at: TracebackType | None = None
    ) -> None:
        if kind is not None:
            self._discard()
        self.close()

    def __del__(self) -> None:
        if not self.closed:
            self._discard()


def opened(ws: Workspace, ref: _lib.Ref, mode: str = "rb", **text: Any) -> IO[Any]:
    kind = mode.replace("t", "").replace("b", "")
    if kind not in ("r", "w", "x") or ("b" in mode and ("t" in mode or text)):
        raise ValueError(f"mode {mode!r} is not one of r, w, x, with b for bytes")
    if kind == "r":
        read = io.BufferedReader(Reader(ws, ref), BUFFER)
        return read if "b" in mode else io.TextIOWrapper(read, **text)
    written = _BufferedWriter(Writer(ws, ref, overwrite=kind == "w"), BUFFER)
    return written if "b" in mode else _TextWriter(written, **text)
