"""A stand-in for the node: a small HTTP server in the node's image. A version that names one as
its image is started as any other node is."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from controller.adapters.docker.runtime import DockerRuntime
from controller.engine.ports.runtime import NodeSpec, ObservedNode

SpecMaker = Callable[..., NodeSpec]
RuntimeMaker = Callable[..., DockerRuntime]

STAND_IN = "asr-rollout/test-node:obedient"
DEAF_STAND_IN = "asr-rollout/test-node:deaf"  # ignores SIGTERM
_SERVE = 'echo "stand-in $*"; exec python -u -m http.server 8000 --directory /data'
_SCRIPTS = {STAND_IN: _SERVE, DEAF_STAND_IN: f"trap '' TERM; {_SERVE}"}


def build_stand_ins(client: Any) -> None:
    for tag, script in _SCRIPTS.items():
        entrypoint = json.dumps(["sh", "-c", script, "--"])
        text = f"FROM asr-rollout/node:dev\nENTRYPOINT {entrypoint}\n"
        client.images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True)


async def only_node(runtime: DockerRuntime) -> ObservedNode:
    (node,) = await runtime.observe()
    return node
