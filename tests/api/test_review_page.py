"""The review over HTTP: a real store and real audio files, the loop's own review, no nodes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from controller.adapters.eval_sets import read_eval_set
from controller.adapters.review_audio import ReviewAudio
from controller.adapters.state_folder import StateFolder
from controller.adapters.store import SqlStore
from controller.api.access import access_check
from controller.api.problems import add_problem_handlers
from controller.api.raters import RaterKeys
from controller.api.review_page import add_review
from controller.core.eval_set import EvalSet, Utterance
from controller.core.preflight import LoadCheck
from controller.engine.copies_review import CopiesReview
from controller.engine.gates import Evaluator
from controller.engine.records import Evaluation, Event
from controller.engine.review import Review
from tests.core.rollouts import NOON, a_rollout

ENTRY = Event("evaluation.finished", "v1", "heard", "controller", NOON)
HOST = "http://127.0.0.1:8090"
ORIGIN = {"Origin": HOST}
FORM = "application/x-www-form-urlencoded"
TOKEN = {"Authorization": "Bearer token"}


class Site:
    """What the tests reach: the store, the server, and browsers."""

    def __init__(self, folder: Path) -> None:
        self.folder = StateFolder(folder)
        self.store = SqlStore.in_folder(folder)
        self.sets = folder / "eval_sets"
        (self.sets / "digits").mkdir(parents=True)
        keys = [f"u{n}" for n in range(20)]
        for key in keys:
            (self.sets / "digits" / f"{key}.wav").write_bytes(f"RIFF {key} {'.' * 100}".encode())
        eval_set = EvalSet(
            "digits",
            tuple(Utterance(k, str(self.sets / "digits" / f"{k}.wav"), "一零零八六") for k in keys),
            "e" * 64,
        )
        for version, text in (("v1", "拨打一零零八六"), ("v2", "拨打10086 <b>")):
            heard = dict.fromkeys(keys, text)
            evaluation = Evaluation(version, version * 32, "digits", "e" * 64, NOON, heard)
            self.store.save_evaluation(evaluation, ENTRY)
        self.store.save([], None, a_rollout())
        digests = {"v1": "v1" * 32, "v2": "v2" * 32}
        evaluator = Evaluator(self.store, None, lambda _: (), digests, lambda _: eval_set)  # type: ignore[arg-type]
        self.review = Review(self.store.reviews, evaluator, lambda: NOON, lambda: None)
        (folder / "api.token").write_text("token")
        self.app = FastAPI()
        self.app.state.service = SimpleNamespace(
            store=self.store,
            folder=self.folder,
            loop=SimpleNamespace(review=self.review, rollout=a_rollout()),
            fleet=SimpleNamespace(eval_sets_dir=self.sets),
            recordings=ReviewAudio(folder),
            copies=CopiesReview(self.review, self.store, ReviewAudio(folder), None, lambda: NOON),
        )
        self.app.middleware("http")(access_check("token", "127.0.0.1"))
        add_problem_handlers(self.app)
        add_review(self.app)

    def browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app), base_url=HOST, follow_redirects=True
        )

    def program(self) -> httpx.AsyncClient:
        client = self.browser()
        client.headers.update(TOKEN)
        return client

    async def invited(self, rater: str = "ann") -> httpx.AsyncClient:
        """A browser that followed this rater's link."""
        browser = self.browser()
        answer = await browser.post("/api/review/raters", json={"rater": rater}, headers=TOKEN)
        page = await browser.get(answer.json()["path"])
        assert page.status_code == 200
        return browser


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    await made.review.open(a_rollout(), "ann")
    yield made
    made.store.close()


def pair_on(page: httpx.Response) -> str:
    found = re.search(r'name="pair" value="([0-9a-f]+)"', page.text)
    assert found is not None
    return found[1]


def texts_on(page: httpx.Response) -> list[str]:
    return re.findall(r'<span lang="und">([^\n]*)</span>', page.text)


async def test_nobody_votes_without_a_link(site: Site) -> None:
    browser = site.browser()
    for answer in (
        await browser.get("/review"),
        await browser.get("/review/enter?key=YW5u.00"),
        await browser.post("/review/votes", data={"pair": "0", "vote": "left"}, headers=ORIGIN),
        await browser.get("/review/audio/0"),
    ):
        assert answer.status_code == 403
        assert "rollout review invite" in answer.text


async def test_a_link_is_of_one_rater_and_of_one_state_folder() -> None:
    keys = RaterKeys("token")
    assert keys.rater(keys.key("王梅")) == "王梅"
    name, _, signature = keys.key("ann").partition(".")
    assert keys.rater(f"{keys.key('bob').partition('.')[0]}.{signature}") is None
    assert RaterKeys("another").rater(f"{name}.{signature}") is None
    assert [keys.rater(odd) for odd in ("", ".", "é.é", "====.0", "a" * 5000)] == [None] * 5


async def test_a_link_lets_nobody_command(site: Site) -> None:
    browser = await site.invited()
    for path in ("/api/review", "/api/review/votes", "/api/review/forget", "/api/review/raters"):
        assert (await browser.post(path, json={}, headers=ORIGIN)).status_code == 401


async def test_the_page_and_all_that_it_loads_names_no_version(site: Site) -> None:
    page = await (await site.invited()).get("/review")
    words = page.text + str(page.headers)
    assert not re.search(r"v1|v2|stable|canary|digits|u\d+\b", words)
    assert sorted(texts_on(page)) == ["拨打10086 &lt;b&gt;", "拨打一零零八六"]


