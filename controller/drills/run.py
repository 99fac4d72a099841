"""`python -m controller.drills.run`: the process of one drill, started by the controller.

It has a session of its own and outlives a killed controller. SIGTERM ends it early: it restores
and writes its report."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from controller.adapters.drill_folder import DrillFolder
from controller.adapters.fleet_file import read_fleet
from controller.adapters.state_folder import StateFolder
from controller.core.drill.catalogue import drill_named
from controller.core.drill.journal import Journal
from controller.core.drill.options import DrillOptions
from controller.core.drill.report import Outcome, Report
from controller.core.errors import ControllerError, Refused
from controller.drills.breaking import Breaker
from controller.drills.conduct import Conductor
from controller.drills.load import Load, clips_of
from controller.drills.markdown import markdown
from controller.drills.parts import eval_set_for, faults_for
from controller.drills.witness import Witness

MODULE: Final = "controller.drills.run"
_LOCK_SECONDS: Final = 5.0  # the controller holds it for a moment to see whether anybody does
log = logging.getLogger(__name__)


def command(state_dir: Path, drill_id: str, drill: str, actor: str, options: str) -> list[str]:
    """The command line of a drill's process; `options` is JSON."""
    named = ["--state-dir", str(state_dir), "--id", drill_id, "--options", options]
    actor_too = f"--actor={actor}"  # one argument: a name may begin with a dash
    return [sys.executable, "-P", "-m", MODULE, drill, *named, actor_too]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where it passed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asked = _parser().parse_args(arguments)
    drills = DrillFolder(asked.state_dir)
    try:
        with _locked(drills, asked.lock):
            report = asyncio.run(_run(asked, drills))
    except ControllerError as error:
        log.error("drill.refused id=%s reason=%s", asked.id, error)
        return 1
    log.info("drill.ended id=%s outcome=%s reasons=%s", report.id, report.outcome, report.reasons)
    return 0 if report.outcome is Outcome.PASSED else 1


@contextmanager
def _locked(drills: DrillFolder, inherited: int | None) -> Iterator[None]:
    """With the lock that the controller has handed over, else with one of its own."""
    if inherited is None:
        with drills.locked(_LOCK_SECONDS):
            yield
    else:
        os.set_inheritable(inherited, False)  # nobody whom this process starts is a drill
        yield  # it is free when this process has ended


async def _run(asked: argparse.Namespace, drills: DrillFolder) -> Report:
    journal = _journal(asked)
    drills.create(journal.id)
    drills.write_journal(journal)
    try:
        conductor = await _put_together(asked, drills, journal)
    except ControllerError as error:
        report = refused(journal, str(error))
        drills.finish(report, markdown(report))
        return report
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, conductor.stop, f"by {signal.Signals(number).name}")
    report = await conductor.conduct()
    if report.restored:
        drills.finish(report, markdown(report))
    else:  # the journal stays: the controller restores, and then this is the report
        log.error("drill.not_restored id=%s", report.id)
    return report


def refused(journal: Journal, reason: str, outcome: Outcome = Outcome.REFUSED) -> Report:
    """The report of a drill that has no numbers."""
    ended_at = datetime.datetime.now(datetime.UTC).isoformat()
    return Report(
        journal.id, journal.drill, journal.actor, journal.runtime, journal.began_at, ended_at,
        outcome, (reason,), journal.fault_at, journal.hit,
    )  # fmt: skip


def _journal(asked: argparse.Namespace) -> Journal:
    address = StateFolder(asked.state_dir).address()
    if address is None:
        raise Refused(f"no controller runs on {asked.state_dir}; nothing was broken")
    began_at = datetime.datetime.now(datetime.UTC).isoformat()
    return Journal(asked.id, asked.drill, asked.actor, address.runtime, began_at, os.getpid())


async def _put_together(
    asked: argparse.Namespace, drills: DrillFolder, journal: Journal
) -> Conductor:
    """Raises ControllerError where something that it needs is not there."""
    drill, options = drill_named(asked.drill), DrillOptions(**_options(asked.options))
    folder = StateFolder(asked.state_dir)
    address = folder.address()
    assert address is not None  # `_journal` has asked
    fleet = read_fleet(Path(address.fleet_path))
    eval_set = eval_set_for(options, fleet)
    witness = Witness(folder, drill)
    status = await witness.status()
    if status is None:
        raise Refused("the controller does not answer; nothing was broken")
    faults = faults_for(address.runtime, fleet.config.service, folder.path)
    prefix, keys = f"drill-{journal.id}-", fleet.api_keys
    load = Load(status["router"]["url"], clips_of(eval_set), options.clients, prefix, keys.own)
    breaker = Breaker(drill, faults, drills, folder, journal)
    references = {u.key: u.target for u in eval_set.utterances if u.target}
    return Conductor(
        drill, options, breaker, witness, load, prefix, eval_set.name, references
    )  # fmt: skip


def _options(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=MODULE, description=__doc__)
    parser.add_argument("drill")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--actor", default="drill")
    parser.add_argument("--lock", type=int, help="a descriptor that has the drills' folder locked")
    parser.add_argument("--options", default="{}", help="DrillOptions as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
