from pathlib import Path

import pytest

from controller.adapters.plan_files import known_plans, load_plan
from controller.core.errors import InvalidConfig, InvalidName, NotFound
from controller.core.gate import ErrorRateGate
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Freeze, Plan, Step
from controller.core.review.gate import PreferenceGate
from controller.core.verdict import check_size

ROLLOUTS = Path(__file__).parents[2] / "rollouts"
SIZES = {"digits": 200, "meetings": 200, "service": 600}
STEPS = "steps: [{percent: 5, hold: 1m}, {percent: 100}]\n"


def read(folder: Path, text: str) -> Plan:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_plan(str(path), [])


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InvalidConfig) as refused:
        read(folder, text)
    return str(refused.value).removeprefix(f"{folder}/")


def test_the_default_plan_walks_5_20_50_100_and_waits_for_a_person() -> None:
    plan = load_plan("default", [ROLLOUTS])
    assert [step.percent for step in plan.steps] == [5, 20, 50, 100]
    assert plan.promote == "manual"
    assert plan.gates == (
        ErrorRateGate(eval_sets=("digits", "meetings", "service"), slices=("digits",)),
    )


def test_the_default_plan_shows_every_key_and_the_keys_show_the_defaults(tmp_path: Path) -> None:
    default = load_plan("default", [ROLLOUTS])
    bare = Plan(
        default.name, default.steps, default.gates, default.live_gates, eval_sets=default.eval_sets
    )
    assert default == bare


@pytest.mark.parametrize("name", ["default", "cautious", "fast", "shadow-first"])
def test_the_plans_that_come_with_it_fit_the_eval_sets_that_come_with_it(name: str) -> None:
    plan = load_plan(name, [ROLLOUTS])
    assert plan.name == name
    for gate in plan.gates:
        check_size(gate, SIZES, {"digits": 266})


def test_live_gates_stand_beside_those_on_eval_sets(tmp_path: Path) -> None:
    plan = read(
        tmp_path,
        STEPS + "gates:\n"
        "- {kind: success, max_increase_points: 0.5, min_keys: 20, min_requests: 500}\n"
        "- {kind: latency, name: slow, on_fail: hold, on_inconclusive: continue}\n"
        "- {kind: degraded}\n"
        "- {kind: memory, on_inconclusive: continue}\n",
    )
    assert plan.gates == ()
    assert plan.live_gates == (
        LiveGate("success", Kind.SUCCESS, 0.5, 20, 500),
        LiveGate("slow", Kind.LATENCY, on_fail="hold", on_inconclusive="continue"),
        LiveGate("degraded", Kind.DEGRADED),
        LiveGate("memory", Kind.MEMORY, on_inconclusive="continue"),
    )


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("{kind: degraded, min_keys: 20}", "gates.0.min_keys: unknown key"),
        ("{kind: memory, max_increase_points: 1}", "gates.0.max_increase_points: unknown key"),
        ("{kind: success, max_increase_points: 0}", "gates.0.max_increase_points: "),
        ("{kind: success, min_keys: 1}", "gates.0.min_keys: "),
        ("{kind: luck}", "gates.0.kind: "),
        ("{kind: success}, {kind: success}", "gates: 'success' is named twice"),
    ],
)
def test_a_live_gate_that_makes_no_sense_is_refused(tmp_path: Path, gate: str, said: str) -> None:
    assert said in refusal(tmp_path, STEPS + f"gates: [{gate}]\n")


def test_a_small_plan_takes_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, STEPS) == Plan("mine", (Step(5, 60), Step(100)))


def test_a_step_may_ask_for_requests_a_pause_and_a_deadline(tmp_path: Path) -> None:
    step = "{percent: 5, hold: 1m, min_requests: 200, pause: true, deadline: 1h}"
    plan = read(tmp_path, f"steps: [{step}, {{percent: 100}}]\n")
    assert plan.steps[0] == Step(5, 60, 200, True, 3600)


