"""Speech from text: espeak-ng's voices, pauses, and noise. Everything follows from a seed."""

import shutil
import subprocess
from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly

Samples = NDArray[np.float32]

RATE: Final = 16_000
ESPEAK_RATE: Final = 22_050
TRAIN_VOICES: Final = (
    "m1", "m2", "m3", "m4", "m7", "m8", "f1", "f3", "f5", "adam", "Alex", "Andy",
    "Annie", "belinda", "boris", "caleb", "david", "edward", "Gene", "Henrique",
    "Jacky", "john", "linda", "marcelo", "max", "Michael", "paul", "rob", "steph", "victor",
)  # fmt: skip
TEST_VOICES: Final = ("m6", "f2", "f4", "sandro", "travis", "robert", "Mike")


class EspeakMissing(RuntimeError):
    """espeak-ng is not on the PATH."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker: espeak-ng's variant, words a minute, pitch 0-99."""

    variant: str
    speed: int
    pitch: int


def a_voice(rng: Random, variants: tuple[str, ...]) -> Voice:
    return Voice(rng.choice(variants), rng.randint(150, 260), rng.randint(30, 70))


def require_espeak() -> None:
    if shutil.which("espeak-ng") is None:
        raise EspeakMissing(
            "espeak-ng speaks the training data and is missing here; install the package "
            "espeak-ng (Debian, Ubuntu: apt-get install espeak-ng)"
        )


def say(text: str, voice: Voice) -> Samples:
    """One phrase at 16 kHz, -1..1, without the silence that espeak-ng puts around it."""
    done = subprocess.run(
        ["espeak-ng", "-b", "1", "-v", f"cmn-latn-pinyin+{voice.variant}", "-s", str(voice.speed),
         "-p", str(voice.pitch), "--stdout", text],
        capture_output=True, check=True,
    )  # fmt: skip
    # Skip the header: to a pipe, espeak-ng writes a wrong length into it.
    pcm = np.frombuffer(done.stdout[44:], dtype="<i2").astype(np.float32) / 32768
    return trim(resample_poly(pcm, 320, 441).astype(np.float32))  # 22,050 to 16,000


def trim(samples: Samples, floor: float = 0.01) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > floor)
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def utter(parts: tuple[str, ...], voice: Voice, rng: Random) -> Samples:
    """The phrases with short pauses between them, and a little silence at both ends."""
    pieces = [silence(rng.uniform(0.05, 0.3))]
    for part in parts:
        pieces += [say(part, voice), silence(rng.uniform(0.12, 0.5))]
    return np.concatenate(pieces)


def coloured(size: int, rng: np.random.Generator, exponent: float) -> Samples:
    """Noise whose power falls with frequency**exponent: 0 is white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.maximum(np.arange(spectrum.size), 1) / spectrum.size
    return np.fft.irfft(spectrum * frequency ** (-exponent / 2), size).astype(np.float32)


def hum(size: int, rng: np.random.Generator) -> Samples:
    time = np.arange(size) / RATE
    base = rng.uniform(45, 130)
    tones = [
        rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * (base * k * time + rng.random()))
        for k in range(1, 9)
    ]
    return np.sum(tones, axis=0).astype(np.float32)


def fan(size: int, rng: np.random.Generator) -> Samples:
    """Only in the eval sets: white noise through a resonance, swelling slowly."""
    pole, angle = 0.96, 2 * np.pi * rng.uniform(300, 1200) / RATE
    ringing = lfilter([1.0], [1, -2 * pole * np.cos(angle), pole**2], rng.standard_normal(size))
    swell = 1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.3, 2) * np.arange(size) / RATE)
    return (ringing * swell).astype(np.float32)


def mix(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    power = float(np.mean(speech**2)) / max(float(np.mean(noise**2)), 1e-12)
    return speech + noise * np.float32(np.sqrt(power / 10 ** (snr_db / 10)))


def gain(samples: Samples, peak: float) -> Samples:
    return (samples * (peak / max(float(np.max(np.abs(samples))), 1e-6))).astype(np.float32)


def augment(speech: Samples, rng: np.random.Generator) -> Samples:
    """One training copy: another loudness, another noise between 5 and 35 dB."""
    noise = coloured(speech.size, rng, rng.uniform(0, 1.8))
    if rng.random() < 0.3:
        noise = noise / noise.std() + hum(speech.size, rng) * rng.uniform(0.5, 2)
    return gain(mix(speech, noise, rng.uniform(5, 35)), rng.uniform(0.1, 0.95))
