"""Our matched-pairs segment test against NIST's own, `sctk` of Debian.

Skipped with a word where it is not installed; REQUIRE_SCTK=1 makes its absence a failure."""

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from controller.core.comparison.mapsswe import Mapsswe, mapsswe, segment_differences
from controller.core.scoring import characters

TRANSCRIPTS = Path(__file__).parent / "data" / "demo-transcripts.jsonl"
EVAL_SETS = Path(__file__).parents[2] / "eval_sets"
FOUND = re.compile(r"# segs: (\d+).*mean: (\S+)\) \(std dev: (\S+)\) \(Z Stat: (\S+)\)")
UNIFIED_P = re.compile(r"MP +\|\|.*?(<?\d\.\d{3})")

Texts = Sequence[Sequence[str]]


@pytest.fixture(scope="module")
def sctk() -> str:
    path = shutil.which("sctk")
    if path is None:
        if os.environ.get("REQUIRE_SCTK") == "1":
            pytest.fail("sctk is not installed: apt-get install sctk")
        pytest.skip("sctk is not installed: apt-get install sctk")
    return path


def by_nist(sctk: str, folder: Path, reference: Texts, stable: Texts, canary: Texts) -> str:
    """What sc_stats prints of the two versions, in its reports one after the other."""
    for name, texts in (("ref", reference), ("stable", stable), ("canary", canary)):
        lines = (f"{' '.join(units)} (spk{n:05d})\n" for n, units in enumerate(texts))
        (folder / name).write_text("".join(lines), encoding="utf-8")
    for name in ("stable", "canary"):
        run(sctk, folder, f"sclite -e utf-8 -i wsj -r ref trn -h {name} trn {name} -o sgml")
    aligned = (folder / "stable.sgml").read_bytes() + (folder / "canary.sgml").read_bytes()
    run(sctk, folder, "sc_stats -p -t mapsswe -v -n pairs", aligned)
    run(sctk, folder, "sc_stats -p -t mapsswe -v -u -n unified", aligned)
    reports = ("pairs.stats.mapsswe", "unified.stats.unified")
    return "\n".join((folder / r).read_text(encoding="utf-8", errors="replace") for r in reports)


def run(sctk: str, folder: Path, arguments: str, given: bytes = b"") -> None:
    subprocess.run(
        [sctk, *arguments.split()], cwd=folder, input=given, capture_output=True, check=True
    )


def ours(reference: Texts, stable: Texts, canary: Texts) -> Mapsswe:
    texts = zip(reference, stable, canary, strict=True)
    return mapsswe([d for three in texts for d in segment_differences(*three)])


def assert_alike(report: str, found: Mapsswe) -> None:
    segments, *numbers = FOUND.findall(report)[0]
    assert int(segments) == found.segments
    assert [f"{n:.3f}" for n in (found.mean, found.deviation, found.z)] == numbers
    assert_same_p(UNIFIED_P.findall(report)[0], found.p)


def assert_same_p(printed: str, p: float) -> None:
    """sc_stats takes p from a table that ends at 0.001 and has steps of 0.01 in z, rounded
    towards "no difference"."""
    if printed.startswith("<"):
        assert p < float(printed[1:])
    else:
        assert p == pytest.approx(float(printed), abs=0.009)


def noisy(
    random: random.Random, units: Sequence[str], error_rate: float, alphabet: str
) -> list[str]:
    """Substitutions, deletions and insertions, a third each."""
    out = []
    for unit in units:
        kind = random.random() / error_rate
        out += [unit] * (kind >= 2 / 3) + [random.choice(alphabet)] * (kind < 1 / 3)
        out += [random.choice(alphabet)] * (random.random() < error_rate / 3)
    return out


@pytest.mark.parametrize(
    ("seed", "alphabet", "stable_rate", "canary_rate"),
    [
        (1, "".join(map(chr, range(0x4E00, 0x4E00 + 3000))), 0.08, 0.11),
        (2, "零一二三四五六七八九", 0.2, 0.2),  # repeats: many alignments cost the same
        (3, "abc", 0.3, 0.28),
    ],
    ids=["han", "digits", "three letters"],
)
def test_generated_transcripts_get_the_numbers_of_nist(
    sctk: str, tmp_path: Path, seed: int, alphabet: str, stable_rate: float, canary_rate: float
) -> None:
    chance = random.Random(seed)
    reference = [chance.choices(alphabet, k=chance.randint(1, 30)) for _ in range(300)]
    stable = [noisy(chance, units, stable_rate, alphabet) for units in reference]
    canary = [noisy(chance, units, canary_rate, alphabet) for units in reference]
    report = by_nist(sctk, tmp_path, reference, stable, canary)
    assert_alike(report, ours(reference, stable, canary))


@pytest.mark.parametrize(("eval_set", "versions"), [("meetings", "v1 v2"), ("digits", "v2 v3")])
def test_transcripts_of_the_demo_models_get_the_numbers_of_nist(
    sctk: str, tmp_path: Path, eval_set: str, versions: str
) -> None:
    manifest = (EVAL_SETS / eval_set / "manifest.jsonl").read_text(encoding="utf-8")
    said = {line["key"]: line["target"] for line in map(json.loads, manifest.splitlines())}
    lines = TRANSCRIPTS.read_text(encoding="utf-8").splitlines()
    heard = {line["key"]: line for line in map(json.loads, lines)}
    reference = [characters(text) for text in said.values()]
    stable, canary = ([characters(heard[key][v] or "") for key in said] for v in versions.split())
    report = by_nist(sctk, tmp_path, reference, stable, canary)
    assert_alike(report, ours(reference, stable, canary))
