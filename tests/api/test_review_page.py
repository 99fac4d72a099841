"""The page on which raters vote, as their browsers see it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from controller.api.raters import RaterKeys
from tests.api.review_site import ENTRY, FORM, ORIGIN, Site


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


async def test_without_a_review_the_page_says_so(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other")
    assert "nothing to compare" in (await (await other.invited()).get("/review")).text
    answer = await other.program().post("/api/review", json={})
    assert (answer.status_code, answer.json()["pairs"]) == (201, 20)
    other.store.close()
