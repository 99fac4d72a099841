"""Many files in one request: accepted, watched, cancelled, done once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from asr_node.batches import store
from tests.asr_node.history_bench import no_file_grows_past, until
from tests.asr_node.node_fakes import encoded, tone

CLIP = encoded(tone(0.5))


def clips(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"{number}.wav", content)) for number, content in enumerate(contents)]


async def post(running, *contents: bytes, request_id: str = "", **form: str) -> httpx.Response:
    headers = {"X-Request-ID": request_id} if request_id else {}
    return await running.client.post(
        "/v1/batches", files=clips(*contents), data=form, headers=headers
    )


async def accepted(running, *contents: bytes, **form: str) -> str:
    answer = await post(running, *contents, **form)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def view(running, batch_id: str) -> dict:
    answer = await running.client.get(f"/v1/batches/{batch_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def finished(running, batch_id: str) -> dict:
    async with asyncio.timeout(60):
        while not (found := await view(running, batch_id))["finished_time"]:
            await asyncio.sleep(0.01)
    return found


async def rows(running) -> list[dict]:
    return (await running.client.get("/v1/history?limit=1000")).json()["entries"]


def audio_folder(running, batch_id: str) -> Path:
    return running.node.settings.data_dir / "batches" / batch_id


async def test_every_file_has_its_text_and_its_row(running) -> None:
    answer = await post(running, CLIP, encoded(tone(1.0)), request_id="r-7", language="zh")
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/batches/{body['id']}"
    assert body["id"].startswith("batch_n1_")
    assert len(body["id"]) == len("batch_n1_") + 32
    assert (body["request_id"], body["version"], body["counts"]["total"]) == ("r-7", "v1", 2)
    done = await finished(running, body["id"])
    assert done["status"] == "done"
    assert [(file["filename"], file["status"], file["text"]) for file in done["files"]] == [
        ("0.wav", "done", "itn=True language=zh"),
        ("1.wav", "done", "itn=True language=zh"),
    ]
    kept = {row["id"]: row for row in await rows(running)}
    assert set(kept) == {file["history_id"] for file in done["files"]}
    row = kept[done["files"][1]["history_id"]]
    assert (row["request_id"], row["priority"]) == (f"{body['id']}.1", "batch")
    assert (row["filename"], row["duration_seconds"]) == ("1.wav", 1.0)


async def test_one_bad_file_never_stops_the_rest(running) -> None:
    done = await finished(running, await accepted(running, CLIP, b"no audio" * 99, b"", CLIP))
    assert [file["status"] for file in done["files"]] == ["done", "failed", "failed", "done"]
    assert "not audio" in done["files"][1]["error"]
    assert done["counts"] == {
        "total": 4, "queued": 0, "running": 0, "done": 2, "failed": 2, "cancelled": 0,
    }  # fmt: skip


async def test_the_audio_is_gone_when_the_batch_is_done(running) -> None:
    running.engine.recognizer.gate.clear()
    batch_id = await accepted(running, CLIP)
    assert [path.read_bytes() for path in audio_folder(running, batch_id).iterdir()] == [CLIP]
    running.engine.recognizer.gate.set()
    await finished(running, batch_id)
    await until(lambda: not audio_folder(running, batch_id).exists())


async def test_the_same_request_again_is_the_same_batch(running) -> None:
    first = await post(running, CLIP, request_id="once")
    again = await post(running, CLIP, request_id="once")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    await finished(running, first.json()["id"])
    late = await post(running, CLIP, request_id="once")
    assert (late.json()["id"], late.json()["status"]) == (first.json()["id"], "done")
    assert len(await rows(running)) == 1


async def test_two_at_the_same_moment_are_one_batch_too(running) -> None:
    answers = await asyncio.gather(*(post(running, CLIP, request_id="twin") for _ in range(4)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    await finished(running, answers[0].json()["id"])
    assert len(await rows(running)) == 1
    await until(lambda: not list((running.node.settings.data_dir / "batches").iterdir()))


async def test_another_batch_by_the_same_request_id_is_refused(running) -> None:
    await post(running, CLIP, request_id="once")
    other = await post(running, CLIP, CLIP, request_id="once")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "request_id_reused")


async def test_too_many_files_are_refused(start: Callable) -> None:
    async with start(batch_files=2) as running:
        await running.until_ready()
        answer = await post(running, CLIP, CLIP, CLIP)
        assert answer.status_code == 400
        assert "2" in answer.json()["error"]["message"]
        assert (await running.client.get("/v1/batches")).json() == {"batches": []}


@pytest.mark.parametrize(
    ("field", "value"),
    [("response_format", "srt"), ("stream", "true"), ("language", "fr"), ("no_such", "1")],
)
async def test_what_a_batch_cannot_honour_is_refused_by_name(
    running, field: str, value: str
) -> None:
    answer = await post(running, CLIP, **{field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


async def test_a_batch_without_files_is_refused(running) -> None:
    answer = await running.client.post("/v1/batches", files=[("language", (None, "zh"))])
    assert answer.json()["error"]["param"] == "files"
    answer = await running.client.post("/v1/batches", json={})
    assert answer.json()["error"]["param"] == "files"


async def test_a_node_that_is_not_ready_accepts_nothing(start: Callable, engine) -> None:
    engine.loading.clear()
    async with start() as running:
        answer = await post(running, CLIP)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")


async def test_a_disk_with_too_little_room_is_said_before_anything_is_kept(
    start: Callable,
) -> None:
    async with start(min_free_mb=10**9) as running:
        await running.until_ready()
        answer = await post(running, CLIP)
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")
        assert not (running.node.settings.data_dir / "batches").exists()


async def test_a_disk_that_fills_meanwhile_keeps_nothing_of_the_batch(running) -> None:
    with no_file_grows_past(500_000):
        answer = await post(running, CLIP, encoded(tone(20.0)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")
    assert not list((running.node.settings.data_dir / "batches").glob("*"))
    await finished(running, await accepted(running, CLIP))


async def test_a_batch_that_is_not_written_leaves_no_audio(
    running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise ValueError("a value that no column takes")

    with monkeypatch.context() as patch:
        patch.setattr(store, "accept", refused)
        assert (await post(running, CLIP)).status_code == 500
    assert not list((running.node.settings.data_dir / "batches").glob("*"))


async def test_what_is_accepted_while_leftovers_are_removed_keeps_its_audio(
    running, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = audio_folder(running, "batch_n1_left")
    leftover.mkdir(parents=True)
    running.engine.recognizer.gate.clear()
    meanwhile: list[str] = []
    read = running.server.history.read

    async def slow_read(work):
        found = await read(work)
        if getattr(work, "func", None) is store.unfinished:
            meanwhile.append(await accepted(running, CLIP))
        return found

    monkeypatch.setattr(running.server.history, "read", slow_read)
    await running.server.batches._remove_leftovers()
    assert not leftover.exists()
    assert audio_folder(running, meanwhile[0]).exists()
    running.engine.recognizer.gate.set()
    assert (await finished(running, meanwhile[0]))["counts"]["done"] == 1


async def test_a_cancelled_batch_does_nothing_more(running) -> None:
    first = await finished(running, await accepted(running, CLIP))
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    recognizer.running.clear()
    batch_id = await accepted(running, *[CLIP] * 5)
    await running.until(recognizer.running.is_set)
    answer = await running.client.delete(f"/v1/batches/{batch_id}")
    assert answer.json()["status"] == "cancelled"
    recognizer.gate.set()
    next_one = await finished(running, await accepted(running, CLIP))
    assert (await view(running, batch_id))["counts"]["cancelled"] == 5
    assert not audio_folder(running, batch_id).exists()
    heard = {row["id"] for row in await rows(running)}
    assert heard == {first["files"][0]["history_id"], next_one["files"][0]["history_id"]}
    again = await running.client.delete(f"/v1/batches/{batch_id}")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_cancelling_what_is_done_changes_nothing(running) -> None:
    done = await finished(running, await accepted(running, CLIP))
    assert (await running.client.delete(f"/v1/batches/{done['id']}")).json() == done


@pytest.mark.parametrize("batch_id", ["x", "batch_n1_" + "0" * 32, "batch_other_" + "0" * 32])
@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("GET", "/events"), ("DELETE", "")])
async def test_an_unknown_batch_is_not_found(
    running, batch_id: str, method: str, tail: str
) -> None:
    answer = await running.client.request(method, f"/v1/batches/{batch_id}{tail}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "batch_not_found")


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/batches/x", "/v1/batches/x/events"])
async def test_a_parameter_that_is_not_known_is_refused_by_name(running, path: str) -> None:
    answer = await running.client.get(path, params={"limit": "x"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "limit"
    assert answer.json()["error"]["code"] == "unknown_parameter"


async def test_the_newest_batches_are_listed_without_their_files(running) -> None:
    ids = [await accepted(running, CLIP) for _ in range(3)]
    listed = (await running.client.get("/v1/batches")).json()["batches"]
    assert [batch["id"] for batch in listed] == ids[::-1]
    assert "files" not in listed[0]


async def events(running, batch_id: str, last: str = "") -> AsyncIterator[dict]:
    headers = {"Last-Event-ID": last} if last else {}
    url = f"/v1/batches/{batch_id}/events"
    async with running.client.stream("GET", url, headers=headers) as stream:
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["content-type"].startswith("text/event-stream")
        event: dict = {}
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            if name:
                event[name] = value
            elif "event" in event:
                yield event | {"data": json.loads(event["data"])}
                event = {}
            else:
                event = {}


async def test_results_are_told_as_they_come_and_the_end_ends_it(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    batch_id = await accepted(running, CLIP, b"no audio", CLIP)
    told = []
    async for event in events(running, batch_id):
        told.append((event["event"], event["data"].get("index")))
        if event["event"] == "file" and event["data"]["index"] == 1:
            recognizer.gate.set()  # the bad file needed no model
    assert told[0] == ("batch", None)
    assert sorted(index for name, index in told if name == "file") == [0, 1, 2]
    assert told[-1] == ("done", None)


async def test_who_comes_back_hears_only_what_is_new(running) -> None:
    batch_id = await accepted(running, CLIP, CLIP, CLIP)
    await finished(running, batch_id)
    told = [event async for event in events(running, batch_id)]
    files = [event for event in told if event["event"] == "file"]
    again = [event async for event in events(running, batch_id, files[0]["id"])]
    assert [event["id"] for event in again if event["event"] == "file"] == [
        event["id"] for event in files[1:]
    ]
    assert told[-1]["id"] == "done"
    url = f"/v1/batches/{batch_id}/events"
    end = await running.client.get(url, headers={"Last-Event-ID": "done"})
    assert end.status_code == 204


async def test_a_node_that_leaves_keeps_the_rest_for_its_next_start(start: Callable) -> None:
    async with start(grace_seconds=2) as running:
        await running.until_ready()
        recognizer = running.engine.recognizer
        recognizer.gate.clear()
        recognizer.running.clear()
        batch_id = await accepted(running, *[CLIP] * 4)
        await running.until(recognizer.running.is_set)
        watching = asyncio.create_task(_drained(running, batch_id))
        running.server.handle_exit(15, None)
        await running.serving
        await watching
    async with start() as running:
        await running.until_ready()
        done = await finished(running, batch_id)
        assert [file["status"] for file in done["files"]] == ["done"] * 4
        assert len(await rows(running)) == 4


async def _drained(running, batch_id: str) -> None:
    assert "done" not in [event["event"] async for event in events(running, batch_id)]


async def test_audio_that_has_vanished_is_that_files_failure(start: Callable, engine) -> None:
    async with start() as running:
        await running.until_ready()
        engine.recognizer.gate.clear()
        batch_id = await accepted(running, *[CLIP] * 4)
        (audio_folder(running, batch_id) / "00003").unlink()
        engine.recognizer.gate.set()
        done = await finished(running, batch_id)
        assert [file["status"] for file in done["files"]] == ["done", "done", "done", "failed"]
        assert "cannot be read" in done["files"][3]["error"]


async def test_old_batches_are_forgotten(start: Callable) -> None:
    async with start(batch_days=0) as running:
        await running.until_ready()
        batch_id = await accepted(running, CLIP)
        await finished(running, batch_id)
        await running.server.batches.expire()
        assert (await running.client.get(f"/v1/batches/{batch_id}")).status_code == 404
        assert len(await rows(running)) == 1  # the history has its own term


async def test_live_requests_are_answered_while_a_batch_runs(running) -> None:
    batch_id = await accepted(running, *[CLIP] * 20)
    answer = await running.client.post("/v1/audio/transcriptions", files={"file": ("a.wav", CLIP)})
    assert answer.status_code == 200
    await finished(running, batch_id)
