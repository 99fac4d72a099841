"""Halves, pairs and counts in the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text

from controller.adapters.store import SqlStore
from controller.adapters.store.shadows import KEPT, ShadowStore
from controller.core.shadow.pair import Heard, counted

R = "v2-1"


@pytest.fixture
def shadows(tmp_path: Path) -> Iterator[ShadowStore]:
    store = SqlStore.in_folder(tmp_path)
    yield store.shadows
    store.close()


def heard(request_id: str, text: str | None, copy: bool = False, node: str = "v1-1") -> Heard:
    return Heard(node, 1, f"e-{request_id}", request_id, "v1", text, copy, 4.0, "zh")


def compare_all(shadows: ShadowStore) -> int:
    pairs = shadows.uncompared(R, 10_000)
    shadows.compared(R, {stable.request_id: counted(stable, copy) for stable, copy in pairs})
    shadows.keep_worst(R)
    return len(pairs)


def pair(shadows: ShadowStore, request_id: str, stable: str, canary: str) -> None:
    shadows.take(R, "v1-1", 5, [heard(request_id, stable)])
    shadows.take(R, "v2-1", 7, [heard(request_id, canary, copy=True, node="v2-1")])
    shadows.take_keys(R, {request_id: "key1"})


def test_halves_become_a_pair_in_whatever_order_they_come(shadows: ShadowStore) -> None:
    shadows.take(R, "v2-1", 7, [heard("a", "你号", copy=True)])
    shadows.take_keys(R, {"a": "key1"})
    assert shadows.uncompared(R, 10) == []
    shadows.take(R, "v1-1", 5, [heard("a", "你好")])
    assert [(s.text, c.text) for s, c in shadows.uncompared(R, 10)] == [("你好", "你号")]
    assert shadows.cursors(R) == {"v1-1": 5, "v2-1": 7}


def test_what_comes_twice_counts_once(shadows: ShadowStore) -> None:
    for _ in range(2):
        pair(shadows, "a", "你好", "你号")
        compare_all(shadows)
    (tally,) = shadows.tallies(R)
    assert (tally.key, tally.pairs, tally.units, tally.written, tally.differ_written) == (
        "key1", 1, 2, 1, 1,
    )  # fmt: skip


def test_a_pair_waits_for_its_key_and_never_counts_without(shadows: ShadowStore) -> None:
    """Else one user's requests would count as many users."""
    for request_id in ("a", "b"):
        shadows.take(R, "v1-1", 5, [heard(request_id, "你好")])
        shadows.take(R, "v2-1", 7, [heard(request_id, "你号", copy=True, node="v2-1")])
    assert compare_all(shadows) == 0
    shadows.take_keys(R, {"a": "key1"})
    assert compare_all(shadows) == 1
    shadows.end(R)
    assert [(tally.key, tally.pairs) for tally in shadows.tallies(R)] == [("key1", 1)]


def test_an_answer_replaces_a_failure_of_another_node(shadows: ShadowStore) -> None:
    shadows.take(R, "v1-1", 5, [heard("a", None)])
    shadows.take(R, "v1-2", 5, [heard("a", "你好", node="v1-2")])
    shadows.take(R, "v1-3", 5, [heard("a", "别的", node="v1-3")])
    shadows.take_keys(R, {"a": "key1"})
    shadows.take(R, "v2-1", 5, [heard("a", "你好", copy=True)])
    assert [(s.node, s.text) for s, _ in shadows.uncompared(R, 9)] == [("v1-2", "你好")]


def test_texts_that_agree_are_not_kept_but_counted(shadows: ShadowStore) -> None:
    pair(shadows, "a", "你好", "你好。")
    pair(shadows, "b", "你好", "再见")
    compare_all(shadows)
    assert [d.request_id for d in shadows.disagreements(R)] == ["b"]
    assert sum(tally.pairs for tally in shadows.tallies(R)) == 2
    assert compare_all(shadows) == 0


