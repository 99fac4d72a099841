"""The controller's part in drills: it starts them, restores what a dead one left, and tells."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import psutil

from controller.adapters.drill_folder import DrillFolder
from controller.adapters.state_folder import StateFolder
from controller.core.drill.catalogue import Drill, drill_named
from controller.core.drill.journal import Journal, undo
from controller.core.drill.options import DrillOptions, ScheduledDrill, Window
from controller.core.drill.report import Outcome, Report
from controller.core.drill.situation import Circumstances, objections, situation_of, victims
from controller.core.errors import NotFound, Refused
from controller.drills.controller_process import is_supervised
from controller.drills.markdown import markdown
from controller.drills.parts import faults_for
from controller.drills.run import MODULE, command, refused
from controller.engine.ports.store import Store
from controller.engine.records import Event

log = logging.getLogger(__name__)
SCHEDULE: Final = "schedule"
_STOP_SECONDS: Final = 30.0
_LOCK_SECONDS: Final = 5.0  # a round holds it for a moment to see whether anybody does


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a drill would do now, or why it may not."""

    drill: Drill
    options: DrillOptions
    runtime: str
    hit: tuple[str, ...]
    objections: tuple[str, ...]


@dataclass(slots=True)
class DrillKeeper:
    """`schedule` is fleet.yaml's; `status` that of this moment, asked for in the event loop."""

    folder: StateFolder
    service: str
    schedule: tuple[ScheduledDrill, ...]
    status: Callable[[], Mapping[str, Any]]
    store: Store
    now: Callable[[], datetime.datetime]
    drills: DrillFolder = field(init=False)
    _child: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.drills = DrillFolder(self.folder.path)

    # -- before anything else, and every second ------------------------------------------------

    async def round(self) -> None:
        """Mend what a dead drill left, and write down what became of those that ended."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        if self._child is None:
            await asyncio.to_thread(self.restore)
        await self._tell()

    def restore(self) -> None:
        """Undo what drills whose process died have broken. What cannot be undone now is tried
        again in the next round, and never keeps the controller from its work. Blocks."""
        if not self.drills.has_journals():
            return
        try:
            with self.drills.locked():
                self.drills.set_unreadable_aside()
                for journal in self.drills.journals():
                    self._restore(journal)
        except Refused:
            return  # its process lives: a controller that died beside it is no end of a drill
        except OSError as error:
            log.error("drill.not_restored error=%s", error)

    def _restore(self, journal: Journal) -> None:
        try:
            undo(journal, faults_for(journal.runtime, self.service, self.folder.path))
            reason = "its process died; the controller restored what it had broken"
            report = refused(journal, reason, Outcome.INTERRUPTED)
            self.drills.finish(report, markdown(report))
        except Exception as error:  # whatever it is, as a full disk: nodes are watched meanwhile
            log.error("drill.not_restored id=%s error=%r", journal.id, error)
            return
        log.warning("drill.restored id=%s steps=%s", journal.id, len(journal.steps))

    async def _tell(self) -> None:
        for report in await asyncio.to_thread(self.drills.untold):
            data = {"drill": report.drill, "outcome": report.outcome.value,
                    "numbers": asdict(report.numbers)}  # fmt: skip
            await self._write("drill.ended", report.id, in_words(report), report.actor, data)
            await asyncio.to_thread(self.drills.mark_told, report.id)

    # -- starting one -----------------------------------------------------------------------

    def running(self) -> Journal | None:
        """The drill under way."""
        found = self.drills.journals()
        if not found:
            return None
        try:
            with self.drills.locked():
                return None
        except Refused:
            return found[-1]

    async def prospect(
        self, name: str, changes: Mapping[str, Any] | None = None, anytime: bool = False
    ) -> Prospect:
        """With the options of fleet.yaml, and `changes` to them. Raises NotFound."""
        drill = drill_named(name)
        entry = next((e for e in self.schedule if e.drill == name), None)
        options = replace(entry.options if entry else DrillOptions(), **dict(changes or {}))
        window = entry.window if entry is not None and not anytime else None
        return await self._prospect(drill, options, window)

    async def _prospect(
        self, drill: Drill, options: DrillOptions, window: Window | None
    ) -> Prospect:
        situation = situation_of(self.status())
        running = await asyncio.to_thread(self.running)
        circumstances = Circumstances(
            running=running.drill if running is not None else None,
            supervised=await asyncio.to_thread(is_supervised, self.folder),
            during_rollout=options.during_rollout,
            closed=window.closed(self.now()) if window is not None else None,
        )
        why_not = objections(drill, situation, circumstances)
        return Prospect(drill, options, situation.runtime, victims(drill, situation), why_not)

    async def start(self, prospect: Prospect, actor: str) -> str:
        """The id of the drill that has begun. Raises Refused, which the audit has, too."""
        name = prospect.drill.name
        if not prospect.objections and self._child is not None and self._child.poll() is None:
            prospect = replace(prospect, objections=("another drill has just begun",))
        if prospect.objections:
            why = "; ".join(prospect.objections)
            await self._write("drill.refused", name, f"{name} was not begun: {why}", actor, {})
            raise Refused(f"the drill {name} was not begun, and nothing was broken: {why}")
        drill_id = f"{self.now():%Y%m%dt%H%M%Sz}-{name}"
        hit = ", ".join(prospect.hit) or "no node"
        message = f"{name} begins ({hit}): {prospect.drill.does}"
        await self._write("drill.began", drill_id, message, actor, {"drill": name})
        await asyncio.to_thread(self._spawn, drill_id, prospect, actor)
        return drill_id

    def _spawn(self, drill_id: str, prospect: Prospect, actor: str) -> None:
        """The journal comes first, so that also a process that never came to be has an end; the
        lock before it, which the process inherits, so that at no moment it seems to be dead."""
        lock = self.drills.lock(_LOCK_SECONDS)
        try:
            self._spawn_locked(lock, drill_id, prospect, actor)
        finally:
            os.close(lock)

    def _spawn_locked(self, lock: int, drill_id: str, prospect: Prospect, actor: str) -> None:
        options = json.dumps(asdict(prospect.options))
        folder = self.drills.create(drill_id)
        name, began_at = prospect.drill.name, self.now().isoformat()
        self.drills.write_journal(Journal(drill_id, name, actor, prospect.runtime, began_at, 0))
        with (folder / "log").open("ab") as output:
            self._child = subprocess.Popen(
                [*command(self.folder.path, drill_id, name, actor, options), f"--lock={lock}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[lock],
            )

    def scheduled(self, entry: ScheduledDrill) -> Callable[[], Any]:
        """What the timer calls."""

        async def run() -> None:
            found = await self._prospect(drill_named(entry.drill), entry.options, entry.window)
            with contextlib.suppress(Refused):  # the audit has it
                await self.start(found, SCHEDULE)

        return run

    # -- what became of them ----------------------------------------------------------------

    def outcome(self, drill_id: str) -> dict[str, Any]:
        """`state` is running or ended. Raises NotFound."""
        with contextlib.suppress(NotFound):
            return {"state": "ended", "report": self.drills.report(drill_id).to_dict()}
        if not self.drills.of(drill_id).is_dir():
            raise NotFound(f"there is no drill {drill_id!r}")
        return {"state": "running", "report": None}

    async def close(self) -> None:
        """A drill ends before its fleet does: it restores, and writes its report."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        journal = self.running()
        if journal is None:
            return
        try:
            process = psutil.Process(journal.pid)
            if MODULE in process.cmdline() and journal.id in process.cmdline():
                process.terminate()
                psutil.wait_procs([process], _STOP_SECONDS)
        except psutil.Error:
            return

    async def _write(
        self, kind: str, subject: str, message: str, actor: str, data: dict[str, Any]
    ) -> None:
        event = Event(kind, subject, message, actor, self.now(), data)
        await asyncio.to_thread(self.store.save, [event])


def in_words(report: Report) -> str:
    """One line."""
    numbers = report.numbers
    if report.reasons:
        return f"{report.drill} {report.outcome}: {'; '.join(report.reasons)}"
    recovery = numbers.recovery_seconds
    whole = f", all as before after {recovery:.1f} s" if recovery is not None else ""
    return (
        f"{report.drill} {report.outcome}: {numbers.failed} of {numbers.requests} requests "
        f"failed{whole}"
    )
