"""The supervisor with real children: small programs that end as controllers do."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.supervisor import supervise


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """A supervisor takes these signals for itself until it ends, and here it is this process."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def program(tmp_path: Path, *statuses: int) -> list[str]:
    """Ends with each of the statuses in turn; how often it ran is in the file `runs`."""
    text = (
        "import pathlib, sys\n"
        f"runs = pathlib.Path({str(tmp_path / 'runs')!r})\n"
        "done = len(runs.read_text()) if runs.exists() else 0\n"
        "runs.write_text('x' * (done + 1))\n"
        f"sys.exit({list(statuses)!r}[done])\n"
    )
    (tmp_path / "program.py").write_text(text)
    return [sys.executable, str(tmp_path / "program.py")]


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text())


def test_a_controller_that_ended_is_not_started_again(tmp_path: Path) -> None:
    assert supervise(program(tmp_path, 0)) == 0
    assert runs(tmp_path) == 1


def test_a_refusal_at_the_first_start_is_final(tmp_path: Path) -> None:
    assert supervise(program(tmp_path, 1)) == 1
    assert runs(tmp_path) == 1


def test_a_crash_is_started_again_also_through_a_passing_refusal(tmp_path: Path) -> None:
    assert supervise(program(tmp_path, 70, 1, 0)) == 0
    assert runs(tmp_path) == 3
