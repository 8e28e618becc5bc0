# SPDX-License-Identifier: Apache-2.0
"""What a program says about its run: lines of JSON in the run's folder."""

from __future__ import annotations

import json
import os
import time
from typing import Any

METRICS, TOLD = "logs/metrics.jsonl", "logs/told.jsonl"


def say(path: Any, line: Any) -> None:
    """One more line."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a") as f:
        f.write(json.dumps({**line, "time": time.time()}) + "\n")


def _lines(path: Any) -> list[Any]:
    try:
        with open(path) as f:
            return [json.loads(x) for x in f]
    except FileNotFoundError:
        return []


def told(path: Any, what: str) -> Any:
    """All of "tags" or "properties": what was said last."""
    found: dict[str, Any] = {}
    for line in _lines(path):
        found.update(line.get(what) or {})
    return found


def metrics(path: Any, name: Any = None) -> dict[str, Any]:
    """By name the value, or where there are some the list of them."""
    found: dict[str, Any] = {}
    for one in _lines(path):
        if name in (None, one["name"]):
            found.setdefault(one["name"], []).append(one["value"])
    return {k: v[0] if len(v) == 1 else v for k, v in found.items()}


def plain(value: Any) -> Any:
    """NumPy's numbers, too, as JSON has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    return value
