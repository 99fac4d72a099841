"""Requests that were kept, and nodes that are back: who is asked what, and how often."""

from __future__ import annotations

import asyncio
import datetime
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.adapters.spool_folder import SpoolFolder
from controller.adapters.store import SqlStore
from controller.core.desired import Desired, NodeView
from controller.core.errors import NodeUnavailable, NoTranscript
from controller.core.routing import Endpoint, Group, Membership, Routing
from controller.core.spool import Asked, LateAnswer, SpoolEntry, SpoolLimits, SpoolState
from controller.engine.jobs import Jobs
from controller.engine.spool import SpoolKeeper, serving_addresses
from tests.engine.fakes import NOON

Behaviour = Callable[[str, bytes], LateAnswer]


def hear(address: str, body: bytes) -> LateAnswer:
    return LateAnswer(200, "text/plain", b"heard " + body, f"node at {address}", "v1")


def be_busy(address: str, body: bytes) -> LateAnswer:
    raise NodeUnavailable("429")


def die(address: str, body: bytes) -> LateAnswer:
    raise NoTranscript("reset")


@dataclass
class FakeSender:
    """Each recording may be met by a behaviour of its own."""

    behaviours: dict[bytes, Behaviour] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    busy: str | None = None  # the address of a node that is so for everyone

    async def ask(self, address: str, entry: SpoolEntry, body: Path) -> LateAnswer:
        heard = await asyncio.to_thread(body.read_bytes)
        self.asked.append((address, heard.decode()))
        behaviour = be_busy if address == self.busy else self.behaviours.get(heard, hear)
        return behaviour(address, heard)


@dataclass
class Bench:
    folder: SpoolFolder
    store: SqlStore
    sender: FakeSender = field(default_factory=FakeSender)
    addresses: list[str] = field(default_factory=list)
    jobs: Jobs = field(default_factory=lambda: Jobs(lambda: None))
    at: datetime.datetime = NOON

    def __post_init__(self) -> None:
        self.folder.open()
        self.keeper = self.a_keeper()

    def a_keeper(self) -> SpoolKeeper:
        return SpoolKeeper(
            self.folder, self.sender, lambda: self.addresses, self.jobs, self.store, lambda: NOON
        )

    def keep(self, *bodies: str) -> list[SpoolEntry]:
        kept = []
        for body in bodies:
            incoming = self.folder.receive(Asked("/v1/audio/transcriptions", ""), len(body))
            incoming.write(body.encode())
            kept.append(incoming.accept())
            incoming.close()
        return kept

    async def round(self) -> None:
        await self.keeper.round()
        while self.jobs.runs("spool"):
            await asyncio.sleep(0.001)
        assert self.jobs.error("spool") is None

    def heard(self, entry: SpoolEntry) -> bytes:
        return self.folder.answer_of(entry).body

    def events(self) -> list[tuple[str, str]]:
        return [(event.kind, event.message) for event in self.store.events()]


@pytest.fixture
def bench(tmp_path: Path, store: SqlStore) -> Bench:
    made: list[Bench] = []
    folder = SpoolFolder(tmp_path / "spool", SpoolLimits(max_age_seconds=60), lambda: made[0].at)
    made.append(Bench(folder, store))
    return made[0]


async def test_without_a_node_nobody_is_asked(bench: Bench) -> None:
    bench.keep("one")
    await bench.round()
    assert bench.sender.asked == []
    assert len(bench.folder.waiting()) == 1


async def test_all_are_answered_once_and_in_order(bench: Bench) -> None:
    entries = bench.keep("one", "two", "three")
    await bench.round()
    bench.addresses = ["n:1", "n:2"]
    await bench.round()
    await bench.round()
    assert bench.sender.asked == [("n:1", "one"), ("n:1", "two"), ("n:1", "three")]
    assert [bench.heard(e) for e in entries] == [b"heard one", b"heard two", b"heard three"]


