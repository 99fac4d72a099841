"""The drill's own load: clients with kept connections that speak at their own pace.

It never retries: what a client feels is what is counted."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from controller.core.drill.measures import Sent
from controller.core.eval_set import EvalSet

PATH: Final = "/v1/audio/transcriptions"
_LONGEST_CLIP_MS: Final = 15_000
_PAUSE_SECONDS: Final = (0.0, 1.0)  # beside the clip's own length
_AFTER_FAILURE_SECONDS: Final = 0.2  # a refused connection must not make a client spin


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording: its key in the eval set, its length, and its file."""

    key: str
    seconds: float
    path: Path


def clips_of(eval_set: EvalSet) -> list[Clip]:
    """Those that are no longer than a sentence or two; all, where there is none."""
    short = [u for u in eval_set.utterances if 0 < u.duration_ms <= _LONGEST_CLIP_MS]
    return [Clip(u.key, u.duration_ms / 1000, Path(u.source)) for u in short or eval_set.utterances]


class Load:
    """`run` sends until `stop`; `sent` grows with every request that ended.

    Request ids begin with `prefix`, so that the router's log tells ours from users'."""

    def __init__(
        self,
        url: str,
        clips: Sequence[Clip],
        clients: int,
        prefix: str,
        api_key: Callable[[], str | None],
        timeout_seconds: float = 60.0,
    ) -> None:
        self._url = url
        self._clips = clips
        self._clients = clients
        self._prefix = prefix
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        self._stopped = asyncio.Event()
        self._numbers = iter(range(1, 1 << 62))
        self.sent: list[Sent] = []

    def stop(self) -> None:
        """No new request; those in flight are waited for."""
        self._stopped.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for number in range(self._clients):
                clients.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        chance = random.Random(f"{self._prefix}{number}")  # noqa: S311 (which clip, no secret)
        one = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        async with httpx.AsyncClient(
            base_url=self._url, trust_env=False, timeout=self._timeout_seconds, limits=one
        ) as client:
            await self._pause(chance.uniform(*_PAUSE_SECONDS))
            while not self._stopped.is_set():
                clip = chance.choice(self._clips)
                sent = await self._send(client, number, clip)
                self.sent.append(sent)
                left = clip.seconds - sent.seconds + chance.uniform(*_PAUSE_SECONDS)
                await self._pause(max(left, 0.0 if sent.answered else _AFTER_FAILURE_SECONDS))

    async def _send(self, client: httpx.AsyncClient, number: int, clip: Clip) -> Sent:
        request_id = f"{self._prefix}{next(self._numbers)}"
        content = await asyncio.to_thread(clip.path.read_bytes)
        began, clock = time.time(), time.monotonic()
        response, error = None, ""
        try:
            response = await client.post(
                PATH,
                files={"file": (clip.path.name, content)},
                data={"model": "whisper-1", "response_format": "json"},
                headers=self._headers(request_id, number),
            )
        except httpx.HTTPError as problem:
            error = str(problem) or type(problem).__name__
        ended = began + time.monotonic() - clock  # no clock that is set makes it shorter
        if response is None:
            return Sent(request_id, began, ended, None, clip.key, error=error)
        node, text = response.headers.get("x-asr-node", ""), _text(response)
        return Sent(request_id, began, ended, response.status_code, clip.key, node, text)

    def _headers(self, request_id: str, number: int) -> dict[str, str]:
        key = self._api_key()
        own = {"X-Request-ID": request_id, "X-API-Key": f"{self._prefix}{number}"}
        return own | ({"Authorization": f"Bearer {key}"} if key is not None else {})

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()


def _text(response: httpx.Response) -> str | None:
    try:
        return str(response.json()["text"])
    except (ValueError, KeyError, TypeError):
        return None
