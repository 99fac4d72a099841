"""What a node keeps of its recognitions, and how it hands them on: over HTTP."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from asr_node.history.database import FILE
from tests.asr_node.history_bench import entry, no_file_grows_past
from tests.asr_node.node_fakes import encoded, tone

CLIP = encoded(tone(1.0))
PATH = "/v1/audio/transcriptions"


async def post(running, data: bytes = CLIP, name: str = "clip.wav", **headers: str):
    return await running.client.post(PATH, files={"file": (name, data)}, headers=headers)


async def rows(running, **query: object) -> list[dict]:
    answer = await running.client.get("/v1/history", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["entries"]


async def test_a_recognition_is_a_row_before_its_answer_leaves(running) -> None:
    answer = await running.client.post(
        PATH,
        files={"file": ("录音 1.wav", CLIP)},
        data={"language": "zh", "itn": "false"},
        headers={"X-Request-ID": "r-1"},
    )
    (row,) = await rows(running)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", row.pop("created_time"))
    assert row.pop("processing_seconds") > 0
    assert row.pop("cursor") > 0
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]+", row.pop("id"))
    assert row == {
        "request_id": "r-1",
        "node": "n1",
        "filename": "录音 1.wav",
        "version": "v1",
        "digest": running.node.digest,
        "device": "cpu",
        "priority": "live",
        "parameters": {"language": "zh", "itn": "false"},
        "hotwords": [],
        "language": "zh",
        "duration_seconds": 1.0,
        "first_partial_seconds": None,
        "raw_text": "<|zh|>" + answer.json()["text"],
        "itn_text": answer.json()["text"],
        "status": "done",
        "error": None,
    }


async def test_an_answer_waits_for_its_row(running) -> None:
    hangs, go = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        hangs.set()
        go.wait(30)

    hanging = asyncio.create_task(running.server.history.write(hang))
    await running.until(hangs.is_set)
    answer = asyncio.create_task(post(running))
    await running.until(lambda: running.server.history.waiting == 2)
    assert not answer.done()
    assert (await running.client.get("/healthz")).status_code == 200
    go.set()
    assert (await answer).status_code == 200
    await hanging


async def test_recognition_goes_on_while_the_disk_is_full(running) -> None:
    await post(running)
    journal = running.node.settings.data_dir / f"{FILE}-wal"
    with no_file_grows_past(journal.stat().st_size):
        assert (await post(running)).status_code == 200
        ready = await running.client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert "history" in ready.json()["degraded"]
        batch = await running.client.post("/v1/batches", files={"files": ("a.wav", CLIP)})
        assert (batch.status_code, batch.json()["error"]["code"]) == (503, "history_degraded")
    await running.until(lambda: running.server.history.degraded is None)
    assert len(await rows(running)) == 2
    assert (await running.client.get("/readyz")).json()["degraded"] is None


async def test_a_node_with_a_damaged_history_serves_and_says_so(start: Callable) -> None:
    async with start() as running:
        file = running.node.settings.data_dir / FILE
        await running.until_ready()
        await post(running)
    file.write_bytes(b"garbage" * 1_000)
    async with start() as running:
        await running.until_ready()
        assert (await post(running)).status_code == 200
        async with asyncio.timeout(60):  # a busy machine answers before the history is open
            while (why := (await running.client.get("/readyz")).json()["degraded"]) is None:
                await asyncio.sleep(0.05)
        assert "set aside" in why
        assert len(await rows(running)) == 1


async def test_refused_audio_is_a_row_too(running) -> None:
    assert (await post(running, b"not audio" * 100)).status_code == 400
    (row,) = await rows(running)
    assert (row["status"], row["itn_text"], row["duration_seconds"]) == ("failed", "", None)
    assert "not audio that can be read" in row["error"]


async def test_a_model_that_fails_is_a_row_that_says_so(running) -> None:
    running.engine.recognizer.fault = RuntimeError("secret")
    assert (await post(running)).status_code == 500
    (row,) = await rows(running)
    assert (row["status"], row["duration_seconds"]) == ("failed", 1.0)
    assert "secret" not in row["error"]


async def test_rows_are_handed_on_in_order_page_by_page(running) -> None:
    for number in range(5):
        await post(running, **{"X-Request-ID": f"r{number}"})
    seen, after = [], 0
    while True:
        page = (await running.client.get(f"/v1/history?after={after}&limit=2")).json()
        if not page["entries"]:
            break
        seen += [row["request_id"] for row in page["entries"]]
        assert page["next"] == page["entries"][-1]["cursor"] > after
        after = page["next"]
    assert seen == [f"r{number}" for number in range(5)]
    assert page["next"] == after  # nothing new: ask for the same again


async def test_one_row_is_found_by_its_id(running) -> None:
    await post(running)
    (row,) = await rows(running)
    assert (await running.client.get(f"/v1/history/{row['id']}")).json() == row
    missing = await running.client.get("/v1/history/no-such-id")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "limit=0", "limit=1001", "page=2", f"after={10**19}"]
)
async def test_a_query_that_cannot_be_meant_is_refused_by_name(running, query: str) -> None:
    answer = await running.client.get(f"/v1/history?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == query.split("=")[0]


async def test_the_history_outlives_the_node(start: Callable) -> None:
    async with start() as running:
        await running.until_ready()
        await post(running)
        before = await rows(running)
    async with start() as running:
        await running.until_ready()
        await post(running)
        assert (await rows(running))[:1] == before
        assert len(await rows(running)) == 2


async def test_many_answers_share_a_commit_and_none_is_missing(start: Callable) -> None:
    async with start(max_waiting=200) as running:
        await running.until_ready()
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=running.url, timeout=60, limits=limits) as client:
            files = {"file": ("clip.wav", CLIP)}
            answers = await asyncio.gather(*(client.post(PATH, files=files) for _ in range(100)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(await rows(running, limit=1000)) == 100


async def test_the_whole_history_is_exported_as_csv_and_as_json(running) -> None:
    await post(running, name='=HYPERLINK("http://evil","x").wav')
    await post(running, name="-1,\n张三.wav")
    kept = await rows(running)
    exported = await running.client.get("/v1/history/export?format=json")
    assert exported.json() == kept
    assert len(exported.text.splitlines()) == len(kept) + 2  # a line each, between brackets
    answer = await running.client.get("/v1/history/export?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="history-n1.csv"' in answer.headers["content-disposition"]
    table = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["filename"] for row in table] == ["'" + row["filename"] for row in kept]
    assert [json.loads(row["parameters"]) for row in table] == [{}, {}]


async def test_excel_gets_its_byte_order_mark_on_request(running) -> None:
    plain = await running.client.get("/v1/history/export?format=csv")
    marked = await running.client.get("/v1/history/export?format=csv&bom=true")
    assert marked.content == b"\xef\xbb\xbf" + plain.content
    refused = await running.client.get("/v1/history/export?format=json&bom=true")
    assert refused.json()["error"]["param"] == "bom"


async def test_an_export_is_made_a_page_at_a_time(running) -> None:
    """More rows than a page, and the export says them all once."""
    from asr_node.history.export import PAGE

    await asyncio.gather(*(running.server.history.record(entry()) for _ in range(PAGE + 7)))
    exported = (await running.client.get("/v1/history/export?format=json")).json()
    cursors = [row["cursor"] for row in exported]
    assert cursors == sorted(set(cursors))
    assert len(cursors) == PAGE + 7


async def test_recordings_are_not_kept_unless_asked_for(running) -> None:
    await post(running)
    assert not (running.node.settings.data_dir / "audio").exists()


async def test_kept_recordings_are_named_by_time_and_row(start: Callable) -> None:
    async with start(keep_audio=True) as running:
        await running.until_ready()
        await post(running, name="a/../b.WAV")
        await post(running, b"not audio", name="c")
        first, second = await rows(running)
        kept = sorted((running.node.settings.data_dir / "audio").iterdir())
        assert [path.name.split("Z_")[1] for path in kept] == [
            f"{first['id']}.wav",
            f"{second['id']}.bin",
        ]
        assert [path.read_bytes() for path in kept] == [CLIP, b"not audio"]


async def test_the_oldest_kept_recordings_make_room(start: Callable) -> None:
    large = encoded(tone(20.0))  # 640 kB
    async with start(keep_audio=True, keep_audio_quota_mb=1) as running:
        await running.until_ready()
        for _ in range(3):
            await post(running, large)
        kept = list((running.node.settings.data_dir / "audio").iterdir())
        assert [path.name.split("Z_")[1] for path in kept] == [
            f"{(await rows(running))[-1]['id']}.wav"
        ]


def test_the_password_of_a_database_is_in_no_help_and_no_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from asr_node.cli import HISTORY_URL, main, read_arguments

    monkeypatch.setenv(HISTORY_URL, "postgresql+psycopg://u:hunter2@h/d")
    usual = ["--model", str(tmp_path), "--version", "v1"]
    assert "hunter2" not in repr(read_arguments(usual))
    assert "hunter2" in (read_arguments(usual).history_url or "")
    with pytest.raises(SystemExit):
        main(["--help"])
    monkeypatch.setenv(HISTORY_URL, "mysql://u:hunter2@h/d")
    (tmp_path / "config.yaml").write_text(
        "model: SenseVoiceSmall\nfrontend: WavFrontend\nfrontend_conf: {fs: 16000}\n"
    )
    (tmp_path / "model.pt").write_text("weights")
    assert main([*usual, "--data-dir", str(tmp_path / "data")]) == 1
    said = capsys.readouterr()
    assert "--history-url" in said.err
    assert "hunter2" not in said.out + said.err
