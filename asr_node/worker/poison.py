"""Recordings that have ended a worker, so that none walks through the fleet."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Final

from asr_node.log import event
from asr_node.recognizer import Samples

MOST: Final = 1_000  # the oldest are forgotten
ENOUGH: Final = 2  # times that a recording ended a worker: then it is refused
FILE: Final = "poison.json"


class Poison:
    """Counts deaths by the hash of the samples; a small file keeps them across restarts."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / FILE
        self._deaths = _read(self._file)

    async def deaths(self, samples: Samples) -> int:
        """Of workers, by this recording. Costs nothing where no worker has ever ended."""
        return self._deaths.get(await _hash(samples), 0) if self._deaths else 0

    async def blame(self, samples: Samples) -> int:
        """One more; returns how many. A disk that is full costs only the memory of it."""
        key = await _hash(samples)
        count = self._deaths.pop(key, 0) + 1
        self._deaths[key] = count  # the newest is last
        for oldest in list(self._deaths)[:-MOST]:
            del self._deaths[oldest]
        try:
            await asyncio.to_thread(_write, self._file, dict(self._deaths))
        except OSError as error:
            event("poison.not_saved", level=logging.ERROR, reason=str(error))
        return count


async def _hash(samples: Samples) -> str:
    return await asyncio.to_thread(lambda: hashlib.sha256(samples.data).hexdigest())


def _read(file: Path) -> dict[str, int]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): int(count) for key, count in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        event("poison.unreadable", level=logging.WARNING, reason=str(error))
        return {}


def _write(file: Path, deaths: dict[str, int]) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as opened:
        json.dump(deaths, opened)
        opened.flush()
        os.fsync(opened.fileno())
    fresh.replace(file)
