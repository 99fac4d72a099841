"""Which node a request reaches: through a real nginx, by real sockets."""

from __future__ import annotations

import datetime
import itertools
import time

import httpx
import jwt
import pytest
from conftest import KEY
from router_bench import Bench

from controller.core.routing import (
    AddressRule,
    CookieRule,
    HeaderRule,
    RoleRule,
    Routing,
    Rule,
    Sticky,
    TimeRule,
)

STABLE, CANARY = "v1-1", "v2-1"


@pytest.fixture
async def two_versions(bench: Bench) -> Bench:
    await bench.router.start(bench.membership(v1=1, v2=1), at(0))
    return bench


def at(percent: float, *rules: Rule, sticky: Sticky = Sticky.KEY) -> Routing:
    return Routing("v1", "v2", percent, "rollout-1", rules, sticky)


async def test_a_percentage_of_the_keys_reaches_the_canary(two_versions: Bench) -> None:
    await two_versions.router.switch(at(20))
    nodes = await two_versions.nodes_of_keys(range(3000))
    share = 100 * sum(node == CANARY for node in nodes.values()) / len(nodes)
    assert share == pytest.approx(20, abs=1.5)


async def test_a_growing_share_moves_nobody_back_and_a_key_stays(two_versions: Bench) -> None:
    keys = range(400)
    seen: list[dict[int, str]] = []
    for percent in (5, 5, 20, 100):
        await two_versions.router.switch(at(percent))
        seen.append(await two_versions.nodes_of_keys(keys))
    assert seen[0] == seen[1]
    for before, after in itertools.pairwise(seen):
        assert all(after[key] == CANARY for key in keys if before[key] == CANARY)
    assert set(seen[-1].values()) == {CANARY}


async def test_a_switch_holds_for_the_next_request_of_a_kept_connection(
    two_versions: Bench,
) -> None:
    connection = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    async with httpx.AsyncClient(base_url=two_versions.settings.url, limits=connection) as client:
        for percent, node in ((100, CANARY), (0, STABLE), (100, CANARY)):
            await two_versions.router.switch(at(percent))
            answer = await client.get("/v1/models", headers={"X-API-Key": "k"})
            assert answer.headers["X-ASR-Node"] == node


async def test_a_worker_of_an_old_configuration_never_picks_what_it_does_not_know(
    bench: Bench,
) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    async with httpx.AsyncClient(base_url=bench.settings.url) as kept:
        answer = await kept.get("/v1/models")
        await bench.router.load(bench.membership(v1=1, v2=1), at(100))
        assert await bench.node_of() == CANARY
        answer = await kept.get("/v1/models")
        assert (answer.status_code, answer.headers["X-ASR-Node"]) == (200, STABLE)


async def test_an_unknown_stable_group_falls_back_to_the_one_it_was_rendered_with(
    two_versions: Bench,
) -> None:
    await two_versions.router.switch(Routing("v9"))
    assert await two_versions.node_of() == STABLE


async def test_without_a_key_a_cookie_makes_the_choice_stick(two_versions: Bench) -> None:
    await two_versions.router.switch(at(50))
    async with httpx.AsyncClient(base_url=two_versions.settings.url) as fresh:
        first = await fresh.get("/v1/models")
        cookie = first.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert first.headers["X-Request-ID"] not in cookie
        for _ in range(20):
            later = await fresh.get("/v1/models")
            assert "Set-Cookie" not in later.headers
            assert later.headers["X-ASR-Node"] == first.headers["X-ASR-Node"]


@pytest.mark.parametrize(
    ("proxy", "said", "secure"),
    [("127.0.0.1", "https", True), ("127.0.0.1", "http", False), ("127.0.0.2", "https", False)],
)
async def test_behind_a_trusted_proxy_that_speaks_tls_the_cookie_is_for_tls_only(
    two_versions: Bench, proxy: str, said: str, secure: bool
) -> None:
    transport = httpx.AsyncHTTPTransport(local_address=proxy)  # 127.0.0.2 is not a trusted one
    async with httpx.AsyncClient(
        base_url=two_versions.settings.url, transport=transport
    ) as through:
        answer = await through.get("/v1/models", headers={"X-Forwarded-Proto": said})
    assert ("Secure" in answer.headers["Set-Cookie"].split("; ")) is secure


