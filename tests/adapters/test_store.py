from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from controller.adapters.store import SqlStore
from controller.adapters.store.tables import metadata
from controller.core.errors import NotFound
from controller.core.fleet import Fleet
from controller.core.rollout import Phase
from controller.core.verdict import Outcome as VerdictOutcome
from controller.core.version import Version
from controller.engine.records import Evaluation, Event, Outcome
from tests.core.rollouts import NOON, a_rollout, a_verdict, later


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = SqlStore.in_folder(tmp_path)
    yield opened
    opened.close()


def an_event(message: str = "m") -> Event:
    return Event("fleet.created", "fleet", message, "ann", NOON)


def test_a_rollout_comes_back_as_it_was_saved(store: SqlStore) -> None:
    verdict = a_verdict(VerdictOutcome.INCONCLUSIVE)
    saved = a_rollout(phase=Phase.PAUSED, paused_phase=Phase.HOLDING, verdicts=(verdict,))
    store.save([an_event()], Fleet("v1", bad=frozenset({"v3"})), saved)
    loaded = store.load()
    assert loaded.rollout == saved
    assert loaded.fleet == Fleet("v1", bad=frozenset({"v3"}))


def test_the_newest_rollout_is_the_one_that_goes_on(store: SqlStore) -> None:
    store.save([], None, a_rollout())
    newer = a_rollout(id="r2", created_at=NOON + datetime.timedelta(seconds=1))
    store.save([], None, newer)
    store.save([], None, replace(a_rollout(), phase=Phase.ABORTED))
    assert store.load().rollout == newer


def test_events_come_in_order_behind_a_cursor(store: SqlStore) -> None:
    first, second = store.save([an_event("one"), an_event("two")])
    assert [event.message for event in store.events(after=first.id)] == ["two"]
    assert store.last_events(1) == [second]


def test_an_intent_is_pending_until_it_is_handled(store: SqlStore) -> None:
    intent = store.add_intent("promote", {"full": True}, "ann")
    assert store.pending_intents() == [intent]
    store.save([an_event()], handled=(intent, Outcome("done")))
    assert store.pending_intents() == []


def test_a_change_without_its_event_is_not_saved(store: SqlStore) -> None:
    unsavable = Event("k", "s", "m", "ann", NOON, data={"object": object()})
    with pytest.raises(Exception, match="JSON"):
        store.save([unsavable], Fleet("v2"))
    assert store.load().fleet is None


def test_a_version_keeps_its_digest(store: SqlStore) -> None:
    store.save_version(Version("v1", "/m"), "d" * 64, an_event())
    loaded = store.load()
    assert loaded.versions == {"v1": Version("v1", "/m")}
    assert loaded.digests == {"v1": "d" * 64}


def test_a_version_that_only_an_earlier_program_accepted_stops_no_other(
    tmp_path: Path, store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("v1", "v2"):
        store.save_version(Version(name, "/m"), None, an_event())
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("""UPDATE versions SET state = '{"name": "v2", "model": ""}'
                              WHERE name = 'v2'""")
    connection.close()
    assert list(store.load().versions) == ["v1"]
    assert "v2" in caplog.text


def test_an_evaluation_is_found_by_the_digests_and_keeps_failed_requests(store: SqlStore) -> None:
    evaluation = Evaluation("v1", "d", "digits", "e", NOON, {"u1": "一", "u2": None}, {"u1": 0.25})
    store.save_evaluation(evaluation, an_event())
    assert store.evaluation("d", "e") == evaluation
    assert store.evaluation("d", "other") is None


def test_a_cursor_stays_where_it_was_moved(tmp_path: Path, store: SqlStore) -> None:
    assert store.cursor("file") is None
    store.move_cursor("file", 7)
    store.move_cursor("file", 9)
    other = SqlStore.in_folder(tmp_path)
    assert (other.cursor("file"), other.cursor("other")) == (9, None)
    other.close()


def test_a_rollout_is_found_by_its_id(store: SqlStore) -> None:
    store.save([], None, a_rollout())
    assert store.rollout("r1") == a_rollout()
    with pytest.raises(NotFound, match="rollout history"):
        store.rollout("r9")


def test_a_rollouts_events_are_those_of_its_time_and_what_concerned_it_later(
    store: SqlStore,
) -> None:
    def phase(rollout: str, phase: str) -> Event:
        return Event("rollout.phase_changed", rollout, phase, "ann", NOON, {"phase": phase})

    saved = [
        an_event("before"), an_event("its start"), phase("r1", "preparing"), an_event("alarm"),
        phase("r1", "promoted"), an_event("after"), phase("r2", "preparing"),
        replace(an_event("its rollback"), kind="command.rollback"), phase("r1", "rolled_back"),
    ]  # fmt: skip
    store.save(saved)
    messages = [event.message for event in store.rollout_events("r1", 100)]
    assert messages == [
        "its start", "preparing", "alarm", "promoted", "its rollback", "rolled_back",
    ]  # fmt: skip
    assert store.rollout_events("r9", 100) == []


def test_the_promotion_of_a_version_is_its_newest_that_was_not_taken_back(store: SqlStore) -> None:
    promoted = a_rollout(phase=Phase.PROMOTED)
    again = replace(promoted, id="r2", created_at=later(1))
    store.save([], None, promoted, earlier=again)
    assert store.promotion_of("v2") == again
    store.save([], None, replace(again, phase=Phase.ROLLED_BACK))
    assert store.promotion_of("v2") == promoted
    assert store.promotion_of("v1") is None


def test_a_second_store_reads_what_the_first_wrote(tmp_path: Path, store: SqlStore) -> None:
    store.save([], Fleet("v7"))
    other = SqlStore.in_folder(tmp_path)
    assert other.load().fleet == Fleet("v7")
    other.close()


def test_the_migrations_make_exactly_the_tables(tmp_path: Path, store: SqlStore) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    engine.dispose()
