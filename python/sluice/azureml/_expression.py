# SPDX-License-Identifier: Apache-2.0
"""Conditions on rows and files, written with Python's operators."""

from __future__ import annotations

from typing import Any

from .. import _values
from ._errors import Named


class Expression(Named):
    """A condition on files, as the library reads it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _with(self, sign: Any, other: Any) -> Expression:
        return Expression(f"({self.text} {sign} {other.text if isinstance(other, Expression) else _literal(other)})")

    def __eq__(self, other: Any) -> Any:
        return self._with("==", other)

    def __ne__(self, other: Any) -> Any:
        return self._with("!=", other)

    def __lt__(self, other: Any) -> Any:
        return self._with("<", other)

    def __le__(self, other: Any) -> Any:
        return self._with("<=", other)

    def __gt__(self, other: Any) -> Any:
        return self._with(">", other)

    def __ge__(self, other: Any) -> Any:
        return self._with(">=", other)

    def __and__(self, other: Any) -> Any:
        return self._with("and", other)

    def __or__(self, other: Any) -> Any:
        return self._with("or", other)

    def __invert__(self) -> Expression:
        return Expression(f"(not {self.text})")

    def startswith(self, text: str) -> Expression:
        return Expression(f"{self.text}.startswith({_literal(text)})")

    def endswith(self, text: str) -> Expression:
        return Expression(f"{self.text}.endswith({_literal(text)})")

    def contains(self, text: str) -> Expression:
        return Expression(f"{self.text}.contains({_literal(text)})")

    __hash__ = object.__hash__


def _literal(value: Any) -> str:
    if hasattr(value, "timetuple"):
        # times of files and columns are UTC without saying so
        t = _values.naive(value) if hasattr(value, "tzinfo") else value
        return f"datetime({', '.join(map(str, [*t.timetuple()[:6], getattr(t, 'microsecond', 0)]))})"
    return repr(value)
