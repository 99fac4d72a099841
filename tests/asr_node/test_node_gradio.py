"""POST /api/predict, as the FunASR WebUI asks."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from asr_node.recognizer import Capabilities
from tests.asr_node.node_fakes import FakeEngine, encoded, tone

CLIP = encoded(tone(1.0))
DATA_URL = f"data:audio/wav;base64,{base64.b64encode(CLIP).decode()}"
UPLOAD = {"name": "clip.wav", "data": DATA_URL}


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    (folder / "today").mkdir(parents=True)
    (folder / "clip.wav").write_bytes(CLIP)
    (folder / "today" / "clip.wav").write_bytes(CLIP)
    (tmp_path / "secret.wav").write_bytes(CLIP)
    return folder


@pytest.fixture
async def webui(start: Callable, engine: FakeEngine, uploads: Path) -> AsyncIterator:
    engine.recognizer.capabilities = Capabilities(
        frozenset({"auto", "zh"}), itn=True, hotwords=True
    )
    async with start(upload_dir=uploads) as running:
        await running.until_ready()
        yield running


async def predict(running, *data: object, **envelope: object) -> httpx.Response:
    return await running.client.post("/api/predict/", json={"data": data, **envelope})


@pytest.mark.parametrize("path", ["/api/predict", "/api/predict/"])
async def test_an_upload_within_the_json(webui, path: str) -> None:
    body = {"data": [UPLOAD, "阿里巴巴 通义", "zh", False], "fn_index": 0, "session_hash": "x"}
    answer = await webui.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == ["itn=False language=zh hotwords=阿里巴巴|通义"]
    assert answer.json()["duration"] >= 0
    assert answer.json()["asr"]["digest"] == webui.node.digest


async def test_a_request_that_comes_again_is_not_done_again(webui) -> None:
    async def again(*data: object) -> httpx.Response:
        return await webui.client.post(
            "/api/predict", json={"data": data}, headers={"X-Request-ID": "r-1"}
        )

    first, second, other = await again(UPLOAD), await again(UPLOAD), await again(UPLOAD, "", "zh")
    assert second.json()["data"] == first.json()["data"] != other.json()["data"]
    replayed = [answer.headers.get("X-ASR-Replayed") for answer in (first, second, other)]
    assert replayed == [None, "1", None]
    assert len(webui.engine.recognizer.heard) == 2


@pytest.mark.parametrize("rest", [(), (None,), ("", ""), ([], None, None), ("", "auto", True)])
async def test_what_is_left_out_is_the_nodes_choice(webui, rest: tuple[object, ...]) -> None:
    answer = await predict(webui, UPLOAD, *rest)
    assert answer.json()["data"] == ["itn=True language=auto"]


async def test_files_of_the_upload_folder(webui, uploads: Path) -> None:
    for named in (
        "clip.wav",
        "today/clip.wav",
        str(uploads / "clip.wav"),
        {"name": "clip.wav", "is_file": True, "data": None},
        {"path": "today/clip.wav", "meta": {"_type": "gradio.FileData"}},
    ):
        answer = await predict(webui, named)
        assert answer.json().get("data") == ["itn=True language=auto"], named


@pytest.mark.parametrize(
    "path",
    ["../secret.wav", "today/../../secret.wav", "/etc/passwd", "..", "/uploads/clip.wav", "a\0b"],
)
async def test_nothing_outside_the_upload_folder(webui, path: str) -> None:
    answer = await predict(webui, path)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "path_not_allowed"
    assert webui.engine.recognizer.heard == []


async def test_links_lead_nowhere(webui, uploads: Path) -> None:
    (uploads / "link.wav").symlink_to(uploads.parent / "secret.wav")
    (uploads / "folder").symlink_to(uploads.parent)
    os.mkfifo(uploads / "pipe")  # opening one waits for a writer
    for path in ("link.wav", "folder/secret.wav", "pipe", "today", "", "nothing.wav"):
        answer = await predict(webui, path)
        assert answer.status_code == 404, path
        assert answer.json()["error"]["code"] == "file_not_found"
    assert webui.engine.recognizer.heard == []


async def test_without_an_upload_folder_paths_are_refused_by_name(running) -> None:
    answer = await predict(running, "clip.wav")
    assert answer.status_code == 403
    assert "--upload-dir" in answer.json()["error"]["message"]
    assert (await predict(running, UPLOAD)).status_code == 200


async def test_a_large_file_of_the_folder_is_refused(start: Callable, uploads: Path) -> None:
    async with start(upload_dir=uploads, max_body_bytes=1000) as running:
        await running.until_ready()
        assert (await predict(running, "clip.wav")).status_code == 413


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ([], "data"),
        ([None], "data"),
        ([UPLOAD, "", "zh", True, "more"], "data"),
        ([{"name": "a.wav", "data": "data:audio/wav;base64,!!!"}], "data"),
        ([{"name": "a.wav", "data": "data:audio/wav,plain"}], "data"),
        ([{"name": "a.wav", "data": "data:audio/wav;base64,"}], "data"),
        ([{"name": "a.wav", "data": "data:;base64,bm90IGF1ZGlv"}], "file"),
        ([UPLOAD, 7], "hotwords"),
        ([UPLOAD, ["a", 7]], "hotwords"),
        ([UPLOAD, "", "fr"], "language"),
        ([UPLOAD, "", 7], "language"),
        ([UPLOAD, "", "zh", "yes"], "itn"),
    ],
)
async def test_what_cannot_be_understood_is_refused_by_name(
    webui, data: list[object], param: str
) -> None:
    answer = await predict(webui, *data)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert webui.engine.recognizer.heard == []


@pytest.mark.parametrize("envelope", [{"fn_index": 3}, {"no_such_key": 1}])
async def test_an_unknown_envelope_is_refused_by_name(webui, envelope: dict[str, object]) -> None:
    answer = await predict(webui, UPLOAD, **envelope)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in envelope


async def test_a_body_that_is_not_json_is_refused(webui) -> None:
    half = rb'{"data": ["\ud800.wav", "", "\ud800"]}'
    for body in (b"", b"{", b"[]", b'{"data": 3}', b"\xff\xfe", b"[" * 200_000, half):
        answer = await webui.client.post("/api/predict", content=body)
        assert answer.status_code == 400
