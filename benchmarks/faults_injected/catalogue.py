"""The faults that benchmarks/faults.py injects, by name."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.faults_injected.hands import Hands, end, is_dead, small_disk
from benchmarks.faults_injected.mishearing import mishear, own_model
from benchmarks.fleet import BenchFleet, Runtime

# No gates and no holds: how a fault is survived is measured, not what leads to a promotion.
PLANS: Final = {"half": {"steps": [{"percent": 50}, {"percent": 100}], "rollback_window": 0}}
ALL_NODES: Final = ("v1-1", "v1-2", "backup-v1-1")
STABLE: Final = ("v1-1", "v1-2")
ONE: Final = ("v1-1",)


@dataclass(slots=True)
class Scene:
    """A fleet under load. `began` is when the fault was injected (seconds since the epoch), `done`
    when that had taken effect: many processes do not die in one moment."""

    fleet: BenchFleet
    hands: Hands
    hold_seconds: float = 15.0  # how long a fault lasts that ends by itself
    reloads: int = 200
    began: float = 0.0
    done: float = 0.0

    def begin(self) -> None:
        self.began = self.done = time.time()


Act = Callable[[Scene], AbstractContextManager[None]]


@contextlib.contextmanager
def _nothing(_: object) -> Iterator[None]:
    yield


@dataclass(frozen=True, slots=True)
class Fault:
    """`act` injects it and calls `scene.begin` in the last moment before; what it leaves is put
    right when the block ends. `ground` is prepared before the fleet starts, `prepare` before the
    load does. `notice_seconds`: how long a request may be held by what was hurt, and
    `probe_seconds` until the controller must have seen it; None: nothing is to be noticed."""

    name: str
    words: str
    act: Act
    targets: tuple[str, ...] = ()
    notice_seconds: float | None = None
    probe_seconds: float | None = None
    ground: Callable[[BenchFleet], AbstractContextManager[None]] = _nothing
    prepare: Callable[[Scene], None] | None = None
    not_in: Mapping[Runtime, str] = field(default_factory=dict)  # why
    may_fail_in_flight: bool = False  # the requests whose connection the fault itself ends
    may_refuse: bool = False  # with a 503, where nobody is left to answer
    mishears: bool = False  # until it is noticed, what the targets answer is wrong


def _killing(*names: str) -> Act:
    @contextlib.contextmanager
    def act(scene: Scene) -> Iterator[None]:
        victims = scene.hands.nodes(*names)
        scene.begin()
        end(victims)
        yield

    return act


@contextlib.contextmanager
def _freeze(scene: Scene) -> Iterator[None]:
    scene.begin()
    scene.hands.freeze(ONE[0])
    try:
        yield
    finally:
        scene.hands.thaw(ONE[0])


@contextlib.contextmanager
def _cut(scene: Scene) -> Iterator[None]:
    scene.begin()
    scene.hands.cut(ONE[0])
    yield  # the node's namespace, with its rules, goes with its container


@contextlib.contextmanager
def _hobble(scene: Scene) -> Iterator[None]:
    scene.begin()
    scene.hands.hobble(ONE[0], scene.hold_seconds)
    yield


@contextlib.contextmanager
def _kill_worker(scene: Scene) -> Iterator[None]:
    scene.begin()
    scene.hands.kill_worker(ONE[0])
    yield


@contextlib.contextmanager
def _mishear(scene: Scene) -> Iterator[None]:
    mishear(scene.fleet, scene.hands, ONE[0])
    scene.begin()  # since it takes traffic again
    yield


@contextlib.contextmanager
def _damage_history(scene: Scene) -> Iterator[None]:
    scene.begin()
    scene.hands.damage_history(ONE[0])
    yield


@contextlib.contextmanager
def _fill_disk(scene: Scene) -> Iterator[None]:
    scene.begin()
    with scene.hands.full_disk(ONE[0]):
        time.sleep(scene.hold_seconds)
        yield


@contextlib.contextmanager
def _small_disk(fleet: BenchFleet) -> Iterator[None]:
    try:
        with small_disk(fleet.state_dir / "nodes" / ONE[0]):
            yield
    finally:
        shutil.rmtree(fleet.folder, ignore_errors=True)  # the fleet could not, while it was mounted


@contextlib.contextmanager
def _kill_router(scene: Scene) -> Iterator[None]:
    victims = scene.hands.router_family()
    scene.begin()
    end(victims)
    while not all(map(is_dead, victims)):
        time.sleep(0.001)
    scene.done = time.time()
    yield


@contextlib.contextmanager
def _reload_storm(scene: Scene) -> Iterator[None]:
    """Five a second."""
    scene.begin()
    for number in range(scene.reloads):
        time.sleep(max(0.0, scene.began + number / 5 - time.time()))
        scene.hands.reload_router()
    yield


@contextlib.contextmanager
def _kill_controller(scene: Scene) -> Iterator[None]:
    scene.begin()
    scene.hands.kill_controller()
    yield


def _half_on_canary(scene: Scene) -> None:
    scene.fleet.client.post("/api/rollouts", {"version": "v2", "plan": "half", "force": True})
    scene.fleet.wait_for_share(50)


@contextlib.contextmanager
def _rollback_in_fault(scene: Scene) -> Iterator[None]:
    victims = scene.hands.nodes(*ONE)
    scene.begin()
    end(victims)
    scene.fleet.client.post("/api/rollback", {})
    yield
    scene.fleet.wait_until(
        "it is rolled back", lambda: scene.fleet.rollout()["phase"] == "rolled_back", 120
    )


@contextlib.contextmanager
def _promote_in_fault(scene: Scene) -> Iterator[None]:
    scene.fleet.wait_until(
        "the step is over", lambda: scene.fleet.rollout()["phase"] == "waiting", 60
    )
    victims = scene.hands.nodes("v2-1")
    scene.begin()
    end(victims)
    scene.fleet.client.post("/api/rollouts/current/promote", {"full": True})
    yield
    scene.fleet.wait_until(
        "it has ended", lambda: scene.fleet.rollout()["phase"] in {"promoted", "rolled_back"}, 180
    )


_NO_NAMESPACE: Final = "nodes on loopback have no network of their own to be cut off from"
_NO_GPU: Final = "needs a GPU that can be taken away"


def _never(words: str) -> Mapping[Runtime, str]:
    return {"process": words, "docker": words}


FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault("kill-stable", "kill -9 of a stable node", _killing(*ONE), ONE, 0.1, 3.5),
        Fault("freeze-stable", "a stable node stands still", _freeze, ONE, 5.0, 5.0),
        Fault("network-cut", "a stable node's packets are dropped", _cut, ONE, 15.0, 15.0,
              not_in={"process": _NO_NAMESPACE}),
        Fault("slow", "a stable node runs a fifth of the time", _hobble),
        Fault("kill-worker", "a stable node's worker is killed, as when memory is out",
              _kill_worker),
        Fault("wrong-answers", "a stable node hears wrong", _mishear, ONE, None, 20.0,
              ground=own_model, mishears=True),
        Fault("gpu-gone", "a stable node's GPU is gone", _nothing, not_in=_never(_NO_GPU)),
        Fault("history-damaged", "noise over a stable node's history", _damage_history),
        Fault("disk-full", "a stable node's disk is full", _fill_disk, ground=_small_disk),
        Fault("nginx-killed", "kill -9 of nginx, master and workers", _kill_router,
              may_fail_in_flight=True),
        Fault("reload-storm", "nginx reloads five times a second", _reload_storm),
        Fault("controller-killed", "kill -9 of the controller", _kill_controller),
        Fault("kill-canary", "kill -9 of the canary at 50 %", _killing("v2-1"), ("v2-1",), 0.1,
              3.5, prepare=_half_on_canary),
        Fault("all-stable", "kill -9 of all stable nodes", _killing(*STABLE), STABLE, 0.1, 3.5),
        Fault("everything", "kill -9 of all nodes", _killing(*ALL_NODES), ALL_NODES, None, 3.5,
              may_refuse=True),
        Fault("rollback-in-fault", "kill -9 of a stable node, and a rollback from 50 %",
              _rollback_in_fault, ONE, 0.1, 3.5, prepare=_half_on_canary),
        Fault("promote-in-fault", "kill -9 of the canary's node, and its promotion from 50 %",
              _promote_in_fault, ("v2-1",), 0.1, 3.5, prepare=_half_on_canary),
    )
}  # fmt: skip