def test_a_preference_gate_asks_people(tmp_path: Path) -> None:
    plan = read(
        tmp_path,
        STEPS + "eval_sets: [a]\ngates:\n"
        "- {kind: preference}\n"
        "- {kind: preference, name: strict, margin_points: 5, min_votes: 200, min_raters: 3, "
        "min_agreement: 0.3, on_fail: hold, on_inconclusive: continue}\n",
    )
    assert plan.preference_gates == (
        PreferenceGate("preference", 10.0, 50, 2),
        PreferenceGate("strict", 5.0, 200, 3, 0.3, "hold", "continue"),
    )


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("{kind: preference, margin_points: 50}", "mine.yaml:4: gates.0.margin_points: 50 is not"),
        ("{kind: preference, min_raters: 0}", "gates.0.min_raters: "),
        ("{kind: preference, min_raters: 1, min_agreement: 0.5}", "gates.0.min_agreement: "),
        ("{kind: preference, min_keys: 3}", "gates.0.min_keys: unknown key"),
    ],
)
def test_a_preference_gate_that_makes_no_sense_is_refused(
    tmp_path: Path, gate: str, said: str
) -> None:
    assert said in refusal(tmp_path, STEPS + f"eval_sets: [a]\ngates:\n- {gate}\n")


def test_people_need_recordings_to_compare(tmp_path: Path) -> None:
    said = refusal(tmp_path, STEPS + "gates: [{kind: preference}]\n")
    assert "eval_sets: gate preference needs at least one" in said


def test_a_plan_may_require_consent(tmp_path: Path) -> None:
    assert read(tmp_path, STEPS + "consent: required\n").consent == "required"
    assert "expected one of none, required" in refusal(tmp_path, STEPS + "consent: maybe\n")


LIVE = "gates: [{kind: success}]\n"


def test_a_plan_may_ask_for_a_baseline(tmp_path: Path) -> None:
    assert read(tmp_path, STEPS + LIVE + "baseline: true\n").baseline


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("baseline: true\n", "mine.yaml:2: baseline: no gate would compare with it"),
        (LIVE + "consent: required\nbaseline: true\n", "mine.yaml:4: baseline: where consent"),
        (LIVE + "baseline: 5\n", "mine.yaml:3: baseline: expected "),
    ],
)
def test_a_baseline_that_makes_no_sense_is_refused_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    assert refusal(tmp_path, STEPS + text).startswith(said)


def test_a_freeze_is_read_with_its_time_zone(tmp_path: Path) -> None:
    plan = read(
        tmp_path, STEPS + "freeze: [{cron: 0 18 * * fri, for: 2d14h, timezone: Asia/Shanghai}]\n"
    )
    assert plan.freeze == (Freeze("0 18 * * fri", 62 * 3600, "Asia/Shanghai"),)


def test_a_freeze_whose_cron_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, STEPS + "freeze:\n- {cron: 0 25 * * fri, for: 1h}\n").startswith(
        "mine.yaml:3: freeze.0.cron: "
    )


def test_a_deadline_before_the_end_of_the_hold_is_refused(tmp_path: Path) -> None:
    text = "steps: [{percent: 5, hold: 10m, deadline: 5m}, {percent: 100}]\n"
    assert "deadline: 300 s is not after the step's hold" in refusal(tmp_path, text)


def test_a_gate_may_bound_a_share_of_the_rate_and_have_consequences_of_its_own(
    tmp_path: Path,
) -> None:
    plan = read(
        tmp_path,
        STEPS + "eval_sets: [calls]\ngates:\n  - kind: error-rate\n    name: names\n"
        "    measure: mer\n    form: numbers\n    max_increase_percent: 20\n    confidence: 99\n"
        "    slices: [hotword, 'language:zh']\n    on_fail: continue\n    on_inconclusive: hold\n",
    )
    assert plan.gates == (
        ErrorRateGate(
            "names",
            "mer",
            max_increase_points=None,
            max_increase_percent=20,
            form="numbers",
            slices=("hotword", "language:zh"),
            confidence=99,
            on_fail="continue",
            on_inconclusive="hold",
        ),
    )


def test_the_first_folder_that_has_a_plan_wins(tmp_path: Path) -> None:
    (tmp_path / "fast.yaml").write_text("steps: [{percent: 100}]\n")
    assert len(load_plan("fast", [tmp_path, ROLLOUTS]).steps) == 1
    assert known_plans([tmp_path, ROLLOUTS]) == ("cautious", "default", "fast", "shadow-first")


