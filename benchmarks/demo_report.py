"""What the demo measured, as a table for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.narrator import Narrator


@dataclass(slots=True)
class Report:
    """`cer` by version and eval set (ratios), `seconds` by transition, `traffic` as of
    benchmarks.records.summary, `checks`: what had to be true, and whether it was."""

    cer: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    traffic: dict[str, Any] = field(default_factory=dict)

    def show(self, narrator: Narrator) -> None:
        narrator.plain("")
        self._show_traffic(narrator)
        self._show_error_rates(narrator)
        narrator.table(
            "seconds of each transition",
            ["transition", "seconds"],
            [[what, f"{seconds:.2f}"] for what, seconds in self.seconds.items()],
        )
        narrator.table(
            "what had to be true",
            ["", ""],
            [[what, "[green]✔[/]" if true else "[red]✘[/]"] for what, true in self.checks.items()],
        )

    def _show_traffic(self, narrator: Narrator) -> None:
        parts = {"all": self.traffic} | self.traffic["versions"]
        rows = [
            [who, *(str(n[key]) for key in ("requests", "failed")),
             *(f"{n[key]:.3f}" for key in ("p50", "p99", "max"))]
            for who, n in parts.items()
        ]  # fmt: skip
        columns = ["answered by", "requests", "failed", "median s", "p99 s", "slowest s"]
        narrator.table("requests of 20 paced clients, none retried", columns, rows)
        for error, count in self.traffic["errors"].items():
            narrator.plain(f"  failed: {count} x {error}")

    def _show_error_rates(self, narrator: Narrator) -> None:
        eval_sets = list(next(iter(self.cer.values()), {}))
        rows = [
            [version, *(f"{100 * rates[name]:.2f}" for name in eval_sets)]
            for version, rates in sorted(self.cer.items())
        ]
        narrator.table("error rates (CER, %)", ["version", *eval_sets], rows)

    def to_dict(self) -> dict[str, Any]:
        counts = {key: self.traffic[key] for key in ("requests", "failed")}
        return counts | asdict(self)
