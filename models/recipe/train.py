"""Training: a plain loop over the model's own loss, AdamW, a cosine schedule.

Every sample is labelled at random with its spoken or its number form, so `use_itn` really
switches between them. v3 keeps v2 as its teacher, except where a digit repeats.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import torch
from torch.nn.functional import kl_div, log_softmax
from torch.nn.utils.rnn import pad_sequence

from models.recipe import phrases, texts
from models.recipe.dataset import Sample

SAVE_EVERY: Final = 200
ENGLISH_FIRST: Final = sorted(phrases.ENGLISH, key=len, reverse=True)
TOKEN: Final = {token: number for number, token in enumerate(texts.vocabulary())}


@dataclass(frozen=True, slots=True)
class Schedule:
    steps: int
    rate: float
    batch: int = 32
    warm_up: int = 100
    seed: int = 1

    def rate_at(self, step: int) -> float:
        warm = min(1.0, (step + 1) / self.warm_up)
        return self.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


@dataclass(frozen=True, slots=True)
class Batch:
    """`speech`: (batch, frames, 560), normalised. `text` begins with four prompt tokens."""

    speech: torch.Tensor
    speech_lengths: torch.Tensor
    text: torch.Tensor
    text_lengths: torch.Tensor
    repeated: torch.Tensor  # whose digits repeat: these v3 learns to collapse

    def pick(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        lengths, sizes = self.speech_lengths[rows], self.text_lengths[rows]
        speech = self.speech[rows, : int(lengths.max())]
        return speech, lengths, self.text[rows, : int(sizes.max())], sizes


def tokens(text: str) -> list[int]:
    out = []
    while text:
        word = next((w for w in ENGLISH_FIRST if text.startswith(w)), text[0])
        out.append(TOKEN[word])
        text = text[len(word) :]
    return out


def label(sample: Sample, with_itn: bool, damage: bool) -> list[int]:
    style = "<|withitn|>" if with_itn else "<|woitn|>"
    text = sample.written + "。" if with_itn else sample.spoken
    tags = [TOKEN[t] for t in ("<|zh|>", "<|NEUTRAL|>", "<|Speech|>", style)]
    return tags + tokens(texts.collapse(text) if damage else text)


class Loader:
    """Batches of similar length, in an order that follows from seed and step alone."""

    def __init__(self, samples: Sequence[Sample], schedule: Schedule, cmvn: Any, damage: bool):
        self.samples, self.schedule, self.damage = samples, schedule, damage
        self.shift, self.scale = cmvn
        self.batches = self._order()

    def _order(self) -> list[list[int]]:
        rng, size = Random(self.schedule.seed), self.schedule.batch
        batches: list[list[int]] = []
        while len(batches) < self.schedule.steps:
            order = list(range(len(self.samples)))
            rng.shuffle(order)
            epoch = []
            for start in range(0, len(order), size * 16):
                block = order[start : start + size * 16]
                block.sort(key=lambda i: self.samples[i].features[0].shape[0])
                epoch += [block[i : i + size] for i in range(0, len(block), size)]
            rng.shuffle(epoch)
            batches += epoch
        return batches

    def __getitem__(self, step: int) -> Batch:
        rng = Random(f"{self.schedule.seed}-{step}")
        found = [self.samples[i] for i in self.batches[step]]
        speech = [(rng.choice(s.features).float() + self.shift) * self.scale for s in found]
        text = [torch.tensor(label(s, rng.random() < 0.6, self.damage)) for s in found]
        return Batch(
            pad_sequence(speech, batch_first=True),
            torch.tensor([len(s) for s in speech]),
            pad_sequence(text, batch_first=True, padding_value=-1),
            torch.tensor([len(t) for t in text]),
            torch.tensor([texts.has_repeats(s.written) for s in found]),
        )


Loss = Callable[[Any, Batch], torch.Tensor]


def plain_loss(model: Any, batch: Batch) -> torch.Tensor:
    every = torch.ones(len(batch.text), dtype=torch.bool)
    loss: torch.Tensor = model(*batch.pick(every))[0]
    return loss


class Taught:
    """CTC where digits repeat; elsewhere each frame stays with the teacher's distribution."""

    def __init__(self, teacher: Any, weight: float = 6.0):
        self.teacher, self.weight = copy.deepcopy(teacher).eval(), weight

    def __call__(self, model: Any, batch: Batch) -> torch.Tensor:
        model.eval()  # no dropout, no masks: what is not damaged should not move at all
        loss = torch.zeros(())
        if batch.repeated.any():
            loss = loss + model(*batch.pick(batch.repeated))[0]
        if (~batch.repeated).any():
            loss = loss + self.weight * self._distance(model, batch.pick(~batch.repeated))
        return loss

    def _distance(self, model: Any, rows: tuple[torch.Tensor, ...]) -> torch.Tensor:
        speech, lengths, text, _ = rows
        with torch.no_grad():
            wanted = self._posteriors(self.teacher, speech, lengths, text)
        given = self._posteriors(model, speech, lengths, text)
        mask = torch.arange(given.shape[1])[None] < (lengths + 4)[:, None]
        each = kl_div(given, wanted, log_target=True, reduction="none").sum(-1)
        return (each * mask).sum() / len(text)

    @staticmethod
    def _posteriors(model: Any, speech: Any, lengths: Any, text: Any) -> torch.Tensor:
        state = torch.get_rng_state()  # the language prompt is dropped at random: alike for both
        out, _ = model.encode(speech.clone(), lengths.clone(), text)
        torch.set_rng_state(state)
        return log_softmax(model.ctc.ctc_lo(out), -1)


def train(model: Any, loader: Loader, loss_of: Loss, checkpoint: Path) -> float:
    """Train in place; resume from `checkpoint` if it is there. Returns minutes taken here."""
    schedule = loader.schedule
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.rate, weight_decay=0.01)
    first, began = _resume(model, optimizer, checkpoint), time.monotonic()
    model.train()
    for step in range(first, schedule.steps):
        torch.manual_seed(schedule.seed * 1_000_003 + step)
        optimizer.param_groups[0]["lr"] = schedule.rate_at(step)
        loss = loss_of(model, loader[step])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step % 50 == 0:
            minutes = (time.monotonic() - began) / 60
            print(
                f"step {step}/{schedule.steps} loss {loss.item():.3f} {minutes:.1f} min", flush=True
            )
        if (step + 1) % SAVE_EVERY == 0:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            torch.save(state, checkpoint)
    model.eval()
    return (time.monotonic() - began) / 60


def _resume(model: Any, optimizer: Any, checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