async def test_a_node_that_goes_away_in_the_middle_ends_the_round(bench: Bench) -> None:
    bench.keep("one", "two")
    bench.addresses = ["n:1"]

    def answer_and_leave(address: str, body: bytes) -> LateAnswer:
        bench.addresses = []
        return hear(address, body)

    bench.sender.behaviours[b"one"] = answer_and_leave
    await bench.round()
    assert bench.sender.asked == [("n:1", "one")]


async def test_what_the_node_refuses_is_the_answer(bench: Bench) -> None:
    [entry] = bench.keep("no audio")
    bench.addresses = ["n:1"]
    refusal = LateAnswer(400, "application/json", b"{}", "v1-1", "v1")
    bench.sender.behaviours[b"no audio"] = lambda _address, _body: refusal
    await bench.round()
    assert bench.folder.answer_of(entry) == refusal


async def test_a_busy_node_is_asked_again_before_those_behind(bench: Bench) -> None:
    bench.keep("one", "two")
    bench.addresses = ["n:1"]
    bench.sender.behaviours[b"one"] = be_busy
    await bench.round()
    await bench.round()
    del bench.sender.behaviours[b"one"]
    await bench.round()
    assert [body for _, body in bench.sender.asked] == ["one", "one", "one", "two"]


async def test_a_request_that_no_node_has_room_for_holds_nobody_up_for_ever(bench: Bench) -> None:
    one, two = bench.keep("one", "two")
    bench.addresses = ["n:1"]
    bench.sender.behaviours[b"one"] = be_busy
    for _ in range(10):
        await bench.round()
    assert bench.heard(two) == b"heard two"
    assert bench.folder.waiting() == [one]


async def test_a_request_that_ends_nodes_lets_others_go_first_and_asks_another_node(
    bench: Bench,
) -> None:
    one, two = bench.keep("one", "two")
    bench.addresses = ["n:1", "n:2"]
    bench.sender.behaviours[b"one"] = die
    await bench.round()
    assert bench.sender.asked == [("n:1", "one"), ("n:1", "two")]
    assert bench.heard(two) == b"heard two"
    await bench.round()
    assert len(bench.sender.asked) == 2  # not before its pause is over
    bench.keeper = bench.a_keeper()  # another controller knows of no pause, but of the failure
    await bench.round()
    assert bench.sender.asked[2:] == [("n:2", "one")]
    assert [entry.id for entry in bench.folder.waiting()] == [one.id]


async def test_a_request_that_ended_five_nodes_in_a_row_is_given_up(bench: Bench) -> None:
    [entry] = bench.keep("poison")
    bench.addresses = ["n:1"]
    bench.sender.behaviours[b"poison"] = die
    for _ in range(6):
        bench.keeper = bench.a_keeper()
        await bench.round()
    assert len(bench.sender.asked) == 5
    answer = bench.folder.answer_of(entry)
    assert answer.status == 500
    assert b"given_up" in answer.body
    assert "given up, since nodes failed on them: 1" in bench.events()[-1][1]


def trip(address: str, body: bytes) -> LateAnswer:
    raise UnicodeEncodeError("ascii", "\xe9", 0, 1, "ordinal not in range(128)")


async def test_a_request_that_cannot_be_sent_holds_nobody_up_and_is_given_up(bench: Bench) -> None:
    bad, good = bench.keep("bad", "good")
    bench.addresses = ["n:1"]
    bench.sender.behaviours[b"bad"] = trip
    await bench.round()
    assert bench.heard(good) == b"heard good"
    for _ in range(4):
        bench.keeper = bench.a_keeper()
        await bench.round()
    assert b"UnicodeEncodeError" in bench.heard(bad)


async def test_a_recording_that_cannot_be_read_now_holds_nobody_up_and_is_not_given_up(
    bench: Bench,
) -> None:
    bad, good = bench.keep("bad", "good")
    bench.addresses = ["n:1"]
    bench.folder.body(bad).unlink()
    for _ in range(2):
        await bench.round()
    assert bench.heard(good) == b"heard good"
    assert bench.folder.waiting() == [bad]