async def test_votes_are_taken_one_after_the_other_until_all_are_given(site: Site) -> None:
    browser = await site.invited()
    page, seen = await browser.get("/review"), set()
    for _ in range(20):
        seen.add(pair := pair_on(page))
        page = await browser.post(
            "/review/votes", data={"pair": pair, "vote": "same"}, headers=ORIGIN
        )
    assert len(seen) == 20
    assert "You have voted on all pairs" in page.text
    votes = await asyncio.to_thread(site.store.reviews.votes, "r1")
    assert {(vote.rater, vote.prefers) for vote in votes} == {("ann", "same")}


async def test_the_side_that_was_chosen_is_the_version_that_stood_there(site: Site) -> None:
    for rater in ("ann", "bob", "eve", "joe"):
        browser = await site.invited(rater)
        page = await browser.get("/review")
        left_is_new = "10086" in texts_on(page)[0]
        await browser.post(
            "/review/votes", data={"pair": pair_on(page), "vote": "left"}, headers=ORIGIN
        )
        votes = await asyncio.to_thread(site.store.reviews.votes, "r1")
        assert votes[-1].prefers == ("canary" if left_is_new else "stable")


async def test_the_last_vote_can_be_changed_and_sides_stay_where_they_were(site: Site) -> None:
    browser = await site.invited()
    first = await browser.get("/review")
    form = {"pair": pair_on(first), "vote": "left"}
    after = await browser.post("/review/votes", data=form, headers=ORIGIN)
    link = re.search(r'href="(/review/pairs/[0-9a-f]+)"', after.text)
    assert link is not None
    again = await browser.get(link[1])
    assert texts_on(again) == texts_on(first)
    form |= {"vote": "neither", "corrected": " 请拨打 一零零八六 "}
    await browser.post("/review/votes", data=form, headers=ORIGIN)
    (vote,) = await asyncio.to_thread(site.store.reviews.votes, "r1")
    assert (vote.prefers, vote.corrected) == ("neither", "请拨打 一零零八六")


@pytest.mark.parametrize("origin", [{}, {"Origin": "http://127.0.0.1:9999"}, {"Origin": "null"}])
async def test_a_form_of_another_site_does_not_vote(site: Site, origin: dict[str, str]) -> None:
    browser = await site.invited()
    form = {"pair": pair_on(await browser.get("/review")), "vote": "left"}
    assert (await browser.post("/review/votes", data=form, headers=origin)).status_code == 403
    assert await asyncio.to_thread(site.store.reviews.votes, "r1") == []


@pytest.mark.parametrize(
    "form",
    [
        {"vote": "left"},
        {"pair": "0"},
        {"pair": "0", "vote": "up"},
        {"pair": "../x", "vote": "left"},
        {"pair": "0", "vote": "left", "corrected": "x" * 2001},
    ],
)
async def test_a_form_that_makes_no_sense_is_refused(site: Site, form: dict[str, str]) -> None:
    browser = await site.invited()
    assert (await browser.post("/review/votes", data=form, headers=ORIGIN)).status_code == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": FORM}, 411),
        ({"Content-Type": FORM, "Content-Length": "65537"}, 413),
        ({"Content-Type": "multipart/form-data; boundary=X", "Content-Length": "9"}, 415),
        ({"Content-Length": "9"}, 415),
    ],
)
async def test_of_who_is_not_known_only_a_short_form_is_read(
    site: Site, headers: dict[str, str], status: int
) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"pair=1"

    answer = await site.browser().post("/review/votes", content=body(), headers=headers)
    assert (answer.status_code, read) == (status, [])


async def test_the_recording_is_served_whole_and_in_parts(site: Site) -> None:
    browser = await site.invited()
    url = f"/review/audio/{pair_on(await browser.get('/review'))}"
    whole = await browser.get(url)
    assert whole.content.startswith(b"RIFF u")
    assert whole.headers["content-type"] in {"audio/x-wav", "audio/wav", "audio/vnd.wave"}
    assert "content-disposition" not in whole.headers
    part = await browser.get(url, headers={"Range": "bytes=5-8"})
    assert (part.status_code, part.content) == (206, whole.content[5:9])
    assert (await browser.get("/review/audio/nothing")).status_code == 404


async def test_no_file_outside_the_eval_sets_is_given_out(site: Site, tmp_path: Path) -> None:
    queue = await asyncio.to_thread(site.store.reviews.queue, "r1")
    assert queue is not None
    pair = queue.pairs[0]
    assert pair.difference is not None
    secret = replace(pair.difference.utterance, source=str(tmp_path / "api.token"))
    odd = replace(pair, id="f00", difference=replace(pair.difference, utterance=secret))
    await asyncio.to_thread(
        site.store.reviews.save_queue, replace(queue, rollout_id="r2", pairs=(odd,)), ENTRY
    )
    browser = await site.invited()
    assert (await browser.get("/review/audio/f00")).status_code == 404


async def test_the_page_speaks_the_browser_s_language(site: Site) -> None:
    browser = await site.invited()
    page = await browser.get("/review", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert '<html lang="zh-CN">' in page.text
    assert "哪段文字与您听到的一致" in page.text
    assert "按键：1 左边" in page.text


async def test_the_page_s_script_and_style_are_its_own(site: Site) -> None:
    browser = site.browser()
    for path in ("/review/page.js", "/review/page.css"):
        assert (await browser.get(path)).status_code == 200
    page = await browser.get("/review")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text


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


async def test_without_a_review_the_page_says_so(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other")
    assert "nothing to compare" in (await (await other.invited()).get("/review")).text
    answer = await other.program().post("/api/review", json={})
    assert (answer.status_code, answer.json()["pairs"]) == (201, 20)
    other.store.close()


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
