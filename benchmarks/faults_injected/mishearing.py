"""A node that answers fast, has the right digest, and hears wrong: the weights that it loaded are
not those that its digest was computed of, as after a bad read or in broken memory."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import httpx
import yaml

from benchmarks.faults_injected.hands import Hands
from benchmarks.fleet import BenchFleet, FleetFailed

GOLDEN: Final = {"eval_set": "digits", "interval": "5s"}
_LOAD_SECONDS: Final = 120.0
_SHIFT: Final = """
import sys, torch
weights = torch.load(sys.argv[1], map_location="cpu")
for name in ("ctc.ctc_lo.weight", "ctc.ctc_lo.bias"):
    weights[name][1:] = weights[name][1:].roll(1, dims=0)  # each character's neighbour is heard
torch.save(weights, sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A copy of a model in `folder`, beside which damaged weights lie."""

    folder: Path

    @classmethod
    def copied(cls, model: Path, folder: Path) -> Self:
        made = cls(folder)
        shutil.copytree(model, made.path)
        shift = [sys.executable, "-c", _SHIFT, str(made._weights), str(made._damaged)]
        subprocess.run(shift, check=True, capture_output=True)
        return made

    @property
    def path(self) -> Path:
        return self.folder / "own-model"

    def mishear(self, url: str, token: str) -> None:
        """Let the node at `url` load the damaged weights, once. It loads what lies there when it
        is asked to load anew; a process that starts finds the good ones again. Raises
        FleetFailed."""
        good = self.folder / "good.pt"
        self._weights.replace(good)
        self._damaged.replace(self._weights)
        try:
            answer = httpx.post(
                f"{url}/admin/reload",
                headers={"Authorization": f"Bearer {token}"},
                timeout=_LOAD_SECONDS,
                trust_env=False,
            )
        finally:
            good.replace(self._weights)
        if not answer.is_success:
            raise FleetFailed(f"{url} did not load its weights anew: {answer.text}")

    @property
    def _weights(self) -> Path:
        return self.path / "model.pt"

    @property
    def _damaged(self) -> Path:
        return self.folder / "damaged.pt"


@contextlib.contextmanager
def own_model(fleet: BenchFleet) -> Iterator[None]:
    """Version v1 is served from a copy of its own, and all nodes hear golden clips every few
    seconds."""
    file = fleet.folder / "fleet.yaml"
    config = yaml.safe_load(file.read_text())
    version = config["versions"]["v1"]
    version["model"] = str(OwnModel.copied(Path(version["model"]), fleet.folder).path)
    file.write_text(yaml.safe_dump(config | {"probes": {"golden": GOLDEN}}, sort_keys=False))
    yield


def mishear(fleet: BenchFleet, hands: Hands, name: str) -> None:
    """Let the node hear wrong, and return when it takes traffic again. Raises FleetFailed."""
    OwnModel(fleet.folder).mishear(fleet.nodes()[name]["url"], hands.admin_token(name))
    fleet.wait_until(
        f"{name} is ready again",
        lambda: fleet.nodes()[name]["health"] == "healthy",
        _LOAD_SECONDS,
        poll=0.05,
    )
