"""The review as programs and the command line see it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.eval_sets import read_eval_set
from controller.core.preflight import LoadCheck
from tests.api.review_site import Site
from tests.core.rollouts import a_rollout


async def test_texts_that_may_be_of_users_need_the_token_on_loopback_too(site: Site) -> None:
    question = (await site.program().get("/api/review/next", params={"rater": "bot"})).json()
    for path in ("/api/review/next?rater=bot", "/api/review/results", question["audio"]):
        answer = await (await site.invited()).get(path)
        assert (answer.status_code, "texts of users" in answer.text) == (401, True)


async def test_programs_ask_vote_and_read_results(site: Site) -> None:
    client = site.program()
    question = (await client.get("/api/review/next", params={"rater": "bot"})).json()
    assert {question["left"], question["right"]} == {"拨打10086 <b>", "拨打一零零八六"}
    assert (await client.get(question["audio"])).content.startswith(b"RIFF u")
    body = {"pair": question["pair"], "rater": "bot", "vote": "right", "corrected": "好"}
    assert (await client.post("/api/review/votes", json=body)).status_code == 201
    results = (await client.get("/api/review/results")).json()
    assert (results["rollout"], results["sampled"], results["raters_all"]) == ("r1", 20, ["bot"])
    voted = next(pair for pair in results["pairs_all"] if pair["pair"] == question["pair"])
    assert (sum(voted["votes"].values()), voted["corrected"]) == (1, ["好"])


async def test_what_is_forgotten_is_in_no_answer_any_more(site: Site) -> None:
    client = site.program()
    question = (await client.get("/api/review/next", params={"rater": "bot"})).json()
    body = {"pairs": [question["pair"]]}
    answer = await client.post("/api/review/forget", json=body)
    assert answer.json()["forgotten"] == 1
    assert (await client.get(question["audio"])).status_code == 404
    assert (await client.post("/api/review/forget", json=body)).status_code == 404
    answer = await client.post("/api/review/forget", json={})
    assert answer.json()["forgotten"] == 19
    assert "10086" not in (await client.get("/api/review/results")).text


async def test_corrected_texts_become_an_eval_set_with_one_command(site: Site) -> None:
    recording = Path(__file__).parents[2] / "eval_sets/digits/audio/digits-0000.ogg"
    for path in (site.sets / "digits").iterdir():
        path.write_bytes(recording.read_bytes())
    client = site.program()
    url = "/api/eval-sets/reviewed/corrected"
    answer = await client.post(url, json={})
    assert (answer.status_code, answer.json()["title"]) == (409, "Refused")
    question = (await client.get("/api/review/next", params={"rater": "bot"})).json()
    body = {"pair": question["pair"], "rater": "bot", "vote": "neither", "corrected": "请拨打10086"}
    await client.post("/api/review/votes", json=body)
    answer = await client.post(url, json={"actor": "ann"})
    assert answer.json()["added"] == [f"reviewed-{question['pair']}"]
    (added,) = read_eval_set(site.sets, "reviewed").utterances
    assert added.target == "请拨打10086"
    event = (await asyncio.to_thread(site.store.last_events, 1))[0]
    assert (event.kind, event.subject, event.actor) == ("eval_set.extended", "reviewed", "ann")


async def test_an_eval_set_does_not_change_under_a_rollout_that_is_measured_on_it(
    site: Site,
) -> None:
    plan = replace(a_rollout().plan, load_check=LoadCheck("service"))
    site.app.state.service.loop.rollout = a_rollout(plan=plan)
    (site.sets.parent / "link").symlink_to(site.sets)
    other_name = {"into": str(site.sets.parent / "link")}
    for name, body in (("digits", {}), ("digits", other_name), ("service", {})):
        answer = await site.program().post(f"/api/eval-sets/{name}/corrected", json=body)
        assert answer.status_code == 409
        assert "must not change under it" in answer.json()["detail"]


@pytest.mark.parametrize(("name", "into"), [("a%00b", "/sets"), ("..", "/sets"), ("a", "/\0")])
async def test_a_folder_that_cannot_be_is_refused(site: Site, name: str, into: str) -> None:
    url = f"/api/eval-sets/{name}/corrected"
    answer = await site.program().post(url, json={"into": into})
    assert 400 <= answer.status_code < 500


async def test_a_review_of_copies_needs_consent(site: Site) -> None:
    answer = await site.program().post("/api/review", json={"copies": True})
    assert answer.status_code == 409
    assert "keep_audio: true" in answer.json()["detail"]
