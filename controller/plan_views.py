"""A plan in words, as a person reads it. Pure text."""

from __future__ import annotations

import json
from dataclasses import asdict

from controller.core.gate import ErrorRateGate
from controller.core.live.gate import OF_NODES, LiveGate
from controller.core.plan import Plan, Step
from controller.core.review.gate import PreferenceGate
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.strain import StrainGate


def plan(value: Plan) -> str:
    """A plan in words."""
    steps = ", then ".join(_step(step, value) for step in value.steps)
    lines = [f"plan {value.name}: {steps}"]
    if value.asks:
        lines.append(
            "consent required: only who opts in on the router's page /canary, or whom a rule of "
            "the fleet names, gets the new version; the percentages only size its pool"
        )
    if value.baseline:
        lines.append(
            "baseline: as many fresh nodes of the old version as the canary has start with it and "
            "get the same share (above 50 % what is left, above 80 % none); live gates compare the "
            "canary with them instead of with stable"
        )
    if value.load_check is not None:
        check = value.load_check
        lines.append(
            f"before any traffic: {check.clips} clips of {check.eval_set}, {check.concurrency} at "
            f"a time, may take at most {check.max_slowdown:g} times as long as with the old version"
        )
    who = "goes on by itself" if value.promote == "auto" else "waits for `rollout promote`"
    lines.append(f"after each step it {who}; gate failed: {value.on_fail}; "
                 f"undecided: {value.on_inconclusive}")  # fmt: skip
    lines += [_gate(gate, value) for gate in value.gates]
    lines += [_live_gate(gate, value) for gate in value.live_gates]
    lines += [_disagreement_gate(gate, value) for gate in value.shadow_gates]
    lines += [_strain_gate(gate, value) for gate in value.strain_gates]
    lines += [_preference_gate(gate, value) for gate in value.preference_gates]
    for freeze in value.freeze:
        lines.append(
            f"nothing goes forward for {_duration(freeze.seconds)} from each `{freeze.cron}` "
            f"({freeze.timezone}); going back is always possible"
        )
    window = _duration(value.rollback_window_seconds)
    lines.append(f"the replaced version stays warm for {window}")
    return "\n".join(lines)


def plan_json(value: Plan) -> str:
    return json.dumps(asdict(value), ensure_ascii=False)


def _step(step: Step, plan: Plan) -> str:
    share = f"nodes for {step.percent:g} %" if plan.asks else f"{step.percent:g} %"
    if step.shadow:
        copied = f"copies of {step.shadow:g} % of stable's requests"
        share = f"{share} and {copied}" if step.percent else f"only {copied}, no answers,"
    text = f"{share} for at least {_duration(step.hold_seconds)}"
    if step.min_requests:
        text += f" and {step.min_requests:,} requests{' of who opted in' if plan.asks else ''}"
    if step.deadline_seconds is not None:
        text += f" (undecided after {_duration(step.deadline_seconds)})"
    return text + (", then a person is asked" if step.pause else "")


def _duration(seconds: float) -> str:
    """As plans write it: 1h30m."""
    days, rest = divmod(round(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = zip((days, hours, minutes, rest), "dhms", strict=True)
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def _gate(gate: ErrorRateGate, plan: Plan) -> str:
    parts = [*(gate.eval_sets or plan.eval_sets), *(f"#{tag}" for tag in gate.slices)]
    of_stable = " of stable's" if gate.is_relative else ""
    by_value = " with numbers by value" if gate.form == "numbers" else ""
    return (
        f"gate {gate.name}: {gate.measure.upper()}{by_value} may rise by at most {gate.allowed}"
        f"{of_stable} ({gate.confidence:g} % sure), overall and on each of {', '.join(parts)}"
        + _own(gate)
    )


def _live_gate(gate: LiveGate, plan: Plan) -> str:
    consequences = _consequences(gate, plan)
    if gate.kind in OF_NODES:
        return f"gate {gate.name}: live, of the canary's nodes {consequences}"
    return (
        f"gate {gate.name}: live; fails as soon as the canary is surely worse, passes when it is "
        f"surely not worse by {gate.margin_points:g} points, with at least {gate.min_keys} keys "
        f"and {gate.min_requests:,} requests {consequences}"
    )


def _disagreement_gate(gate: DisagreementGate, plan: Plan) -> str:
    what = "tokens" if gate.measure == "mer" else "texts"
    by_value = ", numbers by value" if gate.form == "numbers" else ""
    parts = "".join(f" and on #{name}" for name in gate.slices)
    return (
        f"gate {gate.name}: of copied requests at most {gate.max_percent:g} % of the {what} may "
        f"differ between the two versions{by_value} ({gate.confidence:g} % sure), overall{parts}; "
        f"at least {gate.min_pairs:,} pairs of {gate.min_keys} keys" + _own(gate)
    )


def _strain_gate(gate: StrainGate, plan: Plan) -> str:
    undecided = gate.on_inconclusive or plan.on_inconclusive
    return (
        f"gate {gate.name}: copies end as soon as surely more than {gate.max_slow_percent:g} % of "
        f"stable's requests are slower than 95 % were without copies; at least "
        f"{gate.min_requests:,} requests of {gate.min_keys} keys (failed: "
        f"{gate.on_fail or plan.on_fail}; undecided: {undecided})"
    )


def _preference_gate(gate: PreferenceGate, plan: Plan) -> str:
    alpha = gate.min_agreement
    agreement = f", who agree (alpha at least {alpha:g})" if alpha is not None else ""
    return (
        f"gate {gate.name}: people who hear the recordings and do not know whose text is whose "
        f"prefer the new version in surely more than {100 * gate.bound:g} % of a random sample of "
        f"those that differ; at least {gate.min_votes:,} votes of {gate.min_raters} people"
        f"{agreement} {_consequences(gate, plan)}"
    )


def _own(gate: ErrorRateGate | DisagreementGate) -> str:
    """What it leads to where that is not what the plan says."""
    said = [("failed", gate.on_fail), ("undecided", gate.on_inconclusive)]
    return "".join(f"; {what}: {action}" for what, action in said if action)


def _consequences(gate: LiveGate | PreferenceGate, plan: Plan) -> str:
    undecided = gate.on_inconclusive or plan.on_inconclusive
    return f"(failed: {gate.on_fail or plan.on_fail}; undecided: {undecided})"
