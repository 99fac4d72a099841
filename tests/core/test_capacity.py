"""How much work comes, and how much can be done."""

import pytest

from controller.core.capacity import WINDOW_SECONDS, Throughput


def counted(seconds: int, answers_a_second: int = 1, audio_seconds: float = 3.0) -> Throughput:
    """From time 1000 on."""
    throughput = Throughput()
    throughput.begin(1000)
    for at in range(1000, 1000 + seconds):
        for _ in range(answers_a_second):
            throughput.answered(at, audio_seconds)
    return throughput


def fast(throughput: Throughput, node: str, speed: float, answers: int = 10) -> None:
    for _ in range(answers):
        throughput.worked(node, speed, 1.0)


def test_the_load_is_the_audio_of_the_last_minute() -> None:
    assert counted(300, answers_a_second=2).load(1300) == pytest.approx(6.0)


def test_an_idle_fleet_has_no_load_and_a_young_count_tells_nothing() -> None:
    assert counted(0).load(1100) == 0
    assert counted(19).load(1019) is None
    assert Throughput().load(1000) is None


def test_a_load_that_is_over_is_forgotten() -> None:
    throughput = counted(30)
    assert throughput.load(1030 + WINDOW_SECONDS) == 0


def test_what_was_served_while_no_controller_counted_is_no_load_of_now() -> None:
    throughput = counted(30)
    for at in range(970, 1000):  # read from the log at once, after a restart
        throughput.answered(at, 3.0)
    assert throughput.load(1030) == pytest.approx(3.0)


def test_what_was_refused_for_want_of_room_is_load_too() -> None:
    throughput = counted(60)
    for at in range(1000, 1060):
        throughput.refused(at)
    assert throughput.load(1060) == pytest.approx(6.0)


def test_a_fleet_that_only_refuses_has_a_load_that_nobody_knows() -> None:
    throughput = counted(0)
    throughput.refused(1059)
    assert throughput.load(1060) is None


def test_room_is_the_sum_of_what_nodes_showed() -> None:
    throughput = Throughput()
    fast(throughput, "v1-1", 4.0)
    fast(throughput, "v1-2", 6.0)
    assert throughput.room(["v1-1", "v1-2"]) == pytest.approx(10.0)
    assert throughput.room([]) is None


def test_too_few_answers_tell_nothing() -> None:
    throughput = Throughput()
    fast(throughput, "v1-1", 4.0, answers=9)
    assert throughput.room(["v1-1"]) is None


def test_a_node_that_was_not_measured_is_as_fast_as_the_slowest_of_its_kind() -> None:
    throughput = Throughput()
    fast(throughput, "v1-1", 4.0)
    fast(throughput, "v1-2", 6.0)
    assert throughput.room(["backup-v1-1"], alike=["v1-1", "v1-2"]) == pytest.approx(4.0)
    assert throughput.room(["backup-v1-1"]) is None


def test_a_node_that_becomes_slower_is_believed() -> None:
    throughput = Throughput()
    fast(throughput, "v1-1", 8.0, answers=1000)
    fast(throughput, "v1-1", 2.0, answers=2000)
    assert throughput.room(["v1-1"]) == pytest.approx(2.0, rel=0.1)


def test_what_fleet_yaml_says_needs_no_measuring() -> None:
    throughput = Throughput(node_seconds_per_second=12.5)
    fast(throughput, "v1-1", 4.0)
    assert throughput.room(["v1-1", "v1-2"]) == 25.0


def test_a_node_that_is_gone_is_forgotten() -> None:
    throughput = Throughput()
    fast(throughput, "v1-1", 4.0)
    throughput.forget_others(["v1-2"])
    assert throughput.room(["v1-1"]) is None
