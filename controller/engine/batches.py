"""What a node that is to go still has to do for batches, and their results once it is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

log = logging.getLogger(__name__)
_TIMEOUT_SECONDS: Final = 5.0

Batch = Mapping[str, Any]  # as nodes tell it


class BatchClient(Protocol):
    """Raises NodeUnavailable."""

    async def batches(self, address: str, timeout_seconds: float) -> Sequence[Batch]:
        """The newest, without their files."""
        ...

    async def batch(self, address: str, batch_id: str, timeout_seconds: float) -> Batch:
        """With its files and what was heard."""
        ...


class BatchResults(Protocol):
    """Outlive the nodes. Synchronous: called in threads."""

    def has(self, batch_id: str) -> bool: ...

    def keep(self, batch: Batch) -> None: ...


class BatchKeeper:
    """A batch is on the node that took it, and nowhere else: so a node is not stopped before it
    has worked off what it took, and what it heard is kept here before it goes."""

    def __init__(self, client: BatchClient, results: BatchResults) -> None:
        self._client = client
        self._results = results

    async def over(self, address: str) -> bool:
        """Whether the node has finished all its batches, and their results are kept.

        Raises NodeUnavailable."""
        batches = await self._client.batches(address, _TIMEOUT_SECONDS)
        try:
            for batch_id in (str(batch["id"]) for batch in batches if _is_finished(batch)):
                await self._keep(address, batch_id)
        except OSError as error:
            log.error("batches.not_kept node=%s error=%s", address, error)
            return False
        return all(map(_is_finished, batches))

    async def _keep(self, address: str, batch_id: str) -> None:
        if not await asyncio.to_thread(self._results.has, batch_id):
            whole = await self._client.batch(address, batch_id, _TIMEOUT_SECONDS)
            await asyncio.to_thread(self._results.keep, whole)


def _is_finished(batch: Batch) -> bool:
    return batch["finished_time"] is not None
