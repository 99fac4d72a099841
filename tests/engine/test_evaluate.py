import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.core.errors import NodeUnavailable, NoTranscript
from controller.core.eval_set import EvalSet, Utterance
from controller.engine.evaluate import evaluate
from controller.engine.ports.node_client import Readiness

NO_WAITS = (0.0,) * 5
TWO_NODES = ("10.0.0.1:8000", "10.0.0.2:8000")


class FakeNodes:
    """Answers with the file's name; `broken` decides which requests get no text; `away` is how
    many of the first ones reach nobody."""

    def __init__(
        self, broken: Callable[[str, str], bool] = lambda _address, _name: False, away: int = 0
    ) -> None:
        self.asked: list[tuple[str, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._broken = broken
        self._away = away

    async def transcribe(self, address: str, audio: Path, timeout_seconds: float) -> str:
        self.asked.append((address, audio.name))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.001)
        finally:
            self.at_once -= 1
        if len(self.asked) <= self._away:
            raise NodeUnavailable(f"node at {address} did not answer: connection refused")
        if self._broken(address, audio.name):
            raise NoTranscript(f"node at {address} answered 500")
        return f"heard {audio.name}"

    async def alive(self, address: str, timeout_seconds: float) -> None: ...

    async def readiness(self, address: str, timeout_seconds: float) -> Readiness:
        raise NotImplementedError

    async def streams(self, address: str, timeout_seconds: float) -> int:
        raise NotImplementedError


class StuckNodes(FakeNodes):
    async def transcribe(self, address: str, audio: Path, timeout_seconds: float) -> str:
        self.at_once += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.at_once -= 1
        return "never"


def a_set(size: int = 10) -> EvalSet:
    utterances = (Utterance(f"u{i}", f"audio/{i}.wav", "一") for i in range(size))
    return EvalSet("digits", tuple(utterances), "digest")


async def test_every_recording_is_transcribed_in_turn_by_all_nodes() -> None:
    nodes = FakeNodes()
    transcripts = await evaluate("v2", TWO_NODES, a_set(), nodes)
    assert transcripts.hypotheses == {f"u{i}": f"heard {i}.wav" for i in range(10)}
    assert list(transcripts.hypotheses) == [f"u{i}" for i in range(10)]
    assert (transcripts.version, transcripts.eval_set_digest) == ("v2", "digest")
    assert Counter(address for address, _ in nodes.asked) == dict.fromkeys(TWO_NODES, 5)


@pytest.mark.parametrize("concurrency", [1, 2, 5])
async def test_live_traffic_keeps_its_turns_since_few_are_asked_at_once(concurrency: int) -> None:
    nodes = FakeNodes()
    await evaluate("v2", TWO_NODES, a_set(), nodes, concurrency=concurrency)
    assert nodes.most_at_once == concurrency


async def test_a_failed_request_is_tried_once_on_another_node() -> None:
    nodes = FakeNodes(broken=lambda address, _: address == TWO_NODES[0])
    transcripts = await evaluate("v2", TWO_NODES, a_set(), nodes, waits_seconds=NO_WAITS)
    assert None not in transcripts.hypotheses.values()
    assert transcripts.errors == {}
    assert all(count <= 2 for count in Counter(name for _, name in nodes.asked).values())


async def test_the_time_of_each_answer_is_known_and_of_no_failure() -> None:
    nodes = FakeNodes(broken=lambda _, name: name == "3.wav")
    transcripts = await evaluate("v2", TWO_NODES, a_set(), nodes, waits_seconds=NO_WAITS)
    assert transcripts.seconds.keys() == {f"u{i}" for i in range(10) if i != 3}
    assert all(0.001 <= seconds < 10 for seconds in transcripts.seconds.values())


async def test_what_fails_twice_has_no_transcript_but_a_reason() -> None:
    nodes = FakeNodes(broken=lambda _, name: name == "3.wav")
    transcripts = await evaluate("v2", TWO_NODES, a_set(), nodes, waits_seconds=NO_WAITS)
    assert [key for key, text in transcripts.hypotheses.items() if text is None] == ["u3"]
    assert "answered 500" in transcripts.errors["u3"]
    assert sorted(address for address, name in nodes.asked if name == "3.wav") == [*TWO_NODES]


async def test_a_lone_node_is_asked_again_itself() -> None:
    nodes = FakeNodes(broken=lambda *_: True)
    transcripts = await evaluate("v2", TWO_NODES[:1], a_set(1), nodes, waits_seconds=NO_WAITS)
    assert transcripts.hypotheses == {"u0": None}
    assert len(nodes.asked) == 2


async def test_a_request_without_an_answer_in_time_says_nothing_of_the_version() -> None:
    with pytest.raises(NodeUnavailable, match=r"had no transcript of 0.wav after 0.01 s"):
        await evaluate("v2", TWO_NODES, a_set(1), StuckNodes(), 2, 0.01, waits_seconds=NO_WAITS)


@pytest.mark.parametrize("addresses", [TWO_NODES, TWO_NODES[:1]])
async def test_nodes_that_are_away_for_a_moment_are_no_deletions(addresses: list[str]) -> None:
    nodes = FakeNodes(away=6)  # two at a time: three tries each
    transcripts = await evaluate("v2", addresses, a_set(), nodes, waits_seconds=NO_WAITS)
    assert None not in transcripts.hypotheses.values()


async def test_between_tries_time_passes() -> None:
    began = time.monotonic()
    await evaluate("v2", TWO_NODES[:1], a_set(1), FakeNodes(away=2), waits_seconds=(0.05, 0.1))
    assert time.monotonic() - began >= 0.15


async def test_nodes_that_stay_away_end_it_with_an_error() -> None:
    nodes = FakeNodes(away=10_000)
    with pytest.raises(NodeUnavailable, match=r"in 6 tries.*connection refused"):
        await evaluate("v2", TWO_NODES, a_set(), nodes, waits_seconds=NO_WAITS)
    assert len(nodes.asked) <= 12


async def test_one_that_is_away_and_one_that_gives_no_text_is_not_the_versions_answer() -> None:
    nodes = FakeNodes(broken=lambda address, _: address == TWO_NODES[1], away=1)
    transcripts = await evaluate("v2", TWO_NODES, a_set(1), nodes, waits_seconds=NO_WAITS)
    assert transcripts.hypotheses == {"u0": "heard 0.wav"}


async def test_nodes_may_come_and_go() -> None:
    known = [TWO_NODES[0]]
    nodes = FakeNodes()

    def replace_the_node(done: int, total: int) -> None:
        known[:] = [TWO_NODES[done >= total // 2]]

    await evaluate("v2", lambda: known, a_set(), nodes, 1, on_progress=replace_the_node)
    assert Counter(address for address, _ in nodes.asked) == dict.fromkeys(TWO_NODES, 5)


async def test_without_any_node_it_ends_with_an_error() -> None:
    known = list(TWO_NODES)
    with pytest.raises(NodeUnavailable, match="no node of the version is left"):
        await evaluate(
            "v2", lambda: known, a_set(), FakeNodes(), on_progress=lambda *_: known.clear()
        )


async def test_progress_is_told_after_each_recording() -> None:
    told: list[tuple[int, int]] = []
    await evaluate(
        "v2", TWO_NODES, a_set(3), FakeNodes(), on_progress=lambda *step: told.append(step)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


async def test_cancelling_it_cancels_its_requests() -> None:
    nodes = StuckNodes()
    task = asyncio.create_task(evaluate("v2", TWO_NODES, a_set(), nodes))
    while nodes.at_once < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert nodes.at_once == 0


async def test_an_empty_set_asks_nobody() -> None:
    nodes = FakeNodes()
    assert (await evaluate("v2", TWO_NODES, a_set(0), nodes)).hypotheses == {}
    assert nodes.asked == []
