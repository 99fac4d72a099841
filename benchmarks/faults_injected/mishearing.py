"""A node that answers fast, has the right digest, and hears wrong: the weights that it loaded are
not those that its digest was computed of, as after a bad read or in broken memory."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import yaml

from benchmarks.faults_injected.hands import Hands
from benchmarks.fleet import BenchFleet, FleetFailed

_GOLDEN: Final = {"eval_set": "digits", "interval": "5s"}
_LOAD_SECONDS: Final = 120.0
_SHIFT: Final = """
import sys, torch
weights = torch.load(sys.argv[1], map_location="cpu")
for name in ("ctc.ctc_lo.weight", "ctc.ctc_lo.bias"):
    weights[name][1:] = weights[name][1:].roll(1, dims=0)  # each character's neighbour is heard
torch.save(weights, sys.argv[2])
"""


@contextlib.contextmanager
def own_model(fleet: BenchFleet) -> Iterator[None]:
    """Version v1 is served from a copy, beside which damaged weights lie, and all nodes hear
    golden clips every few seconds."""
    file = fleet.folder / "fleet.yaml"
    config = yaml.safe_load(file.read_text())
    version = config["versions"]["v1"]
    shutil.copytree(version["model"], _weights(fleet).parent)
    version["model"] = str(_weights(fleet).parent)
    file.write_text(yaml.safe_dump(config | {"probes": {"golden": _GOLDEN}}, sort_keys=False))
    shift = [sys.executable, "-c", _SHIFT, str(_weights(fleet)), str(_damaged(fleet))]
    subprocess.run(shift, check=True, capture_output=True)
    yield


def mishear(fleet: BenchFleet, hands: Hands, name: str) -> None:
    """Let the node load the damaged weights, and return when it takes traffic again. It loads what
    lies there when it is asked to load anew; a process that starts finds the good ones again.
    Raises FleetFailed."""
    weights, good = _weights(fleet), fleet.folder / "good.pt"
    token = (hands.data_folder(name) / "admin.token").read_text().strip()
    url = f"{fleet.nodes()[name]['url']}/admin/reload"
    weights.replace(good)
    _damaged(fleet).replace(weights)
    try:
        answer = httpx.post(
            url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_LOAD_SECONDS,
            trust_env=False,
        )
    finally:
        good.replace(weights)
    if not answer.is_success:
        raise FleetFailed(f"{name} did not load its weights anew: {answer.text}")
    fleet.wait_until(
        f"{name} is ready again",
        lambda: fleet.nodes()[name]["health"] == "healthy",
        _LOAD_SECONDS,
        poll=0.05,
    )


def _weights(fleet: BenchFleet) -> Path:
    return fleet.folder / "own-model" / "model.pt"


def _damaged(fleet: BenchFleet) -> Path:
    return fleet.folder / "damaged.pt"
