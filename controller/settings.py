"""What a controller is started with; everything else is in fleet.yaml and the state folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RuntimeChoice = Literal["auto", "docker", "process"]
DEFAULT_STATE_DIR = Path(".asr-rollout")


@dataclass(frozen=True, slots=True)
class Settings:
    """`runtime` None takes the one of fleet.yaml. `host` other than loopback needs the token
    of the state folder for reading, too."""

    fleet_path: Path = Path("fleet.yaml")
    state_dir: Path = DEFAULT_STATE_DIR
    runtime: RuntimeChoice | None = None
    host: str = "127.0.0.1"
    port: int = 8090
