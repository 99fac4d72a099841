"""Tells a person what a benchmark does, with the seconds since it began."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_SIGNS: Final = {"pass": "[green]✔ pass[/]", "fail": "[red]✘ fail[/]"}
_MIN_WIDTH: Final = 100  # logs have no width: tables need one that they fit in


class Narrator:
    def __init__(self) -> None:
        console = Console(highlight=False)
        wide = console.is_terminal or console.width >= _MIN_WIDTH
        self._console = console if wide else Console(highlight=False, width=_MIN_WIDTH)
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def chapter(self, title: str) -> None:
        self._console.print(f"\n[bold]{escape(title)}[/]")

    def say(self, text: str) -> None:
        self._console.print(f"[dim]{self.elapsed:6.1f} s[/]  {escape(text)}", soft_wrap=True)

    def command(self, text: str) -> None:
        """A command as a person would type it."""
        self._console.print(
            f"[dim]{self.elapsed:6.1f} s[/]  [cyan]$ {escape(text)}[/]", soft_wrap=True
        )

    def plain(self, text: str) -> None:
        """As it is, never wrapped: columns stay columns."""
        self._console.print(text, markup=False, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The first column is words, the others numbers; cells may have rich's markup."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def verdicts(self, title: str, verdicts: Sequence[Mapping[str, Any]]) -> None:
        """A gate's verdicts, as `rollout status` has them; rates in percent."""
        rows = []
        for verdict in verdicts:
            low, high = (100 * end for end in verdict["interval"])
            rows.append([
                escape(verdict["gate"]),
                f"{100 * verdict['stable']:.2f}",
                f"{100 * verdict['canary']:.2f}",
                f"{100 * verdict['difference']:+.2f}",
                f"{low:+.2f} … {high:+.2f}",
                str(verdict["samples"]),
                _SIGNS.get(verdict["verdict"], f"? {verdict['verdict']}"),
            ])  # fmt: skip
        columns = ["gate", "stable %", "canary %", "Δ points", "95 % interval", "n", "verdict"]
        self.table(title, columns, rows)