@pytest.mark.parametrize("behaviour", [hear, die])
async def test_an_outcome_that_the_disk_does_not_take_holds_nobody_up(
    bench: Bench, behaviour: Behaviour
) -> None:
    bad, good = bench.keep("bad", "good")
    bench.addresses = ["n:1"]

    def lose_its_folder(address: str, body: bytes) -> LateAnswer:
        shutil.rmtree(bench.folder.body(bad).parent)
        return behaviour(address, body)

    bench.sender.behaviours[b"bad"] = lose_its_folder
    await bench.round()
    await bench.round()
    assert bench.heard(good) == b"heard good"
    assert bench.folder.waiting() == [bad]


async def test_where_one_node_is_busy_the_next_one_is_asked(bench: Bench) -> None:
    bench.keep("one", "two")
    bench.addresses = ["busy:1", "n:2"]
    bench.sender.busy = "busy:1"
    await bench.round()
    await bench.round()
    assert bench.sender.asked == [("busy:1", "one"), ("n:2", "one"), ("n:2", "two")]


async def test_what_waits_too_long_is_not_asked_any_more(bench: Bench) -> None:
    [entry] = bench.keep("one")
    bench.at += datetime.timedelta(seconds=60)
    bench.addresses = ["n:1"]
    await bench.round()
    assert bench.sender.asked == []
    found = bench.folder.entry(entry.id)
    assert found is not None
    assert found.state is SpoolState.EXPIRED


@pytest.mark.parametrize("behaviour", [die, be_busy])
async def test_nothing_is_remembered_of_what_its_sender_deleted(
    bench: Bench, behaviour: Behaviour
) -> None:
    [entry] = bench.keep("one")
    bench.addresses = ["n:1"]
    bench.sender.behaviours[b"one"] = behaviour
    await bench.round()
    assert entry.id in bench.keeper.remembered
    bench.folder.delete(entry)
    await bench.round()
    assert bench.keeper.remembered == set()


async def test_the_audit_tells_of_an_outage_once(bench: Bench) -> None:
    await bench.round()
    assert bench.events() == []
    for number in range(3):
        bench.keep(f"{number}")
        bench.folder.counts["refused"] += number  # of the third on, there was no room
        await bench.round()
        await bench.round()
    bench.addresses = ["n:1"]
    await bench.round()
    await bench.round()
    assert bench.events() == [
        ("spool.began", "no node could serve: requests are kept (1 so far) until one can"),
        ("spool.refused", "there is no room to keep more requests: they get 503"),
        ("spool.drained", "requests that were answered late: 3"),
    ]
    bench.keep("of the next outage")
    await bench.round()
    assert [kind for kind, _ in bench.events()[3:]] == ["spool.began", "spool.drained"]


def test_the_backup_is_asked_after_stable_and_nobody_who_is_not_ready() -> None:
    membership = Membership(
        tuple(
            Group(name, tuple(Endpoint(f"{name}-{n}", f"127.0.0.1:{port + n}") for n in (1, 2)))
            for name, port in (("backup", 10), ("v1", 20), ("v2", 30))
        )
    )
    ready = {"127.0.0.1:11", "127.0.0.1:12", "127.0.0.1:22", "127.0.0.1:31"}
    views = [
        NodeView(endpoint.node, "v1", endpoint.address, endpoint.address in ready)
        for group in membership.groups
        for endpoint in group.endpoints
    ]
    wanted = Desired((), membership, Routing("v1"))
    assert serving_addresses(wanted, views) == ["127.0.0.1:22", "127.0.0.1:11", "127.0.0.1:12"]
    unknown = Desired((), membership, Routing("v1", known_healthy=False))
    assert serving_addresses(unknown, views) == []