def test_the_worst_pairs_come_first_and_only_so_many_are_kept(shadows: ShadowStore) -> None:
    texts = {f"r{n:04}": "错" * (1 + n % 7) for n in range(KEPT + 30)}
    shadows.take(R, "v1-1", 1, [heard(i, "对" * 7) for i in texts])
    shadows.take(R, "v2-1", 1, [heard(i, t, copy=True) for i, t in texts.items()])
    shadows.take_keys(R, dict.fromkeys(texts, "key1"))
    compare_all(shadows)
    pair(shadows, "worst", "对" * 20, "")
    compare_all(shadows)
    found = shadows.disagreements(R)
    assert (len(found), found[0].request_id, found[0].rate) == (KEPT, "worst", 1.0)
    assert sum(tally.pairs for tally in shadows.tallies(R)) == KEPT + 31


def test_another_rollouts_pairs_are_apart(shadows: ShadowStore) -> None:
    pair(shadows, "a", "你好", "再见")
    compare_all(shadows)
    assert shadows.disagreements("other") == []
    assert shadows.tallies("other") == []


def test_halves_without_another_are_forgotten_in_the_end(shadows: ShadowStore) -> None:
    pair(shadows, "a", "你好", "再见")
    compare_all(shadows)
    shadows.take_keys(R, {"alone": "key1"})
    shadows.take(R, "v1-1", 6, [heard("alone", "我在")])
    shadows.forget_old()
    shadows.take(R, "v2-1", 8, [heard("alone", "我不在", copy=True)])
    assert len(shadows.uncompared(R, 9)) == 1  # it had not waited for long
    shadows.end(R)
    assert shadows.uncompared(R, 9) == []
    assert len(shadows.disagreements(R)) == 1


def test_an_hour_later_rows_are_gone_and_counts_are_not(shadows: ShadowStore) -> None:
    """Else the table grows with every request."""
    pair(shadows, "a", "你好", "你好。")
    pair(shadows, "b", "你好", "再见")
    pair(shadows, "c", "你好", "你号")
    compare_all(shadows)
    shadows.forget_texts(R, ["c"])
    shadows.take(R, "v1-1", 6, [heard("alone", "我在")])
    with shadows._engine.begin() as connection:
        connection.execute(text("UPDATE shadow_pairs SET at = '2026-01-01T00:00:00+00:00'"))
    shadows.forget_old()
    with shadows._engine.connect() as connection:
        assert [*connection.scalars(text("SELECT request_id FROM shadow_pairs"))] == ["b"]
    assert [tally.pairs for tally in shadows.tallies(R)] == [3]


def test_when_a_rollout_ends_nothing_but_the_worst_pairs_and_the_counts_stay(
    shadows: ShadowStore,
) -> None:
    pair(shadows, "a", "你好", "你好。")
    pair(shadows, "b", "你好", "再见")
    compare_all(shadows)
    shadows.take_keys(R, {f"r{n}": "key1" for n in range(1200)})
    shadows.end(R)
    with shadows._engine.connect() as connection:
        assert [*connection.scalars(text("SELECT request_id FROM shadow_pairs"))] == ["b"]
    assert shadows.cursors(R) == {}
    assert [tally.pairs for tally in shadows.tallies(R)] == [2]


def test_many_keys_are_few_statements_in_short_transactions(shadows: ShadowStore) -> None:
    """In SQLite nobody else writes meanwhile, and a rollback is a write."""
    rows: list[int] = []
    commits: list[object] = []
    event.listen(
        shadows._engine, "before_cursor_execute", lambda c, k, s, p, x, many: rows.append(len(p))
    )
    event.listen(shadows._engine, "commit", commits.append)
    shadows.take_keys(R, {f"r{n}": "key1" for n in range(2000)})
    assert (rows, len(commits)) == ([500] * 4, 4)


def test_what_is_asked_every_few_seconds_reads_no_whole_table(shadows: ShadowStore) -> None:
    said: list[tuple[str, tuple[object, ...]]] = []
    event.listen(
        shadows._engine, "before_cursor_execute", lambda c, k, s, p, x, many: said.append((s, p))
    )
    shadows.uncompared(R, 200)
    shadows.keep_worst(R)
    shadows.forget_old()
    shadows.tallies(R)
    with shadows._engine.connect() as connection:
        for statement, values in [*said]:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            assert not [row.detail for row in plan if "SCAN" in row.detail], statement
            index = "autoindex" if "tallies" in statement else "INDEX shadow_"
            assert any(index in row.detail for row in plan), statement
