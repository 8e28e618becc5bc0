# SPDX-License-Identifier: Apache-2.0
"""The C library as another program sees it, through its header's promises (by ctypes)."""

import ctypes
import os
from pathlib import Path

import pytest
from conftest import RUNG, is_mount, needs_fuse

LIBRARY = Path(os.environ.get("SLUICE_BUILD", "/nonexistent")) / ".libs/libsluice.so"

pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason=f"{LIBRARY} is not built"),
    pytest.mark.skipif(RUNG != "scenario", reason="a sanitized library cannot be loaded into Python"),
]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("service", ctypes.c_char * 40), ("message", ctypes.c_char * 640)]


@pytest.fixture
def lib():
    loaded = ctypes.CDLL(str(LIBRARY))
    loaded.sluice_view_where.restype = ctypes.c_char_p
    return loaded


@pytest.fixture
def opened(lib, ws):
    s, e = ctypes.c_void_p(), Error()
    assert lib.sluice_open(str(ws.config).encode(), 0, ctypes.byref(s), ctypes.byref(e)) == 0, e.message
    yield s
    lib.sluice_close(s)


@needs_fuse
@pytest.mark.parametrize("close", [True, False])
def test_closing_a_mount_unmounts_and_freeing_it_does_not(lib, ws, opened, close):
    ws.put("in/f", "bytes")
    point = ws.cwd / "mnt"
    v, e = ctypes.c_void_p(), Error()
    ref = ws.ref("in").encode()
    assert lib.sluice_mount(opened, ref, str(point).encode(), None, ctypes.byref(v), ctypes.byref(e)) == 0, e.message
    assert lib.sluice_view_where(v).decode() == str(point) and (point / "f").read_text() == "bytes"
    if close:
        assert lib.sluice_view_close(v, ctypes.byref(e)) == 0, e.message
        assert lib.sluice_view_close(v, ctypes.byref(e)) == 0, "it may be closed again"
    lib.sluice_view_free(v)
    assert is_mount(point) != close
    if not close:
        ws.run("unmount", point)


def test_an_error_says_what_and_why(lib, ws, opened):
    v, e = ctypes.c_void_p(), Error()
    r = lib.sluice_download(opened, b"nosuch@1", str(ws.cwd / "out").encode(), None, ctypes.byref(v), ctypes.byref(e))
    assert r == -e.code and b"nosuch" in e.message and not v.value
    assert lib.sluice_exit_code(r) == 3
