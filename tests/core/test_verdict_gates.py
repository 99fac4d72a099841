"""What a gate bounds: points or percent, overall, eval sets and slices, in units and forms."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from controller.adapters.eval_sets import read_eval_set
from controller.adapters.plan_files import load_plan
from controller.core.comparison.pairs import compare, pairs_of
from controller.core.errors import Refused
from controller.core.eval_set import EvalSet, Utterance
from controller.core.gate import ErrorRateGate
from controller.core.scoring import Score, UtteranceScore, combined, score
from controller.core.verdict import Outcome, Verdict, check_eval_sets, check_size, judge

ROOT = Path(__file__).parents[2]
TRANSCRIPTS = Path(__file__).parent / "data" / "demo-transcripts.jsonl"


def a_score(errors: list[int], tags: tuple[str, ...] = (), speakers: int = 0) -> Score:
    """One utterance of ten characters for each number of errors."""
    return Score(
        tuple(
            UtteranceScore(
                "calls",
                f"{'-'.join(tags)}-{i}",
                "一" * 10,
                "二" * n + "一" * (10 - n),
                tags,
                f"speaker{i % speakers}" if speakers else "",
            )
            for i, n in enumerate(errors)
        )
    )


def overall(gate: ErrorRateGate, stable: Score, canary: Score) -> Verdict:
    return judge(gate, stable, canary)[0]


def of_percent(percent: float) -> ErrorRateGate:
    return ErrorRateGate(max_increase_points=None, max_increase_percent=percent)


def test_a_relative_bound_is_a_share_of_stables_rate() -> None:
    stable, canary = a_score([1] * 400), a_score([1] * 380 + [2] * 20)  # 10 % to 10.5 %: +5 %
    assert overall(of_percent(20), stable, canary).verdict is Outcome.PASS
    assert overall(of_percent(1), stable, canary).verdict is Outcome.FAIL


def test_a_relative_verdict_tells_both_the_points_and_the_percent() -> None:
    verdict = overall(of_percent(20), a_score([1] * 400), a_score([1] * 380 + [2] * 20))
    assert verdict.difference == pytest.approx(0.005)
    assert verdict.relative_interval is not None
    low, high = verdict.relative_interval
    assert low < 0.05 < high < 0.2
    assert verdict.reason.startswith("CER changed by +0.50 points, +5.0 % of stable's")


def test_a_percentage_of_no_errors_is_inconclusive_and_says_what_to_use() -> None:
    verdict = overall(of_percent(20), a_score([0] * 400), a_score([0] * 400))
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert verdict.reason.endswith("use max_increase_points")


def test_a_slice_is_the_recordings_with_its_tag() -> None:
    stable = combined([a_score([0] * 100, ("noise",)), a_score([0] * 900)])
    canary = combined([a_score([1, 0] * 50, ("noise",)), a_score([0] * 900)])
    verdicts = {v.gate: v for v in judge(ErrorRateGate(slices=("noise",)), stable, canary)}
    assert verdicts["error-rate overall"].verdict is Outcome.PASS
    assert verdicts["error-rate #noise"].verdict is Outcome.FAIL
    assert verdicts["error-rate #noise"].samples == 100


def test_one_bad_looking_slice_of_many_is_not_a_fail() -> None:
    """1.0 points are allowed, and 23 of 100 have one error of 10 more, as chance may have it: that
    fails alone, but not among twenty slices."""
    quiet = [a_score([0] * 95 + [1] * 5, (f"t{n}",)) for n in range(20)]
    stable = combined([*quiet, a_score([0] * 100, ("odd",))])
    canary = combined([*quiet, a_score([1] * 23 + [0] * 77, ("odd",))])
    many = ErrorRateGate(slices=("odd", *(f"t{n}" for n in range(20))))
    alone = judge(ErrorRateGate(slices=("odd",)), stable, canary)[-1]
    among = next(v for v in judge(many, stable, canary) if v.gate == "error-rate #odd")
    assert alone.verdict is Outcome.FAIL
    assert among.verdict is Outcome.INCONCLUSIVE
    assert among.interval == alone.interval
    assert "among the 22 parts" in among.reason


def test_utterances_of_a_few_speakers_decide_nothing_however_many_they_are() -> None:
    stable, canary = a_score([0] * 400, speakers=9), a_score([5] * 400, speakers=9)
    verdict = overall(ErrorRateGate(), stable, canary)
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert verdict.blocks == 9
    assert "at least 10" in verdict.reason


def test_a_fail_takes_more_than_an_interval_that_just_begins_below_the_bound() -> None:
    verdict = overall(ErrorRateGate(), a_score([0] * 100), a_score([1] * 20 + [0] * 80))
    assert verdict.interval[0] < 0.01 < verdict.difference
    assert verdict.p_within == pytest.approx(0.035, abs=0.01)
    assert verdict.verdict is Outcome.INCONCLUSIVE


def test_what_a_relative_bound_takes_is_reckoned_in_its_own_unit() -> None:
    """An unseen recording of ten characters weighs 20 times as much in a rate of 5 %."""
    pairs = pairs_of(a_score([1, 0] * 100), a_score([0, 1] * 100), "cer", "written")
    points, percent = compare(ErrorRateGate(), pairs), compare(of_percent(20), pairs)
    assert percent.unseen == pytest.approx(20 * points.unseen, rel=0.01)


def test_speakers_who_are_unlike_make_the_interval_wider() -> None:
    """A version that is worse for one speaker in twenty is not worse for every twentieth of
    them."""
    stable = a_score([0] * 400, speakers=20)
    worse = [int(i % 20 == 0) for i in range(400)]
    by_speaker = overall(ErrorRateGate(), stable, a_score(worse, speakers=20))
    by_utterance = overall(ErrorRateGate(), a_score([0] * 400), a_score(worse))
    assert by_speaker.interval[1] > by_utterance.interval[1]
    assert "400 utterances of 20 speakers or recordings" in by_speaker.reason


def test_sentences_are_judged_without_segments() -> None:
    verdict = overall(ErrorRateGate(measure="ser"), a_score([1] * 40), a_score([9] * 40))
    assert verdict.difference == 0
    assert verdict.p_alike is None


def test_numbers_by_value_forgive_what_is_only_written_otherwise() -> None:
    pytest.importorskip("itn")
    texts = [("请拨打10086", "请拨打一零零八六")] * 100
    stable = Score(tuple(UtteranceScore("s", f"{i}", t, t) for i, (t, _) in enumerate(texts)))
    canary = Score(tuple(UtteranceScore("s", f"{i}", t, h) for i, (t, h) in enumerate(texts)))
    assert overall(ErrorRateGate(), stable, canary).verdict is Outcome.FAIL
    assert overall(ErrorRateGate(form="numbers"), stable, canary).difference == 0


def test_a_slice_that_no_recording_has_is_refused_with_those_that_there_are() -> None:
    gate = ErrorRateGate(slices=("nosie",))
    with pytest.raises(Refused, match=r"'nosie' .there is: digits, noise."):
        check_size(gate, {"calls": 500}, {"noise": 200, "digits": 100})


def test_a_slice_that_is_too_small_is_refused() -> None:
    with pytest.raises(Refused, match="slice noise has 50 utterances, too few"):
        check_size(ErrorRateGate(slices=("noise",)), {"calls": 500}, {"noise": 50})


def an_eval_set(size: int, speakers: int, tags: tuple[str, ...] = ()) -> EvalSet:
    utterances = (
        Utterance(f"u{i}", "a.wav", "一", tags, speaker=f"s{i % speakers}") for i in range(size)
    )
    return EvalSet("calls", tuple(utterances), "d" * 64)


def test_many_recordings_of_a_few_speakers_are_refused_before_the_start() -> None:
    with pytest.raises(Refused, match="500 utterances of only 9 speakers or recordings"):
        check_eval_sets(ErrorRateGate(), [an_eval_set(500, speakers=9)])
    check_eval_sets(ErrorRateGate(), [an_eval_set(500, speakers=10)])


def test_a_gate_asks_nothing_of_eval_sets_that_are_not_its_own() -> None:
    other = EvalSet("other", an_eval_set(5, speakers=5).utterances, "e" * 64)
    check_eval_sets(ErrorRateGate(eval_sets=("calls",)), [an_eval_set(500, speakers=50), other])


def demo_scores() -> dict[str, Score]:
    """What the demo's models really transcribed."""
    lines = [json.loads(line) for line in TRANSCRIPTS.read_text(encoding="utf-8").splitlines()]
    names = ("digits", "meetings", "service")
    sets = [read_eval_set(ROOT / "eval_sets", name) for name in names]
    return {
        version: combined(score(s, {line["key"]: line[version] for line in lines}) for s in sets)
        for version in ("v1", "v2", "v3")
    }


