"""What live traffic and nodes tell, one request or one look at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """One answered request of random traffic (opted-in requests are nobody's evidence).

    `ok`: every attempt of the pool it was sent to first succeeded, so a failure that stable
    rescued counts against the canary. `seconds`: how long that pool took. `audio_seconds`: the
    recording's length, None where unknown. `empty`: the text was empty. `at`: Unix time.
    `compared`: False of stable's while the canary is compared with a baseline."""

    canary: bool
    key: str
    ok: bool
    empty: bool
    seconds: float
    audio_seconds: float | None
    at: float
    compared: bool = True


@dataclass(frozen=True, slots=True)
class NodeSample:
    """One look at a node, and at one of its memories: a node with several gives several at once.

    `memory_bytes` is what it holds of `memory_limit_bytes`; None where that is not known.
    `instance` differs for every start of the node: a new one begins with an empty memory."""

    canary: bool
    node: str
    at: float
    degraded: bool = False
    memory_bytes: float | None = None
    memory_limit_bytes: float | None = None
    memory: str = "GPU memory"  # which one, in words
    instance: str = ""
