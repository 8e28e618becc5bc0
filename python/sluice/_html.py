# SPDX-License-Identifier: Apache-2.0
"""How things show themselves in notebooks."""

from __future__ import annotations

from html import escape
from typing import Any


def table(rows: Any) -> str:
    """Of a mapping; what is nothing is left out."""
    body = "".join(
        f"<tr><th>{escape(str(k))}</th><td>{cell(v)}</td></tr>" for k, v in rows.items() if v not in (None, "")
    )
    return f"<table>{body}</table>"


def cell(v: Any) -> Any:
    return escape(f"{v:,}" if isinstance(v, int) and not isinstance(v, bool) else str(v))


def grid(heads: Any, rows: Any) -> str:
    top = "".join(f"<th>{escape(x)}</th>" for x in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell(x)}</td>" for x in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