def test_the_demos_v2_passes_and_its_v3_fails_on_digits_although_service_is_within_the_bound() -> (
    None
):
    scores = demo_scores()
    (gate,) = load_plan("default", [ROOT / "rollouts"]).gates
    assert {v.verdict for v in judge(gate, scores["v1"], scores["v2"])} == {Outcome.PASS}
    verdicts = {v.gate: v.verdict for v in judge(gate, scores["v2"], scores["v3"])}
    assert verdicts["error-rate digits"] is Outcome.FAIL
    assert verdicts["error-rate service"] is Outcome.PASS


def test_what_an_earlier_version_of_this_program_stored_is_still_read() -> None:
    verdict = {
        "gate": "error-rate digits", "verdict": "fail", "stable": 0.01, "canary": 0.06,
        "difference": 0.05, "interval": [0.04, 0.06], "samples": 200, "reason": "worse",
    }  # fmt: skip
    gate = {"name": "g", "measure": "cer", "max_increase_points": 0.5, "eval_sets": ["digits"]}
    assert TypeAdapter(Verdict).validate_python(verdict).p_within is None
    assert TypeAdapter(ErrorRateGate).validate_python(gate).on_fail is None


def test_a_verdict_survives_being_stored() -> None:
    stored = TypeAdapter(Verdict)
    verdict = overall(of_percent(20), a_score([1] * 40), a_score([2] * 40))
    assert stored.validate_json(stored.dump_json(verdict)) == verdict
