"""What the containers of one service have in common: names, labels, limits, hardening."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from docker.types import LogConfig

from controller.adapters.api_keys import NO_KEYS, ApiKeys

IMAGE_UID: Final = 10001  # the user of our images
_LABEL: Final = "asr-rollout"


@dataclass(frozen=True, slots=True)
class DockerSettings:
    """`base_url` None takes DOCKER_HOST. `memory` is Docker's notation (4g), `cpus` a number of
    cores; both limit each node, None does not."""

    service: str
    state_dir: Path
    image: str = "asr-rollout/node:dev"
    router_image: str = "asr-rollout/router:dev"
    base_url: str | None = None
    memory: str | None = None
    cpus: float | None = None
    api_keys: ApiKeys = NO_KEYS
    keep_copies: bool = False  # nodes keep the recordings of copied requests

    @property
    def network(self) -> str:
        return f"asr-{self.service}"

    def container_name(self, name: str) -> str:
        return f"asr-{self.service}-{name}"

    def labels(self, role: str) -> dict[str, str]:
        """What tells our containers from those of other services and other state folders."""
        folder = str(self.state_dir.absolute())
        return {
            f"{_LABEL}.service": self.service,
            f"{_LABEL}.state": hashlib.sha256(folder.encode()).hexdigest()[:16],
            f"{_LABEL}.role": role,
        }

    def is_ours(self, labels: dict[str, str], role: str) -> bool:
        return self.labels(role).items() <= labels.items()


def label(name: str) -> str:
    return f"{_LABEL}.{name}"


def label_filter(labels: dict[str, str]) -> dict[str, list[str]]:
    """As the engine's list call wants them."""
    return {"label": [f"{key}={value}" for key, value in labels.items()]}


def container_user() -> str:
    """uid:gid in the container: the caller's, so that its files are the caller's; where that is
    root, the images' own user."""
    uid, gid = (os.getuid(), os.getgid()) if os.getuid() else (IMAGE_UID, IMAGE_UID)
    return f"{uid}:{gid}"


def make_folder(folder: Path) -> None:
    """A folder that containers read and write, with what is in it: the caller's, or where that
    is root, the images' user's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            if path.lstat().st_uid != IMAGE_UID:
                os.chown(path, IMAGE_UID, IMAGE_UID, follow_symlinks=False)


def hardening(user: str) -> dict[str, Any]:
    """No privileges, a read-only root, a bounded log and a bounded number of processes."""
    return {
        "user": user,
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,size=256m,mode=1777"},  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 1024,
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
    }