def test_an_unknown_plan_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(NotFound, match="there is cautious, default, fast, shadow-first"):
        load_plan("slow", [ROLLOUTS])


def test_a_path_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        load_plan(str(tmp_path / "mine.yaml"), [])


@pytest.mark.parametrize("name", ["..", "Default", "a b", ""])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        load_plan(name, [ROLLOUTS])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps:\n  - percent: 5\n  - percent: 5\n", "mine.yaml:3: steps.1.percent: 5 does not"),
        ("steps:\n  - percent: 5\n", "mine.yaml:2: steps.0.percent: the last step must be 100"),
        ("steps:\n  - percent: 0\n  - percent: 100\n", "mine.yaml:2: steps.0.percent: 0 is not"),
        ("steps:\n  - percent: 5%\n", "mine.yaml:2: steps.0.percent: expected a number"),
        ("steps:\n  - hold: 5s\n", "mine.yaml:2: steps.0.percent: this key is required"),
        ("promote: auto\n", "mine.yaml:1: steps: at least one step"),
        (STEPS + "promote: perhaps\n", "mine.yaml:2: promote: expected one of manual, auto"),
        (
            "steps: [{percent: 5, hold: 9999999999d}]\n",
            "mine.yaml:1: steps.0.hold: expected at most 3650d",
        ),
        (STEPS + "hold: 5m\n", "mine.yaml:2: hold: unknown key; expected one of promote, on_fail"),
        (STEPS + "gates:\n  - kind: luck\n", "mine.yaml:3: gates.0.kind: expected one of error-r"),
        (STEPS + "gates:\n  - kind: error-rate\n", "mine.yaml:1: eval_sets: gate error-rate needs"),
        (
            STEPS + "eval_sets: [a]\ngates:\n  - kind: error-rate\n    eval_sets: [b]\n",
            "mine.yaml:5: gates.0.eval_sets: 'b' is not one of the plan's",
        ),
        (
            STEPS + "eval_sets: [a]\ngates:\n  - kind: error-rate\n    max_increase_points: 0\n",
            "mine.yaml:5: gates.0.max_increase_points: 0 is not above 0",
        ),
        (
            STEPS + "eval_sets: [a]\ngates:\n  - {kind: error-rate, max_increase_points: 1, "
            "max_increase_percent: 5}\n",
            "mine.yaml:4: gates.0.max_increase_percent: give either this or max_increase_points",
        ),
        (
            STEPS + "eval_sets: [a]\ngates:\n  - {kind: error-rate, confidence: 100}\n",
            "mine.yaml:4: gates.0.confidence: 100 is not 80 to 99.9",
        ),
        (
            STEPS + "eval_sets: [a]\ngates:\n  - {kind: error-rate, slices: [x, x]}\n",
            "mine.yaml:4: gates.0.slices: 'x' is named twice",
        ),
        (STEPS + "eval_sets:\n  - ../etc\n", "mine.yaml:3: eval_sets.0: eval set '../etc'"),
        (STEPS + "eval_sets: [a, a]\n", "mine.yaml:2: eval_sets: 'a' is named twice"),
        (STEPS + "start_deadline: 0\n", "mine.yaml:2: start_deadline: must be longer"),
    ],
)
def test_nonsense_is_refused_with_file_line_and_key(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert refusal(tmp_path, text).startswith(expected)


def test_the_plan_that_listens_first_compares_copies(tmp_path: Path) -> None:
    plan = load_plan("shadow-first", [ROLLOUTS])
    assert (plan.steps[0].percent, plan.steps[0].shadow) == (0, 20)
    (gate,) = plan.shadow_gates
    assert (gate.measure, gate.max_percent, gate.slices, gate.on_fail) == (
        "mer", 8, ("digits",), "hold",
    )  # fmt: skip


def test_copies_that_no_step_makes_are_refused_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("steps: [{percent: 100}]\ngates:\n  - {kind: disagreement}\n")
    with pytest.raises(InvalidConfig, match=r"plan.yaml:1: steps: gate disagreement needs a step"):
        load_plan(str(path), [])
