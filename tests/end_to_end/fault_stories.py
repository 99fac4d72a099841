"""What the tests of faults have in common, in either runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from tests.end_to_end.running_fleet import RunningFleet
from tests.end_to_end.user_load import Load

ANSWERS: Final = 8  # of a load before a fault, and after it


@contextlib.contextmanager
def flowing_load(fleet: RunningFleet) -> Iterator[Load]:
    """Real audio flows through a settled fleet before the block begins."""
    fleet.until_settled()
    with fleet.load() as load:
        fleet.until(lambda: len(load.answers) >= ANSWERS)
        yield load


def until_over(fleet: RunningFleet, load: Load, has_happened: Callable[[], object]) -> None:
    """Until the fault has shown and all is well again, with answers from afterwards."""
    fleet.until(has_happened)
    fleet.until_settled()
    answered = len(load.answers)
    fleet.until(lambda: len(load.answers) >= answered + ANSWERS)


def is_replaced(fleet: RunningFleet, name: str) -> Callable[[], bool]:
    """Whether something else runs of that node than now."""
    before = fleet.running_nodes()[name]
    return lambda: fleet.running_nodes().get(name, before) != before


def newly_told(fleet: RunningFleet, kind: str, name: str) -> Callable[[], list[str]]:
    """What the controller tells of that node from now on, by such events."""
    before = len(fleet.events(kind, name))
    return lambda: fleet.events(kind, name)[before:]


def until_served(fleet: RunningFleet, load: Load, killed: float) -> float:
    """When the first request was sent that was answered though it was sent after `killed`; there
    may be no controller."""

    def served() -> list[float]:
        answers = list(load.answers)
        return [a.began for a in answers if a.status == 200 and a.began > killed]

    fleet.until_without_controller(served)
    return min(served())
