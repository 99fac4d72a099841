"""Fresh nodes of the old version beside the canary: who reaches them, through a real nginx."""

from __future__ import annotations

import itertools

import pytest
from router_bench import Bench

from controller.core.errors import RouterUnavailable
from controller.core.routing import HeaderRule, Routing

STABLE, CANARY, BASELINE = "v1-1", "v2-1", "baseline-1"


def at(canary: float, baseline: float) -> Routing:
    rules = (HeaderRule("X-Beta", "1"), HeaderRule("X-Beta", "0", "stable"))
    return Routing(
        "v1", "v2", canary, "rollout-1", rules, baseline="baseline", baseline_percent=baseline
    )


@pytest.fixture
async def compared(bench: Bench) -> Bench:
    await bench.router.start(bench.membership(v1=1, v2=1, baseline=1), at(0, 0))
    return bench


def reached(nodes: dict[int, str], node: str) -> set[int]:
    return {key for key, answered in nodes.items() if answered == node}


async def test_the_baseline_gets_the_same_share_as_the_canary(compared: Bench) -> None:
    await compared.router.switch(at(20, 20))
    nodes = await compared.nodes_of_keys(range(2000))
    shares = {node: 100 * len(reached(nodes, node)) / len(nodes) for node in (CANARY, BASELINE)}
    assert shares == {CANARY: pytest.approx(20, abs=2.5), BASELINE: pytest.approx(20, abs=2.5)}


async def test_growing_shares_move_nobody_back_to_stable(compared: Bench) -> None:
    seen: list[dict[int, str]] = []
    for canary, baseline in ((5, 5), (20, 20), (50, 50), (70, 30)):
        await compared.router.switch(at(canary, baseline))
        seen.append(await compared.nodes_of_keys(range(300)))
    for before, after in itertools.pairwise(seen):
        assert reached(before, CANARY) <= reached(after, CANARY)
        assert reached(before, BASELINE) <= reached(after, BASELINE) | reached(after, CANARY)
    for before, after in itertools.pairwise(seen[:3]):  # up to the half, it gives nobody away
        assert reached(before, BASELINE) <= reached(after, BASELINE)
    assert not reached(seen[2], STABLE)


async def test_rules_send_nobody_to_the_baseline_and_take_everybody_from_it(
    compared: Bench,
) -> None:
    await compared.router.switch(at(50, 50))
    for said, node in (("1", CANARY), ("0", STABLE)):
        for key in range(20):
            headers = {"X-API-Key": f"key-{key}", "X-Beta": said}
            assert await compared.node_of(headers=headers) == node


async def test_stable_answers_for_a_baseline_that_dies_and_the_log_says_whose_failure_it_was(
    compared: Bench,
) -> None:
    await compared.router.switch(at(50, 50))
    before = await compared.nodes_of_keys(range(60))
    compared.node(BASELINE).die()
    after = await compared.nodes_of_keys(range(60))  # which fails if an answer is not 200
    assert reached(after, STABLE) == reached(before, BASELINE) != set()
    key = min(reached(before, BASELINE))
    answer = await compared.client.get("/v1/models", headers={"X-API-Key": f"key-{key}"})
    logged = await compared.logged(answer.headers["X-Request-ID"])
    assert (logged.pool, logged.group, logged.decided_by) == ("baseline", "baseline", "percent")
    assert (logged.node, logged.attempts[0].status) == (STABLE, 502)


async def test_a_baseline_without_a_canary_gets_nothing(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=1, baseline=1), at(50, 50))
    assert set((await bench.nodes_of_keys(range(40))).values()) == {STABLE}


async def test_where_nobody_knows_the_baseline_its_share_is_stables(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=1, v2=1), at(50, 50))
    assert set((await bench.nodes_of_keys(range(40))).values()) == {STABLE, CANARY}


async def test_the_health_of_the_router_counts_the_nodes_of_the_baseline(compared: Bench) -> None:
    pools = (await compared.client.get("/healthz")).json()["pools"]
    assert pools["baseline"] == {"group": "baseline", "nodes": 1}
    await compared.router.switch(Routing("v1"))
    assert "baseline" not in (await compared.client.get("/healthz")).json()["pools"]


async def test_a_routing_whose_baseline_has_no_buckets_is_refused(compared: Bench) -> None:
    class Half(Routing):
        def to_dict(self) -> dict[str, object]:
            return {**super().to_dict(), "baseline_buckets": None}

    with pytest.raises(RouterUnavailable, match="baseline_buckets a number"):
        await compared.router.switch(Half("v1", "v2", 5, baseline="baseline", baseline_percent=5))
