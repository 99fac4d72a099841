"""The whole recipe: `python -m models.recipe.build`. Run again, it goes on where it stopped."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from models.recipe import dataset, folder, speech, texts, train

SEED: Final = 2026
SCHEDULES: Final = {
    "base": train.Schedule(steps=1500, rate=2e-3, seed=SEED + 1),
    "v1": train.Schedule(steps=1000, rate=1.5e-3, seed=SEED + 2),
    "v2": train.Schedule(steps=1400, rate=1.2e-3, seed=SEED + 3),
    "v3": train.Schedule(steps=320, rate=5e-4, warm_up=20, seed=SEED + 4),
}
STARTS_FROM: Final = {"v1": "base", "v2": "v1", "v3": "v2"}


def data(work: Path, stage: str) -> list[dataset.Sample]:
    """base hears the first part; v1 both, but for some sentences; v2 and v3 all of it."""
    samples = dataset.load_or_generate(work, "first")
    if stage != "base":
        samples += dataset.load_or_generate(work, "more")
    return [s for s in samples if stage != "v1" or not texts.only_v2(s.written)]


def statistics(work: Path) -> Any:
    """Taken over the first part and kept by all stages: each starts from another's weights."""
    path = work / "cmvn.pt"
    if not path.exists():
        torch.save(dataset.cmvn(data(work, "base")), path)
    return torch.load(path)


def build(out: Path, work: Path, stage: str) -> None:
    """Train one stage. Its weights stay in `work`; all but base become a model folder."""
    samples, cmvn, schedule = data(work, stage), statistics(work), SCHEDULES[stage]
    model = start(work, stage)
    loss = train.Taught(model) if stage == "v3" else train.plain_loss
    print(f"{stage}: {len(samples)} utterances, {dataset.hours(samples):.2f} h", flush=True)
    loader = train.Loader(samples, schedule, cmvn, damage=stage == "v3")
    minutes = train.train(model, loader, loss, work / f"{stage}-checkpoint.pt")
    torch.save(model.state_dict(), weights(work, stage))
    if stage != "base":
        folder.write(out / f"demo-{stage}", model, *cmvn)
    note(work, stage, samples, minutes, model)


def weights(work: Path, stage: str) -> Path:
    return work / f"{stage}-weights.pt"


def start(work: Path, stage: str) -> Any:
    torch.manual_seed(SEED)
    model = folder.build_model()
    if stage in STARTS_FROM:
        model.load_state_dict(torch.load(weights(work, STARTS_FROM[stage])))
    return model


def note(work: Path, stage: str, samples: list[Any], minutes: float, model: Any) -> None:
    row = {
        "stage": stage,
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
    parser.add_argument("--only", choices=list(SCHEDULES), help="one stage, not all")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    speech.require_espeak()
    torch.set_num_threads(options.threads)
    began = time.monotonic()
    for stage in [options.only] if options.only else SCHEDULES:
        build(options.out, options.work, stage)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes in all")


if __name__ == "__main__":
    main()
