"""Pulls what both versions heard of copied requests from the nodes' histories, pairs it, and
judges how far they disagree. What was pulled outlives the controller."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from controller.core.consequence import of_gates
from controller.core.errors import NodeUnavailable
from controller.core.rollout import Rollout
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.judge import Tally, judge, look
from controller.core.shadow.overview import overview
from controller.core.shadow.pair import Counted, Heard, counted
from controller.core.shadow.sample import is_copied
from controller.core.verdict import Verdict
from controller.engine.jobs import Jobs
from controller.engine.observer import Observer
from controller.engine.ports.node_client import NodeClient
from controller.engine.ports.runtime import ObservedNode
from controller.engine.ports.shadow_store import ShadowStore
from controller.engine.records import Served
from controller.engine.slices import in_slices

log = logging.getLogger(__name__)
PULL_SECONDS: Final = 5.0
_COST_TO_INTERVAL: Final = 10  # judging takes at most a tenth of the time
_TIMEOUT_SECONDS: Final = 5.0
_ROWS: Final = 200  # that a node gives at once
_PAGES: Final = 100  # of one node in one pull: the others have their turn
_COMPARED_AT_ONCE: Final = 200
_CLOCKS_DIFFER: Final = datetime.timedelta(minutes=1)
_MOST_KEYS: Final = 100_000  # that wait to be written down


class ShadowKeeper:
    def __init__(
        self,
        store: ShadowStore,
        observer: Observer,
        client: NodeClient,
        jobs: Jobs,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._store = store
        self._observer = observer
        self._client = client
        self._jobs = jobs
        self._now = now
        self._rollout_id = ""
        self._due_at: datetime.datetime | None = None
        self._cost = datetime.timedelta(0)  # of judging, the last time
        self._copied_until = now()  # or later
        self._keys: dict[str, str] = {}  # by request, not written down yet
        self._looks: dict[str, int] = {}  # by gate: the last that counted
        self._verdicts: dict[str, tuple[Verdict, ...]] = {}  # by gate
        self._overview: dict[str, Any] | None = None
        self._ending = False  # whether the last pull was begun
        self._ended: set[str] = set()  # rollouts whose last pull is done
        self._writing = asyncio.Lock()  # a request's halves and its key come from three places

    def verdicts(self, rollout: Rollout) -> tuple[Verdict, ...]:
        """Of its gates on disagreement; before the first pull, those of the controller before."""
        gates = rollout.plan.shadow_gates
        if rollout.id != self._rollout_id or not self._verdicts:
            return tuple(of_gates(gates, rollout.verdicts))
        return tuple(v for gate in gates for v in self._verdicts.get(gate.name, ()))

    def overview(self, rollout: Rollout) -> dict[str, Any] | None:
        """As it was after the last pull; None before the first."""
        return self._overview if rollout.id == self._rollout_id else None

    async def observe(self, rollout: Rollout | None, served: Iterable[Served]) -> None:
        """Whose requests were copied: the sticky key is the unit, and no node knows it."""
        if rollout is None or rollout.ended:
            return
        async for some in in_slices(s for s in served if s.shadow):
            self._keys |= {request.request_id: request.key_hash for request in some}
        if (excess := len(self._keys) - _MOST_KEYS) > 0:  # the oldest are lost
            self._keys = dict(itertools.islice(self._keys.items(), excess, None))

    async def save_keys(self, rollout_id: str) -> None:
        """Write down all keys that were observed: the access log is not read again for them."""
        async with self._writing:
            keys, self._keys = self._keys, {}
            try:
                await asyncio.to_thread(self._store.take_keys, rollout_id, keys)
            except BaseException:
                self._keys = keys | self._keys
                raise

    def converge(self, rollout: Rollout | None) -> None:
        """Pull now and then while requests are copied, and once more when the rollout has ended."""
        if rollout is None or rollout.id in self._ended or not _copies(rollout):
            return
        if rollout.id != self._rollout_id:
            self._begin(rollout)
        if rollout.shadow:
            self._copied_until = self._now()
        if rollout.ended and not self._ending:
            self._due_at = None  # at once, and where that fails now and then again
        if self._due_at is not None and self._now() < self._due_at:
            return
        if self._jobs.ensure(f"shadow:{rollout.id}", lambda: self._pull(rollout)):
            self._ending = rollout.ended
            pause = datetime.timedelta(seconds=PULL_SECONDS)
            self._due_at = self._now() + max(pause, _COST_TO_INTERVAL * self._cost)

    def _begin(self, rollout: Rollout) -> None:
        self._rollout_id, self._due_at, self._overview = rollout.id, None, None
        self._copied_until = rollout.phase_since if rollout.ended else self._now()
        self._ending, self._looks, self._verdicts = False, {}, {}

    async def _pull(self, rollout: Rollout) -> None:
        cursors = await asyncio.to_thread(self._store.cursors, rollout.id)
        if cursors or not rollout.ended:  # else the last pull was done by a controller before us
            await self._read_all(rollout, cursors)
        await self.save_keys(rollout.id)
        await self._compare(rollout)
        await asyncio.to_thread(self._store.keep_worst, rollout.id)
        await self._judge(rollout)
        if rollout.ended:
            await asyncio.to_thread(self._store.end, rollout.id)
            self._ended.add(rollout.id)
        else:
            await asyncio.to_thread(self._store.forget_old)

    async def _read_all(self, rollout: Rollout, cursors: Mapping[str, int]) -> None:
        versions = {rollout.version, rollout.from_version}
        nodes = [n for n in self._observer.nodes.values() if n.running and n.version in versions]
        await asyncio.gather(*(self._read(rollout, node, cursors) for node in nodes))

    async def _read(self, rollout: Rollout, node: ObservedNode, cursors: Mapping[str, int]) -> None:
        if node.address is None:
            return
        position = cursors.get(node.name, _first(rollout))
        try:
            for _ in range(_PAGES):
                rows, position = await self._client.history(
                    node.address, position, _ROWS, _TIMEOUT_SECONDS
                )
                own = [row for row in rows if _is_half(rollout, row, self._copied_until)]
                async with self._writing:
                    await asyncio.to_thread(self._store.take, rollout.id, node.name, position, own)
                if len(rows) < _ROWS:
                    return
        except NodeUnavailable as error:  # the next pull goes on where this one was
            log.info("shadow.history_unread node=%s error=%s", node.name, error)

    async def _compare(self, rollout: Rollout) -> None:
        while True:
            pairs = await asyncio.to_thread(self._store.uncompared, rollout.id, _COMPARED_AT_ONCE)
            if not pairs:
                return
            found = await asyncio.to_thread(_counted, pairs)
            await asyncio.to_thread(self._store.compared, rollout.id, found)

    async def _judge(self, rollout: Rollout) -> None:
        """Numbers are always the newest before the first look that counts, then those of it. Of
        many users it takes seconds: in a thread."""
        began = self._now()
        tallies = await asyncio.to_thread(self._store.tallies, rollout.id)
        found = await asyncio.to_thread(overview, tallies)
        gates = {gate: look(gate, found["pairs"]) for gate in rollout.plan.shadow_gates}
        looks = {g: n for g, n in gates.items() if n == 0 or n > self._looks.get(g.name, 0)}
        verdicts = await asyncio.to_thread(_judged, looks, tallies)
        self._cost = self._now() - began
        if rollout.id == self._rollout_id:  # else another one began meanwhile
            self._overview = found
            self._looks |= {gate.name: number for gate, number in looks.items()}
            self._verdicts = self._verdicts | verdicts


def _judged(
    looks: Mapping[DisagreementGate, int], tallies: Sequence[Tally]
) -> dict[str, tuple[Verdict, ...]]:
    return {gate.name: judge(gate, tallies, number) for gate, number in looks.items()}


def _copies(rollout: Rollout) -> bool:
    """Whether any of its requests are, or were, copied."""
    return rollout.reached_shadow > 0 or any(
        step.shadow for step in rollout.plan.steps[: rollout.step]
    )


def _first(rollout: Rollout) -> int:
    return _cursor(rollout.created_at - _CLOCKS_DIFFER)


def _cursor(at: datetime.datetime) -> int:
    """Cursors of histories are milliseconds since 1970, or later."""
    return int(at.timestamp() * 1000)


def _is_half(rollout: Rollout, row: Heard, copied_until: datetime.datetime) -> bool:
    """Copies may be heard late; of what stable heard nothing is kept that cannot have one."""
    if row.copy:
        return row.version == rollout.version
    if row.cursor > _cursor(copied_until + _CLOCKS_DIFFER):
        return False
    most = max(step.shadow for step in rollout.plan.steps)
    return row.version == rollout.from_version and is_copied(row.request_id, rollout.id, most)


def _counted(pairs: Sequence[tuple[Heard, Heard]]) -> dict[str, Counted | None]:
    return {stable.request_id: counted(stable, canary) for stable, canary in pairs}
