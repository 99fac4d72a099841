"""What a row of benchmarks/faults.py is made of."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import faults
from benchmarks.faults_injected import doorbell
from benchmarks.faults_injected.catalogue import FAULTS
from benchmarks.faults_injected.doorbell import Doorbell
from benchmarks.faults_injected.row import Row, Seen, row, shortcomings
from benchmarks.faults_injected.table import show
from benchmarks.faults_injected.timeline import (
    Sample,
    first_noticed,
    first_switched,
    recovered,
    sample,
)
from benchmarks.narrator import Narrator
from benchmarks.records import Record
from controller.adapters.nginx.access_log import Attempt, Request

BEGAN = 100.0
WELL = {"v1-1": "healthy", "v1-2": "healthy", "backup-v1-1": "healthy"}


def a_sample(at: float, generation: int = 1, **health: str) -> Sample:
    given = {name.replace("_", "-"): word for name, word in health.items()}
    return Sample(at, WELL | given, (generation, "v1", 0.0), settled=True)


def a_request(at: float, *attempts: tuple[int, float]) -> Request:
    """`attempts`: status and seconds of each."""
    return Request(
        at, "id", "POST", "/v1/audio/transcriptions", 200, 1, sum(s for _, s in attempts),
        "stable", "v1", "stable", 1, "k", "v1", "v1-2",
        tuple(Attempt(f"127.0.0.1:{n}", *a) for n, a in enumerate(attempts)),
    )  # fmt: skip


LIFE = (
    a_sample(99.9),
    a_sample(101.0, v1_1="ended"),
    a_sample(102.0, generation=2, v1_1="starting"),
    a_sample(106.0, generation=3),
    a_sample(107.0, generation=3),
)


def test_the_controller_noticed_when_the_node_that_was_hurt_was_not_healthy() -> None:
    elsewhere = (a_sample(100.5, backup_v1_1="unhealthy"), *LIFE)
    assert first_noticed(elsewhere, BEGAN, ("v1-1",)) == 101.0
    assert first_noticed(elsewhere, BEGAN, ()) == 100.5  # with nobody named, anybody counts
    assert first_noticed(LIFE, 106.5, ("v1-1",)) is None


def test_a_controller_that_does_not_answer_has_noticed_nothing_of_a_node() -> None:
    silent = (Sample(100.5), *LIFE)
    assert first_noticed(silent, BEGAN, ("v1-1",)) == 101.0
    assert first_noticed(silent, BEGAN, ()) == 100.5


def test_traffic_switched_with_the_first_other_routing() -> None:
    assert first_switched(LIFE, BEGAN) == 102.0
    assert first_switched(LIFE, 106.5) is None


def test_a_fleet_has_recovered_when_it_stays_well() -> None:
    assert recovered(LIFE, BEGAN) == 106.0
    relapse = (*LIFE, a_sample(108.0, v1_2="unhealthy"), a_sample(109.0))
    assert recovered(relapse, BEGAN) == 109.0
    assert recovered(relapse[:-1], BEGAN) is None
    assert recovered(LIFE, 105.0) is None  # nothing to recover from


def test_a_status_is_well_when_every_node_is_healthy_and_the_router_settled() -> None:
    router = {"generation": 1, "serving": "v1", "percent": {"canary": 0.0}, "settled": True,
              "running": True}  # fmt: skip
    status = {
        "router": router,
        "pools": {"stable": {"nodes": [{"name": "a", "health": "healthy"}]}},
    }
    assert sample(status, 1.0).well
    assert not sample(status | {"router": router | {"settled": False}}, 1.0).well
    assert not sample(status | {"pools": {}}, 1.0).well


@pytest.fixture
def seen() -> Seen:
    steady = [Record(0, 90.0 + n, 90.2 + n, 200, "v1", "v1-1") for n in range(5)]
    across = Record(1, 99.8, 100.3, 200, "v1", "v1-2")  # was in flight at v1-1
    later = Record(2, 101.0, 101.2, 200, "v1", "v1-2")
    log = [a_request(95.0, (200, 0.2)), a_request(100.3, (502, 0.25), (200, 0.25))]
    return Seen(BEGAN, [*steady, across, later], LIFE, log)


def test_a_row_tells_what_users_felt_and_who_noticed_when(seen: Seen) -> None:
    found = row(FAULTS["kill-stable"], "process", seen)
    assert (found.requests, found.failed, found.retried, found.in_flight_at_fault) == (7, 0, 1, 1)
    assert found.detect_seconds == pytest.approx(0.05)  # the retry came before the probe
    assert found.held_seconds == pytest.approx(0.05)  # it was sent 0.2 s before the fault
    assert (found.probe_seconds, found.switch_seconds, found.recover_seconds) == (1.0, 2.0, 6.0)
    assert found.added_p99_ms == pytest.approx(300)


def test_answers_of_a_node_that_hears_wrong_are_counted_until_that_is_noticed(seen: Seen) -> None:
    heard = [Record(3, at, at + 0.2, 200, "v1", "v1-1") for at in (99.9, 100.5, 106.0)]
    elsewhere = Record(3, 100.5, 100.7, 200, "v1", "v1-2")
    with_them = replace(seen, records=[*seen.records, *heard, elsewhere])
    assert row(FAULTS["wrong-answers"], "process", with_them).wrong == 2
    assert row(FAULTS["kill-stable"], "process", with_them).wrong == 0


def test_a_request_that_was_held_too_long_is_a_shortcoming(seen: Seen) -> None:
    kill, freeze = FAULTS["kill-stable"], FAULTS["freeze-stable"]
    seen = replace(seen, log=[a_request(100.7, (502, 0.25), (200, 0.25))])
    assert shortcomings(freeze, row(freeze, "process", seen)) == []
    [missed] = shortcomings(kill, row(kill, "process", seen))
    assert "held" in missed


def test_a_failed_request_is_a_shortcoming_but_for_those_that_the_fault_itself_ends(
    seen: Seen,
) -> None:
    broken = Record(3, 99.9, 100.1, error="closed after 0 bytes of the answer")
    with_one = replace(seen, records=[*seen.records, broken], log=(), served_again=100.5)
    for name, count in (("controller-killed", 1), ("nginx-killed", 0)):
        found = row(FAULTS[name], "process", with_one)
        assert found.failed == 1
        assert len(shortcomings(FAULTS[name], found)) == count


def test_what_is_sent_while_a_fault_is_on_its_way_is_in_flight_at_it(seen: Seen) -> None:
    records = [Record(3, 100.02, 100.04, error="reset"), Record(3, 100.06, 100.1, error="refused")]
    dying = replace(
        seen, records=[*seen.records, *records], log=(), served_again=100.3, done=100.05
    )
    found = row(FAULTS["nginx-killed"], "process", dying)
    assert (found.in_flight_at_fault, found.failed) == (2, 2)


def test_only_where_nobody_is_left_is_a_503_no_failure(seen: Seen) -> None:
    records = [*seen.records, Record(3, 100.1, 100.2, 503), Record(4, 100.1, 100.2, 502)]
    everything = row(FAULTS["everything"], "process", replace(seen, records=records))
    assert (everything.failed, everything.refused) == (1, 1)
    one = row(FAULTS["kill-stable"], "process", replace(seen, records=records))
    assert (one.failed, one.refused) == (2, 0)


def test_the_router_serves_again_after_the_last_connection_that_it_refused() -> None:
    bell = Doorbell("http://127.0.0.1:1")
    bell.rings = [(99.0, True), (100.1, False), (100.3, True), (100.5, False), (100.7, True)]
    assert bell.served_again(BEGAN) == 100.7
    assert bell.served_again(100.6) == 100.6
    bell.rings.pop()
    assert bell.served_again(BEGAN) is None


def test_who_still_waits_for_an_answer_does_not_keep_the_next_one_from_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doorbell, "_PATIENCE_SECONDS", 60.0)
    third_asks = threading.Event()
    asked: list[str] = []

    class FirstWaitsForTheThird(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if len(asked) == 3:
                third_asks.set()
            assert third_asks.wait(timeout=60)
            self.send_response(200)
            self.end_headers()

    with serving(FirstWaitsForTheThird) as url, Doorbell(url):
        assert third_asks.wait(timeout=30)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_fault_that_is_not_in_a_runtime_says_why() -> None:
    skipped = {name for name, fault in FAULTS.items() if "process" in fault.not_in}
    assert skipped == {"network-cut", "gpu-gone"}
    assert all(reason for fault in FAULTS.values() for reason in fault.not_in.values())


def test_a_fault_that_is_not_in_a_runtime_is_skipped_by_name() -> None:
    asked = [sys.executable, faults.__file__, "--runtime", "process", "--faults", "network-cut"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    [skipped] = json.loads(said.splitlines()[-1])["skipped"]
    assert (skipped["fault"], skipped["runtime"]) == ("network-cut", "process")
    assert f"network-cut: skipped: {skipped['why']}" in said


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--faults", "kil-stable"], "'kil-stable' is none of kill-stable, "),
        (["--faults", "slow,,everything"], "'' is none of"),
        (["--clients", "0"], "'0' is no number from 1 on"),
        (["--steady", "-1"], "'-1' are no seconds"),
        (["--hold", "nan"], "'nan' are no seconds"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_started(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        faults.main(arguments)
    assert ended.value.code == 2
    assert word in capsys.readouterr().err


def test_the_table_has_a_column_for_each_cell_and_a_word_for_each_column(
    seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    show([row(FAULTS["kill-stable"], "process", seen)], Narrator())
    head, cells, *legend = capsys.readouterr().out.splitlines()
    fault, requests, failed, *others = head.split()
    assert len(cells.split()) == len(head.split())
    assert (fault, requests, failed) == ("fault", "requests", "failed")
    assert set(others) <= set(" ".join(legend).split())


def test_a_row_names_the_keys_that_others_read() -> None:
    keys = {"fault", "runtime", "requests", "failed", "added_p99_ms", "detect_seconds",
            "switch_seconds", "recover_seconds", "in_flight_at_fault", "streams_cut"}  # fmt: skip
    assert keys <= set(Row.__dataclass_fields__)
