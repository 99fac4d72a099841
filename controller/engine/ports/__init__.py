"""What the engine needs from the outside world. Adapters implement these; `api` wires them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from controller.core.eval_set import EvalSet
from controller.engine.ports.node_client import NodeClient
from controller.engine.ports.router import AccessLog, Router
from controller.engine.ports.runtime import Runtime
from controller.engine.ports.store import Store


@dataclass(slots=True)
class Ports:
    """The outside world, as `api` puts it together."""

    store: Store
    runtime: Runtime
    router: Router
    client: NodeClient
    access_log: AccessLog
    eval_set: Callable[[str], EvalSet]  # by name; blocking
    now: Callable[[], datetime.datetime]
