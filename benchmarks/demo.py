"""The whole story on this machine: a canary that is promoted, one that is caught, a node that is
killed, a rollback by hand; with real audio flowing all the time.

    python -m benchmarks.demo [--runtime process|docker] [--keep]"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from benchmarks.demo_report import Report
from benchmarks.fleet import ENDED, BenchFleet, FleetFailed, end_like_ctrl_c
from benchmarks.load_process import LoadProcess
from benchmarks.narrator import Narrator
from benchmarks.records import Record, summary

EVAL_SETS: Final = ("digits", "meetings", "service")
CLIENTS: Final = 20
_GATE_SECONDS: Final = 900.0
_STEP_SECONDS: Final = 180.0

# As rollouts/default.yaml, but with holds that one can wait for.
PLAN: Final[dict[str, Any]] = {
    "steps": [
        {"percent": 5, "hold": "8s"},
        {"percent": 20, "hold": "3s"},
        {"percent": 50, "hold": "3s"},
        {"percent": 100, "hold": "3s"},
    ],
    "promote": "manual",
    "eval_sets": list(EVAL_SETS),
    "gates": [
        {
            "kind": "error-rate",
            "name": "error-rate",
            "measure": "cer",
            "max_increase_points": 1.0,
            "eval_sets": list(EVAL_SETS),
        },
        {"kind": "success", "on_inconclusive": "continue"},
    ],
    "on_fail": "rollback",
    "on_inconclusive": "hold",
    "rollback_window": "1h",
}


class Story:
    """Plays it chapter by chapter; what it measures goes into the report."""

    def __init__(self, fleet: BenchFleet, load: LoadProcess, narrator: Narrator) -> None:
        self._fleet, self._load, self._tell = fleet, load, narrator
        self.report = Report()

    def play(self) -> None:
        self._traffic()
        self._good_version()
        self._bad_version()
        self._killed_node()
        self._by_hand()
        time.sleep(5)

    # -- chapters -------------------------------------------------------------------------

    def _traffic(self) -> None:
        self._tell.chapter("Traffic")
        self._tell.say(
            f"{CLIENTS} clients with kept connections send recordings at the pace of speech, and "
            f"never retry"
        )
        self._fleet.wait_until("requests are answered", lambda: len(self._records()) >= 10, 60)
        self._tell_traffic(0)

    def _good_version(self) -> None:
        self._tell.chapter("v2, a better model, gets 5 % of the traffic")
        began = self._start("v2")
        self._follow_gates()
        rollout = self._fleet.rollout()
        self._show_verdicts("v1", rollout)
        self._tell.say(rollout["reason"])
        self._must(rollout["phase"] == "waiting", "v2 passes its gates", rollout["reason"])
        self._tell_traffic(began)
        for percent in (20, 50, 100):
            self._promote(percent)
        stable = self._fleet.status()["fleet"]["stable"]
        self._must(stable == "v2", "v2 is promoted", f"stable is {stable}")
        self._tell.say("v2 is stable; v1 stays warm without traffic, the backup is renewed")
        self._fleet.wait_until("the backup is v2, too", self._fleet.all_healthy, _STEP_SECONDS)

    def _bad_version(self) -> None:
        self._tell.chapter("v3, which looks fine and is not")
        self._start("v3")
        self._follow_gates()
        rollout = self._fleet.rollout()
        self._show_verdicts("v2", rollout)
        self._tell.say(f"{rollout['phase']}: {rollout['reason']}")
        failed = [v["gate"] for v in rollout["verdicts"] if v["verdict"] == "fail"]
        caught = rollout["phase"] == "rolled_back" and any("digits" in gate for gate in failed)
        self._must(caught, "v3 is rolled back by the gate on digits", rollout["reason"])
        time.sleep(3)
        self._tell_report(rollout["id"])
        self._seconds_of_last("automatic rollback → last request to v3", self._decided_at(), "v3")
        self._error_rates()

    def _killed_node(self) -> None:
        self._tell.chapter("A node dies")
        node = self._fleet.nodes()["v2-1"]
        self._tell.say("kill -9 of v2-1, one of the two stable nodes")
        began = time.time()
        self._fleet.kill_node("v2-1")
        self._fleet.wait_until("it is missed", lambda: self._health("v2-1") != "healthy", 30, 0.05)
        self._took("kill -9 → noticed", began)
        self._fleet.wait_until(
            "it is back",
            lambda: (
                self._health("v2-1") == "healthy"
                and self._fleet.nodes()["v2-1"]["started_at"] != node["started_at"]
            ),
            _STEP_SECONDS,
        )
        self._took("kill -9 → healthy again", began)
        self._tell_traffic(began)
        self.report.checks["a killed node comes back"] = True

    def _by_hand(self) -> None:
        self._tell.chapter("Back to v1 by hand")
        began = time.time()
        self._tell.command("rollback")
        self._tell.say(self._fleet.rollback())
        self._took("rollback by hand: the command", began)
        time.sleep(8)
        self._seconds_of_last("rollback by hand → last request to v2", began, "v2")
        self._tell_traffic(began)
        status = self._fleet.status()
        serving = (status["fleet"]["stable"], status["router"]["serving"])
        self._must(serving == ("v1", "v1"), "rollback goes to v1", f"serving is {serving}")

    # -- what chapters are made of --------------------------------------------------------

    def _start(self, version: str) -> float:
        """Start a rollout; when its share flowed."""
        began = time.time()
        self._rollout("start", version, "--percent", "5", "--plan", "demo")
        self._wait_for_share(f"start {version} → 5 %", began, 5)
        return time.time()

    def _promote(self, percent: int) -> None:
        began = time.time()
        self._rollout("promote")
        if percent < 100:
            self._wait_for_share(f"promote → {percent} %", began, percent)
            shifted = time.time()
            self._fleet.wait_until("the hold is over", self._is_waiting, 60)
            self._tell_traffic(shifted)
            return
        self._fleet.wait_until("it is promoted", self._has_ended, _STEP_SECONDS, 0.05)
        self._took("promote → 100 % and stable (with 3 s of hold)", began)

    def _wait_for_share(self, what: str, began: float, percent: float) -> None:
        self._fleet.wait_for_share(percent)
        self._took(what, began)

    def _follow_gates(self) -> None:
        """Until the gates are measured and judged; says how far it is now and then."""
        told = time.monotonic()
        began = time.time()

        def judged() -> bool:
            nonlocal told
            rollout = self._fleet.rollout()
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self._tell.say(rollout["next_action"])
            return rollout["phase"] not in {"preparing", "holding"}

        self._tell.say("both versions transcribe the eval sets, beside the traffic")
        self._fleet.wait_until("the gates are judged", judged, _GATE_SECONDS, 0.1)
        version = self._fleet.rollout()["version"]
        self._took(f"gates of {version} measured and judged", began)

    def _show_verdicts(self, stable: str, rollout: dict[str, Any]) -> None:
        version = rollout["version"]
        self.report.verdicts[version] = rollout["verdicts"]
        title = f"{stable} against {version}: error rates (CER); failed requests of live traffic"
        self._tell.verdicts(title, rollout["verdicts"])

    def _tell_report(self, rollout_id: str) -> None:
        """What stays of it for years; here only the lines of the gates."""
        self._tell.command(f"rollout report {rollout_id}")
        lines = self._fleet.rollout_command("report", rollout_id).splitlines()
        parts = ("error-rate digits", "error-rate service")
        gates = [line for line in lines if line.startswith("|") and any(p in line for p in parts)]
        self._tell.say(f"its report has {len(lines)} lines, among them")
        for line in gates[:2]:
            self._tell.plain(f"          {line}")
        self._must(len(gates) >= 2, "v3's report tells digits from service", "no gates in it")

    def _error_rates(self) -> None:
        """CER of all versions on all eval sets, and v3's worst utterances beside v2's. All were
        transcribed for the gates, and what was transcribed once is kept."""
        self._tell.say("what v3 got wrong, by the transcripts that are kept:")
        found = self._evaluation("v2", "v3")
        self._evaluation("v1")
        names = ["reference", "v2", "v3"]
        for item in found["worst"][:3]:
            self._tell.plain(f"\n          {item['key']}: {item['more_errors']} more errors")
            for name, line in zip(names, item["aligned"], strict=True):
                self._tell.plain(f"          {name:<10} {line}")

    def _evaluation(self, *versions: str) -> dict[str, Any]:
        sets = [word for name in EVAL_SETS for word in ("--eval-set", name)]
        said = self._rollout("evaluate", *versions, *sets, "--json")
        found: dict[str, Any] = json.loads(said)
        for item in found["versions"]:
            rates = {rate["eval_set"]: rate["cer"] for rate in item["eval_sets"]}
            self.report.cer[item["version"]] = rates
        return found

    def _rollout(self, *arguments: str) -> str:
        self._tell.command(f"rollout {' '.join(arguments)}")
        said = self._fleet.rollout_command(*arguments)
        if "--json" not in arguments:
            self._tell.say(said)
        return said

    def _took(self, what: str, began: float) -> None:
        self._note(what, time.time() - began)

    def _note(self, what: str, seconds: float, meaning: str = "") -> None:
        self.report.seconds[what] = round(seconds, 3)
        self._tell.say(f"{what}: {seconds:.2f} s{meaning}")

    def _seconds_of_last(self, what: str, began: float, version: str) -> None:
        """From `began` to the start of the last request that `version` answered; 0 where none
        began later."""
        starts = [r.start for r in self._records() if r.version == version]
        self._note(what, max(0.0, max(starts, default=began) - began), " (0: none began later)")

    def _decided_at(self) -> float:
        changes = self._fleet.events("rollout.phase_changed")
        ended = [event for event in changes if event["data"]["phase"] == "rolled_back"]
        return datetime.fromisoformat(ended[-1]["at"]).timestamp()

    def _tell_traffic(self, since: float) -> None:
        found = summary([r for r in self._records() if r.start >= since])
        parts = [f"{v}: {numbers['requests']}" for v, numbers in found["versions"].items()]
        self._tell.say(
            f"{'since then' if since else 'so far'} {found['requests']} requests "
            f"({', '.join(parts)}), {found['failed']} failed, slowest {found['max']:.2f} s"
        )

    def _must(self, true: bool, what: str, reason: str) -> None:
        self.report.checks[what] = true
        if not true:
            raise FleetFailed(f"expected that {what}; but: {reason}")

    def _records(self) -> list[Record]:
        return self._load.records()

    def _health(self, node: str) -> str:
        return str(self._fleet.nodes()[node]["health"])

    def _is_waiting(self) -> bool:
        return bool(self._fleet.rollout()["phase"] == "waiting")

    def _has_ended(self) -> bool:
        return self._fleet.rollout()["phase"] in ENDED


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all went as the story goes and no request failed."""
    options = _parser().parse_args(arguments)
    end_like_ctrl_c()
    narrator = Narrator()
    try:
        return play(options.runtime, options.keep, narrator)
    except KeyboardInterrupt:
        narrator.say("stopped; nothing is left running")
        return 130
    except FleetFailed as error:
        narrator.say(f"FAILED: {error}")
        return 1


