"""Sends messages with apprise, in a process of its own for each: it ends with its time, whatever
the network does, and what apprise or a library below it logs (URLs, too) ends with it.

The URL is a secret. It goes to that process through a pipe, so it stands in no process list, and
nothing that comes back but a few known words is passed on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from controller.core.errors import InvalidConfig, NotificationFailed
from controller.core.notification import Target

SENDER: Final = "controller.adapters.notification_sender"
_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{1,30}://\S+")
_TIMEOUT_SECONDS: Final = 20.0
_CHECK_SECONDS: Final = 60.0


class AppriseMessenger:
    """Implements the Messenger port."""

    def __init__(
        self,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._environment = environment

    def check(self, target: Target) -> None:
        """Raise InvalidConfig, before anything starts, where there is no URL or apprise does not
        understand it. Blocking. Sends nothing."""
        try:
            message = json.dumps({"url": self._url(target)})
            answer = subprocess.run(
                self._command(), input=message.encode(), stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, timeout=_CHECK_SECONDS, check=False,
            ).stdout.strip()  # fmt: skip
            _raise_unless_sent(answer)
        except (NotificationFailed, subprocess.TimeoutExpired) as error:
            problem = str(error) if isinstance(error, NotificationFailed) else "no answer in time"
            raise InvalidConfig(
                f"notifications: {target.name}: {problem}; nothing was started"
            ) from None  # what caused it may have the URL

    async def send(self, target: Target, title: str, body: str, urgent: bool) -> None:
        url = await asyncio.to_thread(self._url, target)  # read anew: a secret may be replaced
        message = {"url": url, "title": title, "body": body, "urgent": urgent}
        _raise_unless_sent(await self._ask(json.dumps(message).encode()))

    async def _ask(self, message: bytes) -> bytes:
        """The sender's word. It is killed when its time is over."""
        process = await asyncio.create_subprocess_exec(
            *self._command(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer, _ = await process.communicate(message)
                return answer.strip()
        except TimeoutError:
            return b"late"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _command(self) -> list[str]:
        return [sys.executable, "-P", "-m", SENDER, str(self._timeout_seconds)]

    def _url(self, target: Target) -> str:
        """Raises NotificationFailed, never with the content."""
        text = self._text(target)
        lines = [line.strip() for line in text.splitlines()]
        urls = [line for line in lines if line and not line.startswith("#")]
        if len(urls) != 1:
            raise NotificationFailed(f"there are {len(urls)} URLs; exactly one is needed")
        if not _URL.fullmatch(urls[0]):
            raise NotificationFailed(
                "what is there is no URL of apprise (such as dingtalk://TOKEN or "
                "mailto://user:password@example.com)"
            )
        return urls[0]

    def _text(self, target: Target) -> str:
        if target.file is None:
            return self._environment.get(target.variable or "", "")
        try:
            return target.file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise NotificationFailed(f"the file cannot be read: {error.strerror}") from None
        except ValueError:  # its message would quote the file
            raise NotificationFailed("the file is not UTF-8") from None


_REASONS: Final = {
    b"late": "no answer in time",
    b"url": "apprise does not understand the URL, or what it needs is not installed",
    b"connection": "the service could not be reached",
    b"": "the sender ended without a word",
}


def _raise_unless_sent(answer: bytes) -> None:
    if answer != b"sent":
        raise NotificationFailed(_REASONS.get(answer, _http(answer) or "it was not accepted"))


def _http(answer: bytes) -> str | None:
    found = re.fullmatch(rb"http (\d{3})", answer)
    return f"the service answered with HTTP status {found[1].decode()}" if found else None
