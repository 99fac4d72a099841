"""Do copies slow stable down? Nodes may share a machine or a GPU, whatever their priorities.

A request is slow when it takes longer than 95 % of those for recordings of its length that stable
answered while nothing was copied, so 5 % are slow by definition. While requests are copied the
share of slow ones is watched as disagreement is (`shadow.judge`): sticky keys are the blocks, and
looks share the level. It compares two times, so a rush at the same time looks the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from controller.core.errors import InvalidConfig
from controller.core.gate import Action
from controller.core.live.slowness import Slowness
from controller.core.names import check_name
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.judge import Rate, Tally, look, rate_of
from controller.core.verdict import Outcome, Verdict

SLOW_ALONE: Final = 0.05
MOST_KEYS: Final = 20_000  # further ones are not counted: memory stays bounded
_CONFIDENCE: Final = 99.0  # percent, two-sided: a wrong fail ends the copies


@dataclass(frozen=True, slots=True)
class StrainGate:
    """While requests are copied at most `max_slow_percent` of stable's may be slow (without
    copies 5 are). Copies end at once where it fails, whatever else that leads to. It takes
    `min_requests` of `min_keys` sticky keys. Raises InvalidConfig."""

    name: str = "stable-latency"
    max_slow_percent: float = 10.0
    min_keys: int = 10
    min_requests: int = 200
    on_fail: Action | None = None
    on_inconclusive: Action | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "gate")
        if not 100 * SLOW_ALONE < self.max_slow_percent < 100:
            raise InvalidConfig(
                f"max_slow_percent: {self.max_slow_percent:g} is not above 5, which are slow "
                f"without copies, and below 100"
            )
        self.counted()  # refuses the others

    def counted(self) -> DisagreementGate:
        """The same bound on the same blocks."""
        try:
            return DisagreementGate(
                self.name, "ser", max_percent=self.max_slow_percent, min_pairs=self.min_requests,
                min_keys=self.min_keys, confidence=_CONFIDENCE,
            )  # fmt: skip
        except InvalidConfig as error:
            raise InvalidConfig(str(error).replace("min_pairs", "min_requests")) from error


class Strain:
    """Evidence: mutable. Grows with the sticky keys, up to `MOST_KEYS`, not with the requests."""

    def __init__(self) -> None:
        self._alone = Slowness()
        self._counts: dict[str, tuple[int, int]] = {}  # by key: requests, slow ones
        self.requests = 0  # that were counted

    def observe(self, copying: bool, key: str, seconds: float, audio_seconds: float) -> None:
        """A request that stable answered."""
        slow = self._alone.observe(copying, seconds, audio_seconds)
        if not copying or slow is None:
            return
        if key in self._counts or len(self._counts) < MOST_KEYS:
            self.requests += 1
            requests, found = self._counts.get(key, (0, 0))
            self._counts[key] = (requests + 1, found + slow)

    def begin_anew(self) -> None:
        """Copies of another rollout begin; how stable is alone stays known."""
        self._counts.clear()
        self.requests = 0

    def judge(self, gate: StrainGate) -> Verdict:
        """With all that was seen; for `look` to say when that counts."""
        counted = gate.counted()
        number = look(counted, self.requests)
        level = counted.level / (number * (number + 1)) if number else counted.level
        tallies = [Tally(key, (), n, n, slow, slow) for key, (n, slow) in self._counts.items()]
        rate = rate_of(counted, tallies, level)
        outcome = _outcome(counted, rate) if number else Outcome.INCONCLUSIVE
        low, high = rate.interval
        return Verdict(
            gate=gate.name,
            verdict=outcome,
            stable=SLOW_ALONE,
            canary=rate.rate,
            difference=rate.rate - SLOW_ALONE if rate.pairs else 0.0,
            interval=(low - SLOW_ALONE, high - SLOW_ALONE),
            samples=rate.pairs,
            reason=_reason(gate, outcome, rate),
            keys=rate.keys,
        )

    def to_json(self) -> dict[str, Any]:
        return {"alone": self._alone.to_json(), "counts": self._counts}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Strain:
        strain = cls()
        strain._alone = Slowness.from_json(value["alone"])
        strain._counts = {key: (n, slow) for key, (n, slow) in value["counts"].items()}
        strain.requests = sum(n for n, _ in strain._counts.values())
        return strain


def _outcome(gate: DisagreementGate, rate: Rate) -> Outcome:
    bound = gate.max_percent / 100
    if rate.keys < gate.min_keys:
        return Outcome.INCONCLUSIVE
    if rate.interval[0] > bound:
        return Outcome.FAIL
    return Outcome.PASS if rate.interval[1] <= bound else Outcome.INCONCLUSIVE


def _reason(gate: StrainGate, outcome: Outcome, rate: Rate) -> str:
    if not rate.pairs:
        return (
            "nothing to compare: stable answered no request while others were copied, or too few "
            "of that length before"
        )
    said = (
        f"{100 * rate.rate:.1f} % of stable's {rate.pairs:,} requests of {rate.keys:,} keys were "
        f"slow while others were copied, 5 % are without copies"
    )
    if outcome is Outcome.FAIL:
        return f"{said}: surely above {gate.max_slow_percent:g} %, so nothing is copied any more"
    if outcome is Outcome.PASS:
        return f"{said}: surely at most {gate.max_slow_percent:g} %"
    return f"{said}: not surely above or below {gate.max_slow_percent:g} %"
