"""A real node in a process of its own, with an engine that takes 30 ms for each file."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from asr_node.recognizer import Capabilities, DecodeOptions, Samples, Transcript

SECONDS = 0.03


class SlowRecognizer:
    device = "cpu"
    capabilities = Capabilities(frozenset({"auto", "zh"}), itn=True)

    def warm_up(self) -> None:
        pass

    def transcribe(self, batch: Sequence[Samples], options: DecodeOptions) -> list[Transcript]:
        time.sleep(SECONDS * len(batch))
        return [Transcript(f"{samples.size} samples", f"{samples.size}") for samples in batch]


class SlowEngine:
    """By --engine tests.asr_node.batch_node:SlowEngine."""

    name = "slow 1.0"

    def __init__(self, settings: object) -> None:
        self._folder = Path(settings.model)  # type: ignore[attr-defined]

    def resolve(self) -> Mapping[str, Path]:
        return {"model": self._folder}

    def load(self, folders: Mapping[str, Path], device: str) -> SlowRecognizer:
        return SlowRecognizer()

    def load_voice_activity(self, folders: Mapping[str, Path]) -> None:
        """Nothing here is long."""


def main(model: str, data: str, port: str) -> None:
    from asr_node import log
    from asr_node.cli import bind
    from asr_node.data_dir import held
    from asr_node.node import Node
    from asr_node.server import leave, serve
    from asr_node.settings import Settings

    log.configure()
    settings = Settings(
        model=model,
        engine="tests.asr_node.batch_node:SlowEngine",
        version="v1",
        name="n1",
        data_dir=Path(data),
    )
    with held(settings.data_dir), bind("127.0.0.1", int(port)) as listening:
        leave(serve(Node(settings), listening))


if __name__ == "__main__":
    main(*sys.argv[1:])
