"""A load generator, as a process of its own: `python -m benchmarks.load --url … --output FILE`.

"Under load" is 20 clients with kept connections, each with a sticky key of its own, each paced
at one clip per clip length with pauses of 0-5 s. It never retries. SIGTERM or SIGINT end it
once its requests in flight are answered; it then prints a summary as one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from benchmarks.clips import Clip, Pace, light, read_clips, upload
from benchmarks.connection import Answer, Broken, Connection
from benchmarks.records import Record, summary

EVAL_SET: Final = Path(__file__).resolve().parent.parent / "eval_sets" / "service"
READY: Final = "ready"
_AFTER_FAILURE_SECONDS: Final = 0.1  # a closed loop must not spin on a refused connection
EPILOG: Final = "Without --saturate, --light or --interval: the paced load that numbers refer to."


@dataclass(frozen=True, slots=True)
class Options:
    """`requests` and `seconds` bound the run (None: until it is stopped). `interval_seconds`
    takes the place of the pacing; 0 is a closed loop."""

    url: str
    clients: int = 20
    seed: int = 1
    seconds: float | None = None
    requests: int | None = None
    interval_seconds: float | None = None
    light: bool = False
    distinct_keys: bool = False
    timeout_seconds: float = 60.0
    eval_set: Path = EVAL_SET


class Load:
    """Runs clients until `stop`; writes each request's record to `output` when it ends."""

    def __init__(self, options: Options, output: TextIO) -> None:
        self._options = options
        self._output = output
        self._clips = [] if options.light else read_clips(options.eval_set)
        url = urllib.parse.urlsplit(options.url)
        self._address = (url.hostname or "127.0.0.1", url.port or 80)
        self._host = url.netloc
        self._stopped = asyncio.Event()
        self._left = options.requests
        self.records: list[Record] = []

    def stop(self) -> None:
        """No new request; those in flight are waited for."""
        self._stopped.set()

    async def run(self) -> None:
        if self._options.seconds is not None:
            asyncio.get_running_loop().call_later(self._options.seconds, self.stop)
        async with asyncio.TaskGroup() as clients:
            for number in range(self._options.clients):
                clients.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        pace = Pace(self._options.seed, number, self._clips)
        async with Connection(*self._address) as connection:
            turn = 0
            async for _ in self._turns(pace):
                key = f"client-{self._options.seed}-{number}"
                if self._options.distinct_keys:
                    key = f"{key}-{turn}"
                turn += 1
                await self._request(number, connection, pace, key)

    async def _turns(self, pace: Pace) -> AsyncIterator[None]:
        """A turn as long as there are any; the first comes after a pause, so that not all
        clients begin at once."""
        interval = self._options.interval_seconds
        await self._pause(pace.first_pause() if interval is None else pace.first_pause() * interval)
        while not self._stopped.is_set() and self._takes_one():
            yield None

    def _takes_one(self) -> bool:
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0

    async def _request(self, number: int, connection: Connection, pace: Pace, key: str) -> None:
        clip = None if self._options.light else pace.next_clip()
        data = light(self._host, key) if clip is None else upload(self._host, key, clip.body)
        record = await self._exchange(number, connection, data)
        self.records.append(record)
        self._output.write(record.to_line())
        pause = self._pause_seconds(pace, clip, record.seconds)
        await self._pause(pause if record.ok else max(pause, _AFTER_FAILURE_SECONDS))

    def _pause_seconds(self, pace: Pace, clip: Clip | None, took: float) -> float:
        if self._options.interval_seconds is not None:
            return max(0.0, self._options.interval_seconds - took)
        return 0.0 if clip is None else pace.pause(clip, took)

    async def _exchange(self, number: int, connection: Connection, data: bytes) -> Record:
        reused = connection.is_open()
        start, began = time.time(), time.perf_counter()
        answer, error = None, ""
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                answer = await connection.exchange(data)
        except TimeoutError:
            error = f"no answer after {self._options.timeout_seconds:g} s"
        except (Broken, OSError) as problem:
            error = str(problem) or type(problem).__name__
        end = start + time.perf_counter() - began
        return _record(number, start, end, answer, error, reused)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass


def _record(
    number: int, start: float, end: float, answer: Answer | None, error: str, reused: bool
) -> Record:
    if answer is None:
        return Record(number, start, end, error=error, reused=reused)
    version = answer.headers.get("x-asr-version", "")
    node = answer.headers.get("x-asr-node", "")
    return Record(number, start, end, answer.status, version, node, error, reused)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when no request failed."""
    parsed = _parser().parse_args(arguments)
    options = Options(
        url=parsed.url,
        clients=parsed.clients,
        seed=parsed.seed,
        seconds=parsed.seconds,
        requests=parsed.requests,
        interval_seconds=0.0 if parsed.saturate else parsed.interval,
        light=parsed.light,
        distinct_keys=parsed.distinct_keys,
        timeout_seconds=parsed.timeout,
        eval_set=parsed.eval_set,
    )
    with parsed.output.open("w", buffering=1, encoding="utf-8") as output:
        records = asyncio.run(_run(options, output))
    numbers = summary(records)
    print(json.dumps(numbers, ensure_ascii=False), flush=True)
    return 1 if numbers["failed"] else 0


async def _run(options: Options, output: TextIO) -> list[Record]:
    load = Load(options, output)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stop)
    print(READY, flush=True)
    await load.run()
    return load.records


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="load", description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("--url", required=True, help="the router")
    add("--output", type=Path, required=True, help="one JSON line per request")
    add("--clients", type=int, default=20)
    add("--seed", type=int, default=1, help="of clips, pauses and keys")
    add("--seconds", type=float, help="stop by itself")
    add("--requests", type=int, help="stop after so many")
    add("--interval", type=float, help="seconds between a client's requests, instead of pacing")
    add("--saturate", action="store_true", help="no pacing: each client sends again at once")
    add("--light", action="store_true", help="GET /v1/models instead of audio")
    add("--distinct-keys", action="store_true", help="a new sticky key for every request")
    add("--timeout", type=float, default=60.0, help="seconds until a request has failed")
    add("--eval-set", type=Path, default=EVAL_SET, help="where the audio is from")
    return parser


if __name__ == "__main__":
    sys.exit(main())
