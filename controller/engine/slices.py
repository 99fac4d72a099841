"""A long log, a few requests at a time: ticks and probes are not to wait for all of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

_SLICE: Final = 200
_Item = TypeVar("_Item")


async def in_slices(items: Iterable[_Item]) -> AsyncIterator[list[_Item]]:
    """All of them in order; between two slices others have their turn."""
    waiting = iter(items)
    while some := list(itertools.islice(waiting, _SLICE)):
        yield some
        await asyncio.sleep(0)