@pytest.mark.parametrize("forged", ["x", "0" * 31, "G" * 32, "0" * 33])
async def test_a_cookie_of_another_form_is_replaced(two_versions: Bench, forged: str) -> None:
    headers = {"Cookie": f"asr_sticky={forged}"}
    answer = await two_versions.client.get("/v1/models", headers=headers)
    assert "asr_sticky=" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer k"}, {"X-API-Key": "k"}, {"api-key": "k"}]
)
async def test_an_api_key_needs_no_cookie_and_is_never_logged(
    two_versions: Bench, headers: dict[str, str]
) -> None:
    secret = {name: value.replace("k", "sk-secret-4711") for name, value in headers.items()}
    answer = await two_versions.client.get("/v1/models", headers=secret)
    assert "Set-Cookie" not in answer.headers
    logged = await two_versions.logged(answer.headers["X-Request-ID"])
    assert len(logged.key_hash) == 16
    for log in two_versions.settings.run_dir.glob("*.log"):
        assert "sk-secret-4711" not in log.read_text()


async def test_off_splits_by_request_and_address_by_client(two_versions: Bench) -> None:
    headers = {"X-API-Key": "the same"}
    await two_versions.router.switch(at(50, sticky=Sticky.OFF))
    assert {await two_versions.node_of(headers=headers) for _ in range(60)} == {STABLE, CANARY}
    await two_versions.router.switch(at(50, sticky=Sticky.ADDRESS))
    keys = await two_versions.nodes_of_keys(range(60))
    assert len(set(keys.values())) == 1


async def test_the_log_says_who_decided(two_versions: Bench) -> None:
    async def decided_by(**headers: str) -> str:
        answer = await two_versions.client.get("/v1/models", headers=headers)
        return (await two_versions.logged(answer.headers["X-Request-ID"])).decided_by

    await two_versions.router.switch(at(5, HeaderRule("X-Beta", "1")))
    assert await decided_by() == "percent"
    assert await decided_by(**{"X-Beta": "1"}) == "header"
    await two_versions.router.switch(Routing("v1"))
    assert await decided_by(**{"X-Beta": "1"}) == "stable"


async def test_the_first_rule_that_matches_wins(two_versions: Bench) -> None:
    rules = (CookieRule("beta", "0", "stable"), HeaderRule("X-Beta", "yes", "canary"))
    await two_versions.router.switch(at(0, *rules))
    assert await two_versions.node_of(headers={"X-Beta": "yes"}) == CANARY
    assert await two_versions.node_of(headers={"X-Beta": "yes", "Cookie": "beta=0"}) == STABLE
    assert await two_versions.node_of(headers={"X-Beta": "no"}) == STABLE


async def test_a_cookie_is_found_among_others_by_its_whole_name(two_versions: Bench) -> None:
    await two_versions.router.switch(at(0, CookieRule("ABTEST_v1.2", "1")))
    assert await two_versions.node_of(headers={"Cookie": "a=b; ABTEST_v1.2=1; c=d"}) == CANARY
    assert await two_versions.node_of(headers={"Cookie": "XABTEST_v1.2=1; ABTEST_v1_2=1"}) == STABLE


