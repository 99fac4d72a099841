"""Delivery: nothing is lost over a crash, no target delays another, and failures stay outside
rollouts."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.adapters.store import SqlStore
from controller.core.errors import NotificationFailed
from controller.core.notification import Target, Topic
from controller.core.rollout import Phase
from controller.engine.notify import Notifier
from controller.engine.records import Event
from tests.engine.conftest import Driver
from tests.engine.fakes import NOON, Clock

FILE = Target(file=Path("/secrets/dingtalk.url"))
OTHER = Target(variable="SLACK_URL", topics=frozenset({Topic.DRILL}), language="zh")


@dataclass
class FakeMessenger:
    """`problem` by target: why it takes nothing; `hangs` are targets that never answer."""

    sent: list[tuple[str, str, str]] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    problem: dict[str, str] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)

    async def send(self, target: Target, title: str, body: str, urgent: bool) -> None:
        self.attempts.append(target.name)
        if target.name in self.hangs:
            await asyncio.Event().wait()
        if problem := self.problem.get(target.name):
            raise NotificationFailed(problem)
        self.sent.append((target.name, title, body))

    def titles(self, target: Target) -> list[str]:
        return [title for name, title, _ in self.sent if name == target.name]


@pytest.fixture
def messenger() -> FakeMessenger:
    return FakeMessenger()


NewNotifier = Callable[..., Notifier]


@pytest.fixture
async def a_notifier(store: SqlStore, messenger: FakeMessenger) -> AsyncIterator[NewNotifier]:
    made: list[Notifier] = []

    def make(*targets: Target, pauses: tuple[float, ...] = (0.0, 0.0)) -> Notifier:
        made.append(Notifier("asr", targets, store, messenger, Clock(), pauses))
        return made[-1]

    yield make
    for notifier in made:
        await notifier.close()


async def settle(notifier: Notifier) -> None:
    """One round, until all that it began has ended."""
    await notifier.round()
    while tasks := list(notifier._jobs._tasks.values()):
        await asyncio.wait(tasks, timeout=5)


def happens(store: SqlStore, message: str, kind: str = "fleet.alarm") -> None:
    store.save([Event(kind, "fleet", message, "controller", NOON)])


async def test_what_happened_before_the_first_start_is_not_told(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    happens(store, "long ago")
    notifier = a_notifier(FILE)
    await settle(notifier)
    happens(store, "now")
    await settle(notifier)
    assert messenger.titles(FILE) == ["[asr] Alarm: now"]


async def test_what_happened_while_the_controller_was_dead_is_told_once(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    await settle(a_notifier(FILE))
    happens(store, "meanwhile")
    await settle(a_notifier(FILE))
    await settle(a_notifier(FILE))
    assert messenger.titles(FILE) == ["[asr] Alarm: meanwhile"]


async def test_a_message_on_its_way_at_a_crash_is_sent_again(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    notifier = a_notifier(FILE)
    await settle(notifier)
    happens(store, "now")
    messenger.hangs.add(FILE.name)
    await notifier.round()
    while not messenger.attempts:
        await asyncio.sleep(0.01)
    await notifier.close()
    messenger.hangs.clear()
    await settle(a_notifier(FILE))
    assert messenger.titles(FILE) == ["[asr] Alarm: now"]


async def test_a_target_gets_its_topics_in_its_language(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    notifier = a_notifier(FILE, OTHER)
    await settle(notifier)
    happens(store, "no node is ready")
    happens(store, "kill a node", kind="drill.started")
    await settle(notifier)
    assert messenger.titles(OTHER) == ["[asr] 演练: kill a node"]
    assert messenger.titles(FILE) == ["[asr] Alarm: no node is ready (+1)"]


async def test_a_target_that_hangs_does_not_delay_another(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    stuck, fine = FILE, Target(variable="FINE")
    notifier = a_notifier(stuck, fine)
    await settle(notifier)
    messenger.hangs.add(stuck.name)
    for number in range(2):
        happens(store, str(number))
        async with asyncio.timeout(30):
            await notifier.round()  # returns at once
        while len(messenger.titles(fine)) <= number:
            await asyncio.sleep(0.01)
            await notifier.round()
    assert messenger.attempts.count(stuck.name) == 1  # one attempt at a time


async def test_a_target_that_fails_is_tried_again_and_then_given_up_with_an_event(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    notifier = a_notifier(FILE, pauses=(0.0, 0.0))
    await settle(notifier)
    happens(store, "now")
    messenger.problem[FILE.name] = "the service answered with HTTP status 500"
    await settle(notifier)
    assert len(messenger.attempts) == 3
    (failed,) = [event for event in store.events() if event.kind == "notification.failed"]
    assert "given up after 3 attempts: the service answered with HTTP status 500" in failed.message
    messenger.problem.clear()
    await settle(notifier)
    assert messenger.sent == []  # given up is given up, and that is not told by message


async def test_what_gathers_while_a_target_is_down_comes_in_one_message(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    notifier = a_notifier(FILE, pauses=(0.05,) * 20)
    await settle(notifier)
    happens(store, "one")
    messenger.problem[FILE.name] = "down"
    await notifier.round()
    while not messenger.attempts:
        await asyncio.sleep(0.01)
    happens(store, "two")
    messenger.problem.clear()
    await settle(notifier)
    assert messenger.titles(FILE) == ["[asr] Alarm: two (+1)"]


async def test_old_news_is_passed_over(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    notifier = a_notifier(FILE)
    await settle(notifier)
    long_ago = NOON - datetime.timedelta(days=2)
    store.save([Event("fleet.alarm", "fleet", "old", "controller", long_ago)])
    await settle(notifier)
    assert messenger.sent == []
    assert store.cursor(FILE.name) == store.last_event_id()


async def test_a_message_stays_short_enough_for_a_chat(
    store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    notifier = a_notifier(FILE)
    await settle(notifier)
    for number in range(40):
        happens(store, f"{number} {'x' * 500}")
    await settle(notifier)
    assert all(len(body) < 4000 for _, _, body in messenger.sent)


async def test_a_test_message_tells_which_targets_take_it(
    messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    messenger.problem[OTHER.name] = "no answer in time"
    results = await a_notifier(FILE, OTHER).test("ann")
    assert [(r["target"], r["problem"]) for r in results] == [
        ("/secrets/dingtalk.url", None),
        ("$SLACK_URL", "no answer in time"),
    ]
    assert messenger.titles(FILE) == ["[asr] Test message"]


async def test_a_rollout_goes_its_way_while_no_target_answers(
    driver: Driver, store: SqlStore, messenger: FakeMessenger, a_notifier: NewNotifier
) -> None:
    notifier = a_notifier(FILE)
    await settle(notifier)
    messenger.hangs.add(FILE.name)
    await driver.start()
    while not messenger.attempts:
        await notifier.round()
        await asyncio.sleep(0.01)
    await driver.until(lambda loop: loop.rollout.phase is Phase.WAITING)
    assert notifier._jobs.runs(FILE.name)  # it hangs still
    assert (await driver.command("rollback")).refusal is None
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK
