"""funasr-client, as its README uses it: URL MODE FILE …; prints what it heard as JSON."""

from __future__ import annotations

import asyncio
import json
import sys

from funasr_client import async_file_asr_stream


async def main(url: str, mode: str, *paths: str) -> None:
    heard = [
        [message async for message in async_file_asr_stream(path, url, mode=mode)] for path in paths
    ]
    print(json.dumps(heard))


asyncio.run(main(*sys.argv[1:]))
