"""What the controller tells Prometheus, of a loop over a world in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.engine.records import Served
from tests.api.scraping import TOKEN, Scraped, a_scraped_controller


@pytest.fixture
async def scraped(tmp_path: Path) -> AsyncIterator[Scraped]:
    async with a_scraped_controller(tmp_path) as made:
        yield made


async def test_nodes_are_counted_by_pool_and_health(scraped: Scraped) -> None:
    found = await scraped.samples()
    assert found["nodes", "healthy", "stable"] == found["nodes_ready", "stable"] == 2
    assert found["nodes", "unhealthy", "stable"] == 0  # there, so that an alert can ask for it
    assert found["nodes_wanted", "backup"] == 1
    assert found["node_ready", "v1-1", "stable", "v1"] == 1


async def test_a_node_that_ended_is_wanted_and_not_ready(scraped: Scraped) -> None:
    scraped.driver.world.end("v1-1")
    await scraped.driver.loop.observer.look()
    found = await scraped.samples()
    assert (found["nodes_wanted", "stable"], found["nodes_ready", "stable"]) == (2, 1)
    assert found["nodes", "ended", "stable"] == 1
    assert found["node_restarts_total", "stable"] == 0
    await scraped.driver.until(lambda loop: scraped.driver.world.started.count("v1-1") == 2)
    assert (await scraped.samples())["node_restarts_total", "stable"] == 1
    assert found["node_ready", "v1-1", "stable", "v1"] == 0


async def test_a_node_that_ends_again_and_again_is_counted_as_failed(scraped: Scraped) -> None:
    assert (await scraped.samples())["nodes_failed", "stable"] == 0
    node = scraped.driver.world.nodes["v1-1"]
    for instance in "abcde":
        scraped.driver.loop.keeper.crashes.take(replace(node, instance=instance))
    assert (await scraped.samples())["nodes_failed", "stable"] == 1


async def test_a_frozen_node_that_was_killed_is_counted(scraped: Scraped) -> None:
    scraped.driver.world.silent.add("v1-1")
    await scraped.driver.until(lambda loop: bool(loop.keeper.fences))
    assert (await scraped.samples())["fences_total", "stable"] == 1


async def test_a_fleet_served_by_its_backup_says_so(scraped: Scraped) -> None:
    assert (await scraped.samples())["failed_over",] == 0
    for name in ("v1-1", "v1-2"):
        scraped.driver.world.end(name)
    scraped.driver.world.broken.add("v1")
    await scraped.driver.round()
    found = await scraped.samples()
    assert (found["failed_over",], found["alarm",]) == (1, 1)


async def test_traffic_is_counted_by_outcome_and_attempt(scraped: Scraped) -> None:
    address = scraped.driver.world.nodes["v1-1"].address
    scraped.driver.world.served = [Served("stable", "stable", "secret", 200, ((address, 200),))] * 3
    await scraped.driver.loop.observe_traffic()
    found = await scraped.samples()
    assert found["requests_total", "answered", "stable"] == 3
    assert found["requests_total", "failed", "stable"] == 0  # there, so that its rise can be seen
    assert found["upstream_attempts_total", "v1-1", "200"] == 3
    assert not any("secret" in label for labels in found for label in labels)


async def test_a_rollout_has_its_phase_its_share_and_its_verdicts(scraped: Scraped) -> None:
    found = await scraped.samples()
    assert sum(value for labels, value in found.items() if labels[0] == "rollout_phase") == 0
    await scraped.driver.start()
    await scraped.driver.until(lambda loop: bool(loop.rollout.verdicts))
    await scraped.driver.until_settled()
    found = await scraped.samples()
    phase = scraped.driver.loop.rollout.phase.value
    assert found["rollout_phase", phase] == 1
    assert found["share_asked_ratio", "canary"] == 0.05
    assert found["gate_verdict", "error-rate overall", "pass"] == 1
    assert found["gate_verdict", "error-rate overall", "fail"] == 0


async def test_the_loop_the_router_the_disk_and_the_process_are_measured(scraped: Scraped) -> None:
    found = await scraped.samples()
    assert found["tick_seconds_count",] >= 1
    assert found["router_generation",] == scraped.driver.world.generation
    assert 0 < found["state_free_bytes",] < found["state_size_bytes",]
    assert found["process_resident_memory_bytes",] > 0
    assert found["build_info", "fake", "asr", "0.1.0"] == 1


async def test_prometheus_finds_the_nodes_that_run(scraped: Scraped) -> None:
    scraped.driver.world.end("v1-2")
    await scraped.driver.loop.observer.look()
    found = (await scraped.client().get("/metrics/targets")).json()
    address = scraped.driver.world.nodes["v1-1"].address
    assert {"targets": [address], "labels": {"node": "v1-1", "version": "v1"}} in found
    assert "v1-2" not in {target["labels"]["node"] for target in found}


@pytest.mark.parametrize("path", ["/metrics", "/metrics/targets"])
async def test_who_listens_beyond_loopback_asks_for_the_token(scraped: Scraped, path: str) -> None:
    client = scraped.client("192.0.2.1")
    assert (await client.get(path)).status_code == 401
    key = {"Authorization": f"Bearer {TOKEN}"}
    assert (await client.get(path, headers=key)).status_code == 200
