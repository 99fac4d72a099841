"""The page /canary: what people are told of a trial, and how their choice is kept."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest
from router_bench import Bench

from controller.adapters.nginx.access_log import AccessLogReader
from controller.core.routing import AddressRule, CookieRule, HeaderRule, Routing, Rule, Trial

COOKIE = "ABTEST_v2"
OPTED = (CookieRule(COOKIE, "1", "canary"), CookieRule(COOKIE, "0", "stable"))
STABLE, CANARY = "v1-1", "v2-1"


def trial(percent: float = 5, *rules: Rule, consent: bool = False) -> Routing:
    return Routing("v1", "v2", percent, "r1", OPTED + rules, trial=Trial(COOKIE, consent))


@pytest.fixture
async def page(bench: Bench) -> Bench:
    await bench.router.start(bench.membership(v1=1, v2=1), trial())
    return bench


async def choose(page: Bench, choice: str, **headers: str) -> httpx.Response:
    return await page.client.post("/canary", data={"trial": choice}, headers=headers)


def kept(answer: httpx.Response) -> str | None:
    """The choice that an answer sets, as it is in the header."""
    found = [c for c in answer.headers.get_list("Set-Cookie") if c.startswith(COOKIE)]
    return found[0] if found else None


async def test_who_joins_gets_the_new_version_who_leaves_never_does(page: Bench) -> None:
    joined = await choose(page, "join")
    assert (joined.status_code, joined.headers["Location"]) == (303, "canary")
    assert kept(joined) == f"{COOKIE}=1; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
    assert await page.node_of() == CANARY
    assert "because you chose so" in (await page.client.get("/canary")).text
    left = await choose(page, "leave")
    assert (kept(left) or "").startswith(f"{COOKIE}=0;")
    await page.router.switch(trial(100))
    assert await page.node_of() == STABLE
    assert "Max-Age=0;" in (kept(await choose(page, "forget")) or "")
    assert await page.node_of() == CANARY


async def test_a_trial_begins_and_ends_without_a_reload(page: Bench) -> None:
    await page.router.switch(Routing("v1"))
    assert "No trial is running" in (await page.client.get("/canary")).text
    refused = await choose(page, "join")
    assert (refused.status_code, kept(refused)) == (409, None)
    assert "no trial to join" in refused.text
    await page.router.switch(trial(20))
    assert "About 20 % of the users" in (await page.client.get("/canary")).text
    assert page.router.state().generation == 1


async def test_where_consent_is_required_only_who_joins_gets_the_new_version(page: Bench) -> None:
    await page.router.switch(trial(0, consent=True))
    text = (await page.client.get("/canary")).text
    assert "This browser does not take part" in text
    assert "Only those who choose to take part get it" in text
    assert set((await page.nodes_of_keys(range(50))).values()) == {STABLE}
    await choose(page, "join")
    assert await page.node_of() == CANARY


async def test_the_page_says_what_the_trial_is_to_this_client(page: Bench) -> None:
    async def standing(routing: Routing, **headers: str) -> str:
        await page.router.switch(routing)
        text = (await page.client.get("/canary", headers=headers)).text
        found = re.search("<strong>(.*)</strong>", text)
        assert found is not None
        return found[1]

    key = {"X-API-Key": "key"}
    assert "drawn at random" in await standing(trial(100), **key)
    assert "may be drawn" in await standing(trial(0.1), **key)
    named, spared = HeaderRule("X-API-Key", "key"), HeaderRule("X-API-Key", "key", "stable")
    assert "operators of this service named it" in await standing(trial(5, named), **key)
    assert "operators of this service left it out" in await standing(trial(5, spared), **key)
    assert "because you chose so" in await standing(trial(5, spared), Cookie=f"{COOKIE}=1")


async def test_the_page_tells_of_those_who_are_named_by_a_rule(page: Bench) -> None:
    assert "by rules" not in (await page.client.get("/canary")).text
    await page.router.switch(trial(0, AddressRule("10.0.0.0/8"), consent=True))
    assert "by rules" in (await page.client.get("/canary")).text


@pytest.mark.parametrize(
    ("accepted", "query", "language"),
    [
        ("", "", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh-CN"),
        ("en-GB,en;q=0.9,zh;q=0.8", "", "en"),
        ("fr, zh-Hant;q=0.3, en;q=0.2", "", "zh-CN"),
        ("zh;q=0, *", "", "en"),
        ("en", "?lang=zh", "zh-CN"),
        ("zh", "?lang=en", "en"),
        ("zh", "?lang=fr", "zh-CN"),
        ("en", "?lang=zh&lang=en", "en"),
    ],
)
async def test_the_page_is_in_the_language_of_its_reader(
    page: Bench, accepted: str, query: str, language: str
) -> None:
    answer = await page.client.get("/canary" + query, headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in answer.text
    back = await page.client.post("/canary" + query, data={"trial": "join"})
    asked = {"?lang=zh": "canary?lang=zh", "?lang=en": "canary?lang=en"}.get(query, "canary")
    assert back.headers["Location"] == asked


async def test_the_form_of_another_site_changes_nothing(page: Bench) -> None:
    own = page.settings.url
    for headers, allowed in (
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"}, True),
        ({"Origin": own}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": own}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": own + "0"}, False),
        ({"Origin": "null"}, False),
    ):
        answer = await choose(page, "join", **headers)
        assert (answer.status_code, kept(answer) is not None) == (
            (303, True) if allowed else (403, False)
        ), headers


async def test_what_was_agreed_to_is_the_trial_of_one_version(page: Bench) -> None:
    for version, status in (("v2", 303), ("v3", 409)):
        form = {"trial": "join", "version": version}
        answer = await page.client.post("/canary", data=form)
        assert (answer.status_code, kept(answer) is None) == (status, status == 409)


@pytest.mark.parametrize("choice", ["", "1", "constructor", "join&trial=leave", "%zz"])
async def test_a_choice_that_is_none_changes_nothing(page: Bench, choice: str) -> None:
    answer = await page.client.post("/canary", content=f"trial={choice}")
    assert (answer.status_code, kept(answer)) == (400, None)


async def test_only_a_post_changes_anything(page: Bench) -> None:
    for method, status in (("GET", 200), ("HEAD", 200), ("PUT", 405), ("DELETE", 405)):
        answer = await page.client.request(method, "/canary?trial=join")
        assert (answer.status_code, kept(answer)) == (status, None)
    assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_head_has_the_headers_of_get_and_no_page(page: Bench) -> None:
    get, head = await page.client.get("/canary"), await page.client.head("/canary")
    assert head.text == ""
    for name in ("Content-Type", "Content-Length", "Cache-Control", "Content-Security-Policy"):
        assert head.headers[name] == get.headers[name]
    assert get.headers["Cache-Control"] == "no-store"


async def test_the_page_forbids_all_but_its_own_style(page: Bench) -> None:
    answer = await page.client.get("/canary")
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert f"style-src 'sha256-{digest}'" in policy
    assert not re.search(r"<script|style=|\son\w+=|https?:|url\(", answer.text)


async def test_nothing_that_a_client_sends_is_shown(page: Bench) -> None:
    mark = "<b>injected</b>"
    answers = [
        await page.client.request(
            method,
            "/canary",
            params={"lang": mark, mark: mark},
            content=f"trial={mark}&version={mark}&{mark}={mark}",
            headers={"Cookie": f"{COOKIE}={mark}", "Accept-Language": mark, "User-Agent": mark},
        )
        for method in ("GET", "POST", "PUT")
    ]
    assert [answer.status_code for answer in answers] == [200, 409, 405]
    assert not any("injected" in answer.text for answer in answers)


async def test_the_page_is_the_routers_and_what_only_begins_like_it_is_nobodys(page: Bench) -> None:
    for path in ("/canary/", "/canary/x", "/canary/../canary/x"):
        assert (await page.client.get(path)).status_code == 404
    assert (await page.client.post("/canary", content=b"x" * 5000)).status_code == 413
    answer = await page.client.get("/canary")
    assert answer.headers["X-ASR-Node"] == "router"
    assert page.node(STABLE).requests == page.node(CANARY).requests == []
    await page.client.get("/v1/models", headers={"X-Request-ID": "after"})
    await page.logged("after")
    assert len(AccessLogReader(page.router.access_log).read()) == 1  # the page is nobody's share


async def test_behind_a_proxy_that_speaks_tls_the_choice_is_for_tls_only(page: Bench) -> None:
    assert "; Secure" not in (kept(await choose(page, "join")) or "")
    said = await choose(page, "join", **{"X-Forwarded-Proto": "https"})
    assert (kept(said) or "").endswith("; SameSite=Lax; Secure")


async def test_every_text_can_be_read_by_eyes_that_see_little_contrast(page: Bench) -> None:
    style = (await page.client.get("/canary")).text
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+)", part)) for part in halves(style))
    for colours in (light, dark):
        for text, ground, least in (
            ("ink", "bg", 4.5),
            ("ink", "sunk", 4.5),
            ("ink-2", "bg", 4.5),
            ("canary", "bg", 4.5),
            ("edge", "bg", 3.0),  # WCAG 2.2, 1.4.11: borders of controls
            ("focus", "bg", 3.0),
        ):
            assert contrast(colours[text], colours[ground]) >= least, (text, ground)


def halves(style: str) -> tuple[str, str]:
    light, _, rest = style.partition("@media (prefers-color-scheme: dark)")
    return light, rest.partition("} }")[0]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c + c for c in colour[1:])
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
