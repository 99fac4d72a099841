from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from asr_node import log


@pytest.fixture
def configured() -> Iterator[None]:
    """While stderr is one that is closed later, as under pytest."""
    loggers = [logging.getLogger(name) for name in ("", "asr_node", "python_multipart")]
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers[:]
    now = sys.stderr
    with io.StringIO() as before:
        sys.stderr = before
        log.configure()
        sys.stderr = now
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_what_is_logged_after_stderr_was_exchanged_goes_to_the_new_one(
    configured: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("library").warning("slow")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "slow"
