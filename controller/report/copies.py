"""What both versions heard of copied requests, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

HEADER: Final = (
    "requests", "pairs", "users", "texts differ", "… numbers by value", "tokens differ",
    "… numbers by value",
)  # fmt: skip
_WAYS: Final = ("texts", "texts_by_value", "tokens", "tokens_by_value")


def rows(overview: Mapping[str, Any] | None) -> list[tuple[str, ...]]:
    """All of them, then each slice; none where nothing was heard by both versions."""
    if not overview or not overview["pairs"]:
        return []
    return [_row("all", overview), *(_row(f"#{s['slice']}", s) for s in overview["slices"])]


def _row(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    rates = (_rate(part[way]) for way in _WAYS)
    return (name, f"{part['pairs']:,}", f"{part['keys']:,}", *rates)


def _rate(found: Mapping[str, Any]) -> str:
    text = f"{100 * found['rate']:.2f} %"
    if found["interval"] is None:
        return text
    low, high = found["interval"]
    return f"{text} [{100 * low:.2f}, {100 * high:.2f}]"
