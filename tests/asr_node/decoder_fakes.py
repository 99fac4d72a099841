"""A decoder that files command: what FFmpeg might do with a hostile one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from asr_node.decoding.main import run
from asr_node.recognizer import SAMPLE_RATE, Samples

MODULE = "tests.asr_node.decoder_fakes"


def commanded(file: IO[bytes], max_seconds: float) -> Iterator[Samples]:
    """Otherwise a second of silence."""
    match file.read().decode().split():
        case ["crash"]:
            os.kill(os.getpid(), signal.SIGSEGV)
        case ["crash", "once", marker] if not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        case ["hang"]:
            signal.pause()
        case ["hang", "later"]:
            yield silence(1.0)
            yield silence(30.0)
            signal.pause()
        case ["grow"]:
            bytearray(4 * 1024**3)
        case ["fail"]:
            raise ZeroDivisionError
        case ["say", "too", "much"]:
            yield silence(max_seconds + 1)
        case ["say", "nothing"]:
            return
    yield silence(1.0)


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


if __name__ == "__main__":
    run(commanded)
