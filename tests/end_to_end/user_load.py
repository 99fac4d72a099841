"""Users who send real audio through the router, whatever happens."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

CLIP = min((Path(__file__).parents[2] / "eval_sets" / "digits" / "audio").glob("*.ogg"))


@dataclass
class Answer:
    began: float  # seconds since the epoch
    ended: float
    status: int | None
    version: str
    node: str
    text: str = ""


class Load:
    """Clients in threads, each with a kept connection. Each request has a key of its own: with
    a handful of keys, half of the traffic may well be nobody."""

    def __init__(self, url: str, clients: int) -> None:
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(clients)]
        self.answers: list[Answer] = []

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    def _work(self, number: int) -> None:
        audio = CLIP.read_bytes()
        with httpx.Client(trust_env=False, timeout=120) as client:
            for count in itertools.count():
                if self._stop.is_set():
                    return
                self.answers.append(self._send(client, f"client-{number}-{count}", audio))
                self._stop.wait(0.25)  # a load that fills both cores would only test patience

    def _send(self, client: httpx.Client, key: str, audio: bytes) -> Answer:
        began = time.time()
        try:
            answer = client.post(
                f"{self._url}/v1/audio/transcriptions",
                files={"file": ("clip.ogg", audio)},
                data={"model": "whisper-1"},
                headers={"X-API-Key": key},
            )
        except httpx.HTTPError as error:
            return Answer(began, time.time(), None, repr(error), "")
        headers = answer.headers
        return Answer(
            began, time.time(), answer.status_code,
            headers.get("x-asr-version", ""), headers.get("x-asr-node", ""),
            answer.json()["text"] if answer.status_code == 200 else "",
        )  # fmt: skip
