"""`rollout report`: asks the controller, or reads the state folder where none runs any more."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

import typer

from controller.client import Client, Rejected
from controller.options import Json, StateDir
from controller.recorded import ask_or_read
from controller.settings import DEFAULT_STATE_DIR
from controller.views import NO_ROLLOUT

if TYPE_CHECKING:
    from controller.adapters.store import SqlStore

_ENDINGS: Final = {
    "": "markdown",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".json": "json",
}


class ReportFormat(StrEnum):
    markdown = "markdown"
    html = "html"
    json = "json"

    @classmethod
    def of(cls, output: Path | None) -> ReportFormat:
        """That of the file's ending; markdown where it has none. Raises Rejected."""
        ending = output.suffix.lower() if output is not None else ""
        try:
            return cls(_ENDINGS[ending])
        except KeyError as error:
            raise Rejected(
                f"{output}: no report is written as {ending}; nothing was written. Let the file "
                f"end in .md, .html or .json, or name the --format"
            ) from error


def report(
    rollout: Annotated[str | None, typer.Argument(help="Its id; the newest without.")] = None,
    form: Annotated[
        ReportFormat | None,
        typer.Option("--format", help="Else by the ending of --output, or markdown."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write it into this file.")] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """All that happened in a rollout, who did it, and on which numbers."""
    form = ReportFormat.json if as_json else form or ReportFormat.of(output)
    text = _fetch(state_dir, rollout, form)
    if output is None:
        print(text)
        return
    _write(output, text)
    print(f"the report is in {output}")


def _fetch(state_dir: Path, rollout: str | None, form: ReportFormat) -> str:
    """The report of a rollout, None for the newest. Raises Rejected, Unreachable, NotFound."""
    return ask_or_read(
        state_dir,
        lambda client: _ask(client, rollout, form),
        lambda store: _read(store, rollout, form),
    )


def _write(path: Path, text: str) -> None:
    """Raises Rejected."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Rejected(f"{path} cannot be written: {error.strerror}") from error


def _ask(client: Client, rollout: str | None, form: ReportFormat) -> str:
    if rollout is None:
        newest = client.get("/api/rollouts", limit=1)
        if not newest:
            raise Rejected(NO_ROLLOUT)
        rollout = str(newest[0]["id"])
    return client.text(f"/api/rollouts/{quote(rollout, safe='')}/report", format=form.value)


def _read(store: SqlStore, rollout: str | None, form: ReportFormat) -> str:
    from controller.api.reports import report_text  # only here: imports the whole engine

    newest = [found.id for found in store.rollouts(1)]
    if rollout is None and not newest:
        raise Rejected(NO_ROLLOUT)
    return report_text(store, rollout or newest[0], form.value)
