"""A drill that kills itself at a step: `python -m tests.drills.dying_drill STATE_DIR STEP`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from controller.adapters.drill_folder import DrillFolder
from controller.core.drill.journal import Journal, Undo, undo
from controller.core.drill.report import Outcome
from controller.drills.parts import faults_for
from controller.drills.run import refused

ID = "20260101t033000z-freeze-stable"
STEPS = ("begun", "written", "frozen", "thawed", "reported")


def main(state_dir: Path, last: str) -> None:
    """The order of breaking.py and run.py: journal, fault, restore, report."""

    def reach(step: str) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    drills, faults = DrillFolder(state_dir), faults_for("process", "asr", state_dir)
    with drills.locked():
        drills.create(ID)
        journal = Journal(ID, "freeze-stable", "ann", "process", "2026-01-01", os.getpid())
        drills.write_journal(journal)
        reach("begun")
        target = faults.target("v1-1")
        journal = journal.to_undo(Undo.THAW, target)
        drills.write_journal(journal)
        reach("written")
        faults.freeze(target)
        reach("frozen")
        undo(journal, faults)
        reach("thawed")
        drills.finish(refused(journal, "nothing", Outcome.PASSED), "# text\n")
        reach("reported")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
