"""The line of a node's log that says why it ended."""

from __future__ import annotations

import datetime
import json

import pytest

from controller.engine.last_words import last_words
from tests.engine.fakes import NOON


def said(level: str, event: str, seconds: float = 1, **fields: object) -> str:
    at = (NOON + datetime.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    return json.dumps({"ts": at, "level": level, "event": event, **fields})


def test_the_last_error_speaks_before_what_was_said_while_it_stopped() -> None:
    log = [
        said("error", "inference.failed", error="out of memory"),
        said("error", "node.load_failed", reason="no folder here"),
        said("warning", "worker.output", text="bye"),
        said("info", "node.stopped", status=1),
    ]
    assert last_words("\n".join(log), NOON) == "node.load_failed: no folder here"


def test_what_is_no_event_speaks_where_there_is_no_error() -> None:
    log = [
        said("warning", "worker.output", text="careful"),
        "Traceback (most recent call last):",
        "ModuleNotFoundError: No module named 'torch'",
        "",
    ]
    assert last_words("\n".join(log)) == "ModuleNotFoundError: No module named 'torch'"


def test_an_exception_speaks_by_its_last_line() -> None:
    log = said("error", "library.log", traceback="Traceback:\n  …\nOSError: full\n")
    assert last_words(log) == "library.log: OSError: full"


def test_a_warning_speaks_before_nobody_does_and_who_was_killed_says_nothing() -> None:
    warned = [said("warning", "worker.output", text="CUDA error"), said("info", "node.stopping")]
    assert last_words("\n".join(warned)) == "worker.output: CUDA error"
    assert last_words(said("info", "node.listening")) == last_words("") == ""


def test_the_error_of_an_earlier_run_is_not_the_reason_of_this_end() -> None:
    log = [
        said("error", "node.load_failed", seconds=-9, reason="of the run before"),
        "a traceback of the run before",
        said("info", "node.stopped", seconds=-8),
        said("info", "node.listening"),
    ]
    assert last_words("\n".join(log), NOON) == ""
    assert last_words("\n".join(log)) == "node.load_failed: of the run before"


@pytest.mark.parametrize(
    "line",
    [
        "cannot fetch https://ann:sesame@hub.example/model",
        "refused: Authorization: Bearer sesame",
        "refused: https://hub.example/model?token=sesame&x=1",
        'refused: {"api_key": "sesame"}',
        "refused: password = sesame",
    ],
)
def test_no_secret_is_repeated(line: str) -> None:
    words = last_words(line)
    assert "sesame" not in words
    assert "…" in words


def test_a_long_line_is_cut_and_lines_are_one() -> None:
    log = said("error", "node.load_failed", reason="first\n  second " + "x" * 1000)
    words = last_words(log)
    assert words.startswith("node.load_failed: first second xxx")
    assert words.endswith("…")
    assert len(words) == 300


def test_lines_that_only_look_like_events_are_no_events() -> None:
    assert last_words("[1]\n42") == "42"
    assert last_words(json.dumps({"ts": 5, "level": "error", "event": "odd"}), NOON) == "odd"
