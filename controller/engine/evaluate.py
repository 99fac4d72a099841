"""One version's transcripts of one eval set, asked of its nodes directly, not of the router.

Live traffic comes first: few requests at a time, so that a node always has a free turn for a
user's."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.core.errors import NodeUnavailable, NoTranscript
from controller.core.eval_set import EvalSet, Utterance
from controller.engine.ports.node_client import NodeClient
from controller.engine.workers import run_workers

Addresses = Callable[[], Sequence[str]]
# Before each further try. A refused connection or a full queue costs milliseconds, and a node's
# restart is noticed after some seconds: at once, all recordings would be tried in vain meanwhile.
WAITS_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
_ANSWERS: Final = 2  # without a text, from two nodes where there are: then it is the version's


@dataclass(frozen=True, slots=True)
class Transcripts:
    """By utterance key. `hypotheses` has None where the request failed; `errors` says why.
    `seconds`: from asking the node that answered to its answer."""

    version: str
    eval_set: str
    eval_set_digest: str
    hypotheses: Mapping[str, str | None]
    errors: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


async def evaluate(
    version_name: str,
    addresses: Addresses | Sequence[str],
    eval_set: EvalSet,
    client: NodeClient,
    concurrency: int = 2,
    timeout_seconds: float = 60.0,
    on_progress: Callable[[int, int], None] | None = None,
    waits_seconds: Sequence[float] = WAITS_SECONDS,
) -> Transcripts:
    """Have every recording transcribed, in turn by the nodes that `addresses` names (host:port).

    A callable is asked before each request: nodes come and go. A failed request goes to another
    node, after the first of `waits_seconds`, and so on. An utterance counts as failed only when
    a node was reached, had time and gave no text, twice. `on_progress` gets how many are done,
    and of how many. Cancelling it cancels its requests. Raises NodeUnavailable when no node is
    left, and when none could be reached, or had time, in all tries: that says nothing of the
    version."""
    known = addresses if callable(addresses) else lambda: addresses
    run = _Run(known, client, timeout_seconds, waits_seconds)
    waiting = iter(eval_set.utterances)
    total = len(eval_set.utterances)

    async def work() -> None:
        for utterance in waiting:  # shared: each worker takes the next
            await run.transcribe(utterance)
            if on_progress is not None:
                on_progress(len(run.hypotheses), total)

    await run_workers(work, concurrency)
    return Transcripts(
        version=version_name,
        eval_set=eval_set.name,
        eval_set_digest=eval_set.digest,
        hypotheses={u.key: run.hypotheses[u.key] for u in eval_set.utterances},
        errors=run.errors,
        seconds=run.seconds,
    )


class _Run:
    def __init__(
        self,
        addresses: Addresses,
        client: NodeClient,
        timeout_seconds: float,
        waits_seconds: Sequence[float],
    ) -> None:
        self._addresses = addresses
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._waits_seconds = waits_seconds
        self._turns = itertools.count()
        self.hypotheses: dict[str, str | None] = {}
        self.errors: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    async def transcribe(self, utterance: Utterance) -> None:
        """Ask one node after another; record the text or why there is none."""
        failures: dict[str, str] = {}  # by address
        answers = 0  # without a text
        for wait_seconds in (0.0, *self._waits_seconds):
            await asyncio.sleep(wait_seconds)
            address = self._next_address(avoid=failures)
            began = time.perf_counter()
            try:
                self.hypotheses[utterance.key] = await self._ask(address, Path(utterance.source))
            except NodeUnavailable as error:
                failures[address] = str(error)
                answers += isinstance(error, NoTranscript)
            else:
                self.seconds[utterance.key] = round(time.perf_counter() - began, 6)
                return
            if answers == _ANSWERS:
                self.hypotheses[utterance.key] = None
                self.errors[utterance.key] = "; ".join(failures.values())
                return
        raise NodeUnavailable(
            f"{utterance.key} of the eval set could not be transcribed in "
            f"{len(self._waits_seconds) + 1} tries, which says nothing of the version; nothing "
            f"was scored. {'; '.join(failures.values())}"
        )

    def _next_address(self, avoid: Mapping[str, str]) -> str:
        """In turn; one that has just failed only where there is no other."""
        known = self._addresses()
        if not known:
            raise NodeUnavailable(
                "no node of the version is left to transcribe the eval set; nothing was scored. "
                "`rollout status` shows its nodes"
            )
        others = [address for address in known if address not in avoid] or list(known)
        return others[next(self._turns) % len(others)]

    async def _ask(self, address: str, audio: Path) -> str:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._client.transcribe(address, audio, self._timeout_seconds)
        except TimeoutError as error:
            raise NodeUnavailable(
                f"node at {address} had no transcript of {audio.name} after "
                f"{self._timeout_seconds:g} s"
            ) from error
