"""funasr-python, as its README uses it: URL MODE FILE …; prints what it heard as JSON."""

from __future__ import annotations

import asyncio
import json
import sys

from funasr_client import AsyncFunASRClient, AsyncRecognitionCallback
from funasr_client.models import RecognitionMode


class Heard(AsyncRecognitionCallback):
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.errors: list[str] = []

    async def on_partial_result(self, result):
        self.texts.append(result.text)

    async def on_final_result(self, result):
        self.texts.append(result.text)

    async def on_error(self, error):
        self.errors.append(str(error))

    async def on_sentence_end(self, result):
        pass

    async def on_connection_status(self, status):
        pass


async def hear(url: str, mode: str, path: str) -> dict[str, list[str]]:
    heard = Heard()
    client = AsyncFunASRClient(server_url=url, mode=RecognitionMode(mode), log_level="WARNING")
    try:
        await client.recognize_file(path, heard)
    finally:
        await client.close()
    return {"texts": heard.texts, "errors": heard.errors}


async def main(url: str, mode: str, *paths: str) -> None:
    print(json.dumps([await hear(url, mode, path) for path in paths]))


asyncio.run(main(*sys.argv[1:]))
