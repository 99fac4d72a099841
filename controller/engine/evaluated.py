"""Versions that someone evaluates: each keeps a node, also where it has no traffic."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from controller.core.errors import NodeUnavailable
from controller.engine.nodes import NodeKeeper
from controller.engine.observer import Observer

_START_SECONDS: Final = 300.0


class EvaluatedVersions:
    def __init__(
        self,
        observer: Observer,
        keeper: NodeKeeper,
        wake: Callable[[], None],
        changed: Callable[[float], Awaitable[None]],
    ) -> None:
        self._observer = observer
        self._keeper = keeper
        self._wake = wake
        self._changed = changed
        self._users: collections.Counter[str] = collections.Counter()

    def names(self) -> set[str]:
        return {version for version, users in self._users.items() if users}

    @contextlib.asynccontextmanager
    async def ready(self, version: str) -> AsyncIterator[None]:
        """Have at least one node of `version` ready, without traffic where it has none yet.

        Raises NodeUnavailable where there is none in time."""
        self._users[version] += 1
        self._wake()
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not self._observer.addresses(version):
                    if problem := self._keeper.problem(version):
                        raise NodeUnavailable(f"{version} cannot be evaluated: {problem}")
                    await self._changed(1.0)
            yield
        except TimeoutError as error:
            raise NodeUnavailable(
                f"{version} cannot be evaluated: no node of it was ready within "
                f"{_START_SECONDS:g} s; traffic is as it was"
            ) from error
        finally:
            self._users[version] -= 1
            self._wake()
