"""The command line, put together: each command fills in options, asks the controller, prints
what it said."""

from __future__ import annotations

import io
import json
import os
import sys
from importlib import metadata
from typing import Annotated, Final

import typer

from controller import controller_command, rollout_command, status_command
from controller.client import Rejected, Unreachable
from controller.copies_command import copies
from controller.core.errors import ControllerError
from controller.drill_command import drill_app
from controller.evaluate_command import evaluate
from controller.options import FAILED, UNREACHABLE
from controller.plan_command import plan_app
from controller.report_command import report
from controller.review_command import eval_set_app, review_app
from controller.version_command import versions_app

COMMANDS: Final = (
    controller_command.up,
    controller_command.down,
    controller_command.doctor,
    rollout_command.start,
    rollout_command.promote,
    rollout_command.pause,
    rollout_command.resume,
    rollout_command.retry,
    rollout_command.abort,
    status_command.status,
    status_command.history,
    status_command.events,
    report,
    copies,
    evaluate,
    controller_command.notify,
)

app = typer.Typer(
    help="Canary rollout and failover of FunASR nodes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("asr-rollout"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """What stands before a command; the help's text is the app's."""


for command in COMMANDS:
    app.command()(command)
app.add_typer(versions_app, name="versions")
app.add_typer(plan_app, name="plan")
app.add_typer(review_app, name="review")
app.add_typer(eval_set_app, name="eval-set")
app.add_typer(drill_app, name="drill")


def main() -> None:
    """Run a command; errors become one line and an exit status."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that has no → shows a ?
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except Unreachable as error:
        _end(str(error), UNREACHABLE)
    except (Rejected, ControllerError) as error:
        _end(str(error), FAILED)


def _end(message: str, status: int) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": message}, ensure_ascii=False))
    else:
        print(f"rollout: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    main()
