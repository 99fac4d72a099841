"""apprise against real HTTP servers: one that takes messages, one that hangs, one that fails; and
a secret in the URL that must appear nowhere else."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.adapters.notifications import SENDER, AppriseMessenger
from controller.adapters.store import SqlStore
from controller.core.errors import InvalidConfig, NotificationFailed
from controller.core.notification import Target
from controller.engine.notify import Notifier
from controller.engine.records import Event
from tests.engine.fakes import NOON, Clock

SECRET = "s3cr3t-t0k3n"


@dataclass
class Chat:
    """A service that takes messages. `status` is its answer; None never answers."""

    status: int | None = 200
    received: list[dict[str, Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    port: int = 0


@pytest.fixture
def chat() -> Iterator[Chat]:
    state = Chat()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.received.append(json.loads(body))
            if state.status is None:
                state.ended.wait(60)
                return
            self.send_response(state.status)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    state.ended.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path: Path, chat: Chat) -> Target:
    return a_target(tmp_path, f"# the room of the team\njson://127.0.0.1:{chat.port}/{SECRET}\n")


def a_target(folder: Path, text: str) -> Target:
    path = folder / "chat.url"
    path.write_text(text, encoding="utf-8")
    return Target(file=path)


async def test_a_message_arrives_as_it_was_written(chat: Chat, target: Target) -> None:
    await AppriseMessenger().send(target, "标题", "一零零八六 <b> *x*\nsecond line", urgent=True)
    (received,) = chat.received
    assert (received["title"], received["type"]) == ("标题", "warning")
    assert received["message"] == "一零零八六 <b> *x*\nsecond line"


async def test_the_url_may_be_in_an_environment_variable(chat: Chat) -> None:
    environment = {"CHAT_URL": f"json://127.0.0.1:{chat.port}"}
    messenger = AppriseMessenger(environment=environment)
    await messenger.send(Target(variable="CHAT_URL"), "t", "b", urgent=False)
    assert chat.received[0]["title"] == "t"


async def test_a_service_that_answers_500_is_a_failure_with_its_status(
    chat: Chat, target: Target
) -> None:
    chat.status = 500
    with pytest.raises(NotificationFailed, match="the service answered with HTTP status 500"):
        await AppriseMessenger().send(target, "t", "b", urgent=False)


async def test_a_service_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"json://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NotificationFailed, match="the service could not be reached"):
        await AppriseMessenger().send(a_target(tmp_path, url), "t", "b", urgent=False)


async def test_a_service_that_hangs_ends_with_the_time_and_leaves_no_process(
    chat: Chat, tmp_path: Path
) -> None:
    chat.status = None
    patient = a_target(tmp_path, f"json://127.0.0.1:{chat.port}/?rto=300")
    before = {child.pid for child in psutil.Process().children()}
    began = time.monotonic()
    with pytest.raises(NotificationFailed, match="no answer in time"):
        await AppriseMessenger(timeout_seconds=2).send(patient, "t", "b", urgent=False)
    assert time.monotonic() - began < 30
    assert {child.pid for child in psutil.Process().children()} <= before


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there are 0 URLs"),
        (f"json://one/{SECRET}\njson://two/{SECRET}", "there are 2 URLs"),
        (SECRET, "no URL of apprise"),
        (f"nosuchservice://{SECRET}/{SECRET}", "apprise does not understand the URL"),
    ],
)
def test_what_is_no_url_is_refused_before_anything_starts(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(InvalidConfig, match=problem) as refusal:
        AppriseMessenger().check(a_target(tmp_path, text))
    assert "chat.url" in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_a_file_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"no\.url: the file cannot be read: No such file"):
        AppriseMessenger().check(Target(file=tmp_path / "no.url"))


def test_a_good_url_is_checked_without_a_message(chat: Chat, target: Target) -> None:
    AppriseMessenger().check(target)
    assert chat.received == []


@pytest.mark.parametrize("status", [500, None])
async def test_the_secret_is_in_no_log_event_error_or_process_list(
    chat: Chat, target: Target, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str], status: int | None,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    chat.status = status
    store = SqlStore.in_folder(tmp_path)
    messenger = AppriseMessenger(timeout_seconds=60)
    notifier = Notifier("asr", [target], store, messenger, Clock(), pauses_seconds=())
    store.move_cursor(target.name, 0)
    store.save([Event("fleet.alarm", "fleet", "no node is ready", "controller", NOON)])
    seen = [await watched(notifier, chat)]
    if status is not None:
        seen.append(repr(await notifier.test("ann")))
        assert "notification.failed" in caplog.text
    await notifier.close()
    seen += [caplog.text, repr(store.events()), *capfd.readouterr()]
    store.close()
    assert SENDER in seen[0]
    assert [text for text in seen if SECRET in text] == []


async def watched(notifier: Notifier, chat: Chat) -> str:
    """The command lines of all our children while one message is on its way: until it failed,
    or arrived where it never gets an answer."""
    lines: set[str] = set()
    await notifier.round()
    while notifier._jobs._tasks and not (chat.received and chat.status is None):
        for child in psutil.Process().children(recursive=True):
            try:
                lines.add(" ".join(child.cmdline()))
            except psutil.NoSuchProcess:
                continue
        await asyncio.sleep(0.05)
    assert chat.received
    return "\n".join(lines)
