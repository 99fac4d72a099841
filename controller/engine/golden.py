"""Has every node hear the golden clips: before it gets traffic, and now and then after that."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from controller.core.errors import NodeUnavailable
from controller.core.eval_set import EvalSet
from controller.core.golden import GoldenCheck, hears_wrong
from controller.engine.jobs import Jobs
from controller.engine.ports.node_client import NodeClient
from controller.engine.ports.runtime import ObservedNode

log = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 60.0
_RETRY_SECONDS = 2.0  # a node that was busy or gone has not been heard


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one instance of a node made of the clips, when it was asked `at` (monotonic clock).
    `wrong` is why it is not to be trusted."""

    version: str
    instance: str
    wrong: str | None
    was_right: bool  # then or before
    at: float = -math.inf  # never


class GoldenKeeper:
    """Facts of this controller's life; the clips are heard again by the next one."""

    def __init__(
        self,
        check: GoldenCheck,
        eval_set: Callable[[str], EvalSet],
        client: NodeClient,
        jobs: Jobs,
    ) -> None:
        self._check = check
        self._eval_set = eval_set
        self._client = client
        self._jobs = jobs
        self._heard: dict[str, _Heard] = {}  # by node
        self._due: dict[str, float] = {}  # by instance, on the monotonic clock
        self._clips: EvalSet | None = None

    def presume_right(self, node: ObservedNode) -> None:
        """It took traffic when the controller before us died."""
        self._heard[node.name] = _Heard(node.version, node.instance, None, was_right=True)

    def lets(self, node: ObservedNode) -> bool:
        """Whether it may have traffic: it hears right, or all of its version that were right
        once hear wrong together. Then the clips are to blame as much as the nodes, and nobody
        must lose a whole fleet to a clip."""
        heard = self._of(node)
        if heard is None:
            return False
        if heard.wrong is None:
            return True
        others = [h for h in self._heard.values() if h.version == node.version]
        return heard.was_right and all(h.wrong is not None for h in others)

    def wrong(self, node: ObservedNode) -> str | None:
        """Why it is not to be trusted; None where it is, or has not been heard yet."""
        heard = self._of(node)
        return heard.wrong if heard is not None else None

    def astray(self, node: ObservedNode) -> str | None:
        """Why it is to be started anew: it was right once, and hears wrong what another of its
        version, asked after it, hears right. So it is not the clip."""
        heard = self._of(node)
        if heard is None or heard.wrong is None or not heard.was_right:
            return None
        others = (h for h in self._heard.values() if h.version == node.version)
        return heard.wrong if any(h.wrong is None and h.at > heard.at for h in others) else None

    def converge(self, nodes: Iterable[ObservedNode]) -> None:
        """Begin to hear those that are due; `nodes` are those that are healthy otherwise."""
        now = time.monotonic()
        for node in nodes:
            if node.address is not None and now >= self._due.get(node.instance, 0.0):
                self._jobs.ensure(f"golden:{node.name}", functools.partial(self._hear, node))

    def forget(self, names: set[str]) -> None:
        """Nodes that are gone."""
        for name in names & self._heard.keys():
            self._due.pop(self._heard.pop(name).instance, None)

    def _of(self, node: ObservedNode) -> _Heard | None:
        heard = self._heard.get(node.name)
        return heard if heard is not None and heard.instance == node.instance else None

    async def _hear(self, node: ObservedNode) -> None:
        at = time.monotonic()
        self._due[node.instance] = at + _RETRY_SECONDS
        if self._clips is None:
            whole = await asyncio.to_thread(self._eval_set, self._check.eval_set)
            self._clips = self._check.clips_of(whole)
        try:
            wrong = await self._wrong(node, self._clips)
        except NodeUnavailable as error:
            log.info("golden.not_heard node=%s reason=%s", node.name, error)
            return
        self._due[node.instance] = time.monotonic() + self._check.interval_seconds
        before = self._of(node)
        was_right = wrong is None or (before is not None and before.was_right)
        self._heard[node.name] = _Heard(node.version, node.instance, wrong, was_right, at)
        if wrong is not None:
            log.warning("golden.wrong node=%s reason=%s", node.name, wrong)
            if before is None or before.wrong is None:
                self._ask_others(node)

    def _ask_others(self, node: ObservedNode) -> None:
        """At once, those of its version: is it the node, or the clip?"""
        for name, heard in self._heard.items():
            if heard.version == node.version and name != node.name:
                self._due[heard.instance] = 0.0

    async def _wrong(self, node: ObservedNode, clips: EvalSet) -> str | None:
        """Raises NodeUnavailable: a node that gives no answer has not heard wrong."""
        assert node.address is not None
        heard: dict[str, str] = {}
        for clip in clips.utterances:
            path = Path(clip.source)
            heard[clip.key] = await self._client.transcribe(node.address, path, _TIMEOUT_SECONDS)
        return await asyncio.to_thread(hears_wrong, self._check, clips, heard)