def play(runtime: Any, keep: bool, narrator: Narrator) -> int:
    narrator.chapter("A fleet of speech nodes on this machine")
    narrator.say(f"$ rollout up: controller, nginx and three nodes of v1, as {runtime} runtime")
    with BenchFleet(runtime, {"demo": PLAN}) as fleet:
        narrator.say(f"all nodes are healthy; router {fleet.router_url}, dashboard {fleet.url}")
        output = fleet.folder / "load.jsonl"
        with LoadProcess(fleet.router_url, output, "--distinct-keys") as load:
            story = Story(fleet, load, narrator)
            story.report.seconds["up → all nodes healthy"] = round(narrator.elapsed, 3)
            try:
                story.play()
            finally:
                story.report.traffic = summary(load.stop())
        story.report.checks["no request failed"] = story.report.traffic["failed"] == 0
        if keep:
            fleet.kept = True
        else:
            narrator.chapter("The end")
            left = fleet.stop()
            story.report.checks["nothing is left running"] = not left
    narrator.say(f"all of it took {narrator.elapsed:.0f} s")
    story.report.show(narrator)
    if keep:
        narrator.say(f"it stays up, without the load: dashboard {fleet.url}")
        narrator.say(f"stop it with: rollout down --state-dir {fleet.state_dir}")
    if not sys.stdout.isatty():  # a person has read the tables
        print(json.dumps({"runtime": runtime} | story.report.to_dict(), ensure_ascii=False))
    return 0 if all(story.report.checks.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--runtime", choices=["process", "docker"], default="process")
    parser.add_argument("--keep", action="store_true", help="leave it up at the end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
