"""When the backup helps stable, and when it gives back."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.core.failover import Failover, FailoverRules, Help, Strength, follow

RULES = FailoverRules(failback_after_seconds=30, full_percent=80)
WELL = Strength(members=2, steady=2, wanted=2, backups=1, alike=1)
GONE = replace(WELL, members=0, steady=0)
FULL = replace(WELL, load=8.1, room=10.0)
NONE = Failover(began=True)


def after(*seen: tuple[float, Strength], before: Failover = NONE) -> Failover:
    for now, strength in seen:
        before = follow(before, now, strength, RULES)
    return before


def test_the_backup_serves_at_once_when_stable_has_no_ready_node() -> None:
    found = after((100, WELL), (101, GONE))
    assert (found.help, found.since, found.reason) == (
        Help.SERVES, 101, "stable has no ready node"
    )  # fmt: skip


def test_stable_comes_back_beside_the_backup_and_is_alone_once_it_was_well_for_long() -> None:
    back = after((100, GONE), (110, WELL))
    assert (back.help, back.since) == (Help.SHARES, 100)
    assert after((139.9, WELL), before=back).help is Help.SHARES
    given_back = after((140, WELL), before=back)
    assert (given_back.help, given_back.reason) == (Help.NONE, "stable has been well for 30 s")


def test_who_falls_again_begins_its_time_anew() -> None:
    found = after((100, GONE), (110, WELL), (130, GONE), (135, WELL), (164, WELL))
    assert found.help is Help.SHARES
    assert found.since == 100
    assert after((165, WELL), before=found).help is Help.NONE


def test_help_has_not_ended_where_the_backup_dies_too() -> None:
    nobody = replace(GONE, backups=0, alike=0)
    found = after((100, GONE), (110, nobody))
    assert (found.help, found.since) == (Help.SERVES, 100)
    assert after((100, FULL), (110, nobody)).help is Help.SHARES
    assert after((100, nobody)) == NONE
    back = after((120, replace(WELL, backups=0, alike=0)), before=found)
    assert back.help is Help.NONE


def test_half_of_stable_is_not_well_unless_it_is_known_to_be_enough() -> None:
    half = replace(WELL, members=1, steady=1)
    assert after((100, GONE), (110, half), (1000, half)).help is Help.SHARES
    enough = replace(half, load=3.0, room=5.0)
    assert after((100, GONE), (110, enough), (140, enough)).help is Help.NONE


def test_the_backup_shares_a_load_that_stable_has_too_little_room_for() -> None:
    found = after((100, FULL))
    assert found.help is Help.SHARES
    assert found.reason == "stable's load is above 80 % of what its ready nodes can do"


def test_it_shares_until_there_is_room_to_spare() -> None:
    less = replace(FULL, load=6.5)  # below 80 %, not below 64 %
    assert after((100, FULL), (110, less), (1000, less)).help is Help.SHARES
    spare = replace(FULL, load=6.3)
    assert after((100, FULL), (110, spare), (140, spare)).help is Help.NONE


def test_a_node_less_is_too_little_room_for_the_load_that_two_had() -> None:
    load = replace(WELL, load=7.0, room=10.0)
    assert after((100, load)).help is Help.NONE
    assert after((101, replace(load, members=1, steady=1, room=5.0))).help is Help.SHARES


def test_what_is_not_known_moves_no_traffic() -> None:
    for unknown in (replace(WELL, load=100.0), replace(WELL, room=0.1), WELL):
        assert after((100, unknown)).help is Help.NONE


def test_a_backup_of_another_version_never_shares_but_serves_rather_than_nobody() -> None:
    other = replace(FULL, alike=0)
    assert after((100, other)).help is Help.NONE
    assert after((100, replace(GONE, alike=0))).help is Help.SERVES
    assert after((100, replace(GONE, alike=0)), (101, replace(WELL, alike=0))).help is Help.NONE


def test_the_backup_shares_while_all_of_stables_nodes_fall_again_and_again() -> None:
    flapping = replace(WELL, steady=0)
    assert after((100, flapping), (1000, flapping)).help is Help.SHARES


def test_a_fleet_that_comes_up_fails_over_from_nothing() -> None:
    found = after((100, GONE), before=Failover())
    assert (found.help, found.began) == (Help.SERVES, False)
    assert after((105, WELL), before=found) == NONE


STRENGTHS = st.builds(
    lambda members, steady, backups, alike, load, room: Strength(
        members, min(members, steady), 2, backups, min(backups, alike), load, room
    ),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 2),
    st.none() | st.floats(0, 100),
    st.none() | st.floats(0, 100),
)


@given(st.lists(st.tuples(st.floats(0, 40), STRENGTHS), max_size=30))
def test_whatever_happens_traffic_goes_where_a_ready_node_is(
    story: list[tuple[float, Strength]],
) -> None:
    now, state = 0.0, NONE
    for seconds, seen in story:
        now += seconds
        before, state = state, follow(state, now, seen, RULES)
        assert state.began
        if seen.members == 0 and seen.backups:
            assert state.help is Help.SERVES
        if seen.members:
            assert state.help is not Help.SERVES
        if state.help is Help.SHARES:
            assert seen.alike or not (seen.members or seen.backups)
        if before.help is Help.NONE and seen.steady and None in {seen.load, seen.room}:
            assert state.help is Help.NONE
        if before.help is not Help.NONE and state.help is Help.NONE and seen.alike and seen.members:
            assert before.well_since is not None
            assert now - before.well_since >= RULES.failback_after_seconds
        assert (state.since is None) == (state.help is Help.NONE)
        assert bool(state.reason) or state.help is Help.NONE


@given(st.lists(st.tuples(st.floats(0, 40), STRENGTHS), max_size=10), STRENGTHS)
def test_the_same_fact_twice_at_the_same_time_changes_nothing(
    story: list[tuple[float, Strength]], seen: Strength
) -> None:
    state, now = NONE, 0.0
    for seconds, strength in story:
        now += seconds
        state = follow(state, now, strength, RULES)
    once = follow(state, now, seen, RULES)
    if once.help is not Help.NONE or state.help is Help.NONE:
        assert follow(once, now, seen, RULES) == once
