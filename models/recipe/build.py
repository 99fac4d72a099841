"""The whole recipe: `python -m models.recipe.build`. Run again, it goes on where it stopped."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from models.recipe import dataset, folder, speech, train

SEED: Final = 2026
COUNTS: Final = {"v1": 3500, "v2": 3000}
SCHEDULES: Final = {
    "v1": train.Schedule(steps=1500, rate=2e-3, seed=SEED + 1),
    "v2": train.Schedule(steps=1700, rate=1.2e-3, seed=SEED + 2),
    "v3": train.Schedule(steps=300, rate=5e-4, warm_up=20, seed=SEED + 3),
}
BASE: Final = {"v2": "v1", "v3": "v2"}  # which weights training starts from


def data(work: Path, version: str) -> list[dataset.Sample]:
    """v1 hears its own; v2 and v3 both."""
    names = ["v1"] if version == "v1" else ["v1", "v2"]
    return [
        sample
        for name in names
        for sample in dataset.load_or_generate(work / f"{name}.pt", COUNTS[name], name, SEED)
    ]


def statistics(work: Path) -> Any:
    """Taken over v1's data and kept by all versions, whose weights start from v1's."""
    path = work / "cmvn.pt"
    if not path.exists():
        torch.save(dataset.cmvn(data(work, "v1")), path)
    return torch.load(path)


def build(out: Path, work: Path, version: str) -> None:
    samples, cmvn, schedule = data(work, version), statistics(work), SCHEDULES[version]
    model = fresh(out, version)
    loss = train.Taught(model) if version == "v3" else train.plain_loss
    print(f"{version}: {len(samples)} utterances, {dataset.hours(samples):.2f} h", flush=True)
    loader = train.Loader(samples, schedule, cmvn, damage=version == "v3")
    minutes = train.train(model, loader, loss, work / f"{version}-checkpoint.pt")
    target = out / f"demo-{version}"
    folder.write_static(target, *cmvn)
    folder.write_weights(target, model)
    note(work, version, samples, minutes, model)


def fresh(out: Path, version: str) -> Any:
    torch.manual_seed(SEED)
    model = folder.build_model()
    if version in BASE:
        model.load_state_dict(torch.load(out / f"demo-{BASE[version]}" / "model.pt"))
    return model


def note(work: Path, version: str, samples: list[Any], minutes: float, model: Any) -> None:
    row = {
        "version": version,
        "parameters": sum(p.numel() for p in model.parameters()),
        "utterances": len(samples),
        "hours": round(dataset.hours(samples), 2),
        "minutes": round(minutes, 1),
    }
    print(json.dumps(row))
    with (work / "notes.jsonl").open("a", encoding="utf-8") as notes:
        notes.write(json.dumps(row) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models"), help="where demo-* go")
    parser.add_argument("--work", type=Path, default=Path("build/models"), help="data, checkpoints")
    parser.add_argument("--only", choices=sorted(SCHEDULES), help="one version, not all")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    speech.require_espeak()
    torch.set_num_threads(options.threads)
    began = time.monotonic()
    for version in [options.only] if options.only else sorted(SCHEDULES):
        build(options.out, options.work, version)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes in all")


if __name__ == "__main__":
    main()