@pytest.mark.parametrize(
    ("client", "cidr", "inside"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("192.168.5.130", "192.168.5.128/25", True),
        ("192.168.5.127", "192.168.5.128/25", False),
        ("192.168.5.1", "192.168.5.1", True),
        ("1.2.3.4", "0.0.0.0/0", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("2001:db9::1", "2001:db8::/32", False),
        ("2001:db8:0:ffff::", "2001:db8::/47", True),
        ("::1", "::1/128", True),
        ("::1", "10.0.0.0/8", False),
        ("::ffff:10.1.1.1", "10.0.0.0/8", True),
        ("10.1.1.1", "::/0", False),
    ],
)
async def test_an_address_range(two_versions: Bench, client: str, cidr: str, inside: bool) -> None:
    await two_versions.router.switch(at(0, AddressRule(cidr)))
    node = await two_versions.node_of(headers={"X-Forwarded-For": client})
    assert node == (CANARY if inside else STABLE)


def window(from_minutes: int, to_minutes: int, day_offset: int = 0, zone: str = "+05:30") -> Rule:
    """A window around now, with the day of its start moved by `day_offset`."""
    hours, minutes = int(zone[1:3]), int(zone[4:])
    sign = -1 if zone[0] == "-" else 1
    offset = datetime.timedelta(hours=sign * hours, minutes=sign * minutes)
    now = datetime.datetime.now(datetime.UTC) + offset
    start, end = (now + datetime.timedelta(minutes=m) for m in (from_minutes, to_minutes))
    day = (start + datetime.timedelta(days=day_offset)).isoweekday()
    return TimeRule(f"{start:%H:%M}", f"{end:%H:%M}", zone, (day,), "canary")


@pytest.mark.parametrize("zone", ["+00:00", "+05:30", "-09:30"])
async def test_a_time_window_of_a_fixed_offset(two_versions: Bench, zone: str) -> None:
    for rule, node in (
        (window(-60, 60, 0, zone), CANARY),
        (window(-60, 60, 1, zone), STABLE),
        (window(60, 120, 0, zone), STABLE),
        (window(-120, -60, 0, zone), STABLE),
        (window(-23 * 60, 20, 0, zone), CANARY),  # wraps past midnight, whatever the time
        (window(-23 * 60, -20, 0, zone), STABLE),
    ):
        await two_versions.router.switch(at(0, rule))
        assert await two_versions.node_of() == node, rule


def token(key: bytes = KEY, algorithm: str = "HS256", **claims: object) -> str:
    return jwt.encode({"role": "tester"} | claims, key, algorithm)


async def with_token(bench: Bench, text: str) -> str:
    return await bench.node_of(headers={"Authorization": f"Bearer {text}"})


async def test_a_verified_role_opts_in(two_versions: Bench) -> None:
    await two_versions.router.switch(at(0, RoleRule("tester"), RoleRule("qa", "groups")))
    now = int(time.time())
    assert await with_token(two_versions, token()) == CANARY
    assert await with_token(two_versions, token(exp=now + 60, nbf=now - 60)) == CANARY
    assert await with_token(two_versions, token(role="x", groups=["dev", "qa"])) == CANARY
    assert await with_token(two_versions, token(role="nobody")) == STABLE


async def test_a_forged_or_expired_token_has_no_role(two_versions: Bench) -> None:
    await two_versions.router.switch(at(0, RoleRule("tester")))
    now = int(time.time())
    head, body, signature = token().split(".")
    unsigned = jwt.encode({"role": "tester"}, None, "none")
    for forged in (
        token(key=b"another secret of thirty-two bytes"),
        token(exp=now - 1),
        token(nbf=now + 60),
        jwt.encode({"role": "tester", "iat": 1}, KEY, "HS256", headers={"crit": ["x"]}),
        token(algorithm="HS384", key=KEY * 2),
        unsigned,
        unsigned.split(".")[0] + f".{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{token(role='admin').split('.')[1]}.{signature}",
        "..",
        "a.b.c",
        "é.é.é".encode().decode("latin-1"),
    ):
        headers = {"Authorization": f"Bearer {forged}".encode("latin-1")}
        assert await two_versions.node_of(headers=headers) == STABLE, forged


async def test_the_key_of_tokens_is_in_no_configuration_log_or_process_list(
    two_versions: Bench,
) -> None:
    await two_versions.router.switch(at(0, RoleRule("tester")))
    await with_token(two_versions, token())
    run_dir = two_versions.settings.run_dir
    for path in run_dir.rglob("*"):
        if path.is_file():
            assert (
                path.name.endswith(".log")
                or path.stat().st_mode & 0o077 == 0
                or "temp" in path.parts
                or path.name in {"nginx.pid", "nginx.stderr"}
            ), path
            assert KEY.decode() not in path.read_text()
    assert run_dir.stat().st_mode & 0o077 == 0
