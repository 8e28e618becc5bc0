# SPDX-License-Identifier: Apache-2.0
"""The text of a file as UTF-8, piece by piece, each ending with a line."""

from __future__ import annotations

import codecs
import errno
from collections.abc import Iterator
from typing import Any

from . import errors

PIECE = 32 << 20  # bytes of a file
RECORD_MAX = 16 << 20  # of a line: what is longer is no text that people keep in lines
_CODECS = {
    "utf8": "utf-8", "utf8bom": "utf-8", "ascii": "ascii", "latin1": "latin-1", "iso88591": "latin-1",
    "windows1252": "cp1252", "utf16": "utf-16", "utf32": "utf-32",
}  # fmt: skip


def bad_text(file: Any, encoding: Any, why: Any) -> Any:
    message = (
        f"'{file}' is no text in {encoding} ({why.reason} at byte {why.start}): say its encoding in the definition"
    )
    return errors.make(errno.EILSEQ, message)


def pieces(f: Any, file: Any, encoding: Any, whole: Any) -> Iterator[Any]:
    """whole: in one piece, whatever it is.  Gives at least one, which may be empty."""
    decoder = None
    if _CODECS[encoding] != "utf-8":
        decoder = codecs.getincrementaldecoder(_CODECS[encoding])()
    size, at, rest, first = f.size, 0, b"", True
    while True:
        n = size - at if whole else min(PIECE, size - at)
        data = f.pread(n, at)
        at += len(data)
        end = at >= size or not data
        if decoder:
            data = _decoded(decoder, data, end, file, encoding)
        if first and data.startswith(codecs.BOM_UTF8):
            data = data[3:]
        first = False
        data = rest + data if rest else data
        if end:
            yield data
            return
        cut = data.rfind(b"\n") + 1
        data, rest = data[:cut], data[cut:]
        if len(rest) > RECORD_MAX:
            raise errors.make(errno.EBADMSG, f"'{file}' has a line longer than 16 MiB: is it a text in lines?")
        if data:
            yield data


def _decoded(decoder: Any, data: Any, end: Any, file: Any, encoding: Any) -> Any:
    try:
        return decoder.decode(data, end).encode("utf-8")
    except UnicodeDecodeError as why:
        raise bad_text(file, encoding, why) from None
