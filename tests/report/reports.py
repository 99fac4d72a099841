"""A rollout with everything in it: two steps, verdicts of all kinds, hostile transcripts."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

from controller.core.gate import ErrorRateGate
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Plan, Step
from controller.core.rollout import Phase, Rollout, begin
from controller.core.verdict import Outcome, Verdict
from controller.core.version import Version
from controller.engine.audit import rollout_events
from controller.engine.records import Event, Served
from controller.engine.traffic import Traffic
from controller.report import Record, report_of

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
HOSTILE = "<script>alert(1)</script> | *bold* [x](http://evil.example/) `c` ```\n# h \u202e\ud800"
PLAN = Plan(
    name="default",
    steps=(Step(5, 600), Step(50, 600), Step(100)),
    gates=(
        ErrorRateGate(eval_sets=("digits",)),
        ErrorRateGate("words", "wer", None, ("digits",), max_increase_percent=10.0),
    ),
    eval_sets=("digits",),
    live_gates=(LiveGate("success", Kind.SUCCESS), LiveGate("degraded", Kind.DEGRADED)),
)
VERSIONS = {name: Version(name, f"/models/{name}") for name in ("v1", "v2")}
DIGESTS = {"v1": "1" * 64, "v2": "2" * 64}


def verdict(gate: str, outcome: Outcome, low: float, high: float, **more: Any) -> Verdict:
    middle = (low + high) / 2
    words = f"CER changed by {100 * middle:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f})"
    return Verdict(gate, outcome, 0.0481, 0.0481 + middle, middle, (low, high), 500, words, **more)


GOOD = (
    verdict("error-rate overall", Outcome.PASS, -0.0062, -0.0018, measure="cer", form="written"),
    verdict("error-rate digits", Outcome.INCONCLUSIVE, -0.0045, 0.0145),
    verdict(
        "words overall", Outcome.PASS, -0.001, 0.002,
        relative_interval=(-0.02, 0.04), measure="wer", probability_of_improvement=0.31,
    ),
)  # fmt: skip
LIVE = (
    verdict("success", Outcome.FAIL, 0.011, 0.043, keys=212),
    replace(verdict("degraded", Outcome.PASS, 0.0, 0.0, keys=2), stable=0.0, canary=0.0),
)
BAD = (*LIVE, verdict("error-rate digits", Outcome.FAIL, 0.021, 0.043), *GOOD[:1])


class History:
    """A rollout as the loop would have led it, with its events."""

    def __init__(self, **changes: Any) -> None:
        self.now = NOON
        self.traffic = Traffic(lambda _: None)
        self.told: tuple[Verdict, ...] = ()
        self.events: list[Event] = []
        self.rollout: Rollout | None = None
        self.become(replace(begin("v2-20261121-1", "v2", "v1", PLAN, "ann", NOON), **changes))

    def become(self, after: Rollout, seconds: float = 0.0, actor: str = "controller") -> None:
        self.now += datetime.timedelta(seconds=seconds)
        new = rollout_events(self.rollout, after, self.told, self.traffic, actor, self.now)
        self.told, self.rollout = after.verdicts, after
        self.events += new

    def to(self, phase: Phase, seconds: float, reason: str, **changes: Any) -> None:
        self.now += datetime.timedelta(seconds=seconds)
        assert self.rollout is not None
        self.become(replace(self.rollout.to(phase, self.now, reason), **changes))

    def serve(self, share: float, canary: int, stable: int) -> None:
        self.traffic.follow(share)
        for pool, count in (("canary", canary), ("stable", stable)):
            for n in range(count):
                self.traffic.take(Served(pool, "percent", f"{pool}{n}", 200, ()))

    def note(self, kind: str, message: str, actor: str = "controller", **data: Any) -> None:
        subject = self.rollout.id if self.rollout is not None else ""
        self.events.append(Event(kind, subject, message, actor, self.now, data))

    def record(self) -> Record:
        assert self.rollout is not None
        later = self.now + datetime.timedelta(days=400)
        return report_of(self.rollout, self.events, VERSIONS, DIGESTS, later)


def worst(canary: str | None = "请拨打一千零八十六", **changes: Any) -> dict[str, Any]:
    return {
        "eval_set": "digits",
        "key": "digits-0001",
        "tags": ["digits", "noise"],
        "more_errors": 4,
        "reference": "请拨打一零零八六转接人工",
        "stable": "请拨打一零零八六转人工",
        "canary": canary,
    } | changes


def measured(*pairs: dict[str, Any]) -> dict[str, Any]:
    return {
        "measure": "cer", "form": "written", "worst": list(pairs or (worst(),)),
        "eval_sets": [{"name": "digits", "digest": "e" * 64, "utterances": 500}],
    }  # fmt: skip


def promoted_and_rolled_back(**changes: Any) -> Record:
    """`changes` are of the rollout that begins."""
    history = History(**changes)
    history.to(Phase.HOLDING, 30, "1 of 1 canary nodes are ready", reached_percent=5.0)
    history.note("gates.measured", "both versions transcribed 500 utterances", **measured())
    history.serve(5, canary=40, stable=960)
    history.to(Phase.WAITING, 600, "undecided: a person must decide", verdicts=GOOD)
    history.to(Phase.PREPARING, 300, "promoted by ann", step=1)
    history.note("command.promote", "rollout v2-20261121-1 is preparing", "ann")
    history.to(Phase.HOLDING, 20, "2 of 2 canary nodes are ready", reached_percent=50.0)
    history.serve(50, canary=300, stable=310)
    history.become(replace(history.rollout, verdicts=BAD), 120)
    history.to(Phase.PREPARING, 480, "promoted by ann, all the way", step=2, verdicts=GOOD)
    history.to(Phase.HOLDING, 20, "2 of 2 canary nodes are ready", reached_percent=100.0)
    history.to(Phase.PROMOTED, 60, "last step done; all gates passed")
    history.note("command.refused", "changes are frozen", "eve")
    history.note("command.rollback", "rolled back", "bob")
    history.to(Phase.ROLLED_BACK, 7200, "rolled back by bob after its promotion")
    return history.record()


def hostile() -> Record:
    """Whatever can come from outside tries to be markup."""
    history = History(reason=HOSTILE, actor=HOSTILE)
    pair = worst(HOSTILE, reference=HOSTILE, stable=HOSTILE, key=HOSTILE, tags=[HOSTILE])
    history.note("gates.measured", HOSTILE, HOSTILE, **measured(pair, worst(None)))
    said = verdict("error-rate digits", Outcome.FAIL, 0.02, 0.04)
    history.to(
        Phase.ROLLED_BACK, 10, HOSTILE, verdicts=(replace(said, gate=HOSTILE, reason=HOSTILE),)
    )
    named = {name: replace(v, model=HOSTILE, language=HOSTILE) for name, v in VERSIONS.items()}
    digests = dict.fromkeys(DIGESTS, HOSTILE)
    assert history.rollout is not None
    return report_of(history.rollout, history.events, named, digests, history.now)
