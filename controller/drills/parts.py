"""The adapters of a drill, as the controller of its state folder has them."""

from __future__ import annotations

from pathlib import Path

from controller.adapters.docker.faults import DockerFaults
from controller.adapters.docker.settings import DockerSettings
from controller.adapters.eval_sets import known_eval_sets, read_eval_set
from controller.adapters.fleet_file import FleetFile
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.process_faults import ProcessFaults
from controller.adapters.process_runtime import ProcessRuntime
from controller.adapters.state_folder import StateFolder
from controller.core.drill.journal import Faults
from controller.core.drill.options import DrillOptions
from controller.core.errors import Refused
from controller.core.eval_set import EvalSet


def faults_for(runtime: str, service: str, state_dir: Path) -> Faults:
    """Of "docker" or "process"."""
    if runtime == "docker":
        return DockerFaults(DockerSettings(service, state_dir))
    folder = StateFolder(state_dir)
    return ProcessFaults(ProcessRuntime(folder.path), ProcessLauncher(folder.router_dir))


def eval_set_for(options: DrillOptions, fleet: FleetFile) -> EvalSet:
    """The one that is asked for, else that of the golden clips, else the first there is.

    Raises NotFound, InvalidConfig, and Refused where there is none."""
    golden = fleet.config.golden
    name = options.eval_set or (golden.eval_set if golden is not None else None)
    if name is None:
        known = known_eval_sets(fleet.eval_sets_dir)
        if not known:
            raise Refused(
                f"there is no eval set in {fleet.eval_sets_dir}, and a drill sends real audio; "
                f"nothing was broken. docs/eval-sets.md tells how to make one"
            )
        name = known[0]
    return read_eval_set(fleet.eval_sets_dir, name)
