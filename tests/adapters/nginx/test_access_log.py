from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from controller.adapters.nginx.access_log import (
    AccessLogReader,
    Attempt,
    parse_attempts,
    parse_line,
)
from controller.adapters.nginx.router_log import RouterLog

LINE = {
    "ts": "1795254943.756", "request_id": "r1", "method": "POST", "path": "/v1/x",
    "status": "200", "request_length": "150", "request_time": "0.502", "pool": "canary",
    "group": "v2", "decided_by": "percent", "bucket": "43", "key_hash": "ab", "version": "v1",
    "node": "v1-1", "upstream_addr": "10.0.0.1:1 : 10.0.0.2:2", "upstream_status": "503 : 200",
    "upstream_response_time": "0.100 : 0.400",
}  # fmt: skip


@pytest.mark.parametrize(
    ("addresses", "statuses", "times", "attempts"),
    [
        ("", "", "", ()),
        ("a:1", "200", "0.1", (Attempt("a:1", 200, 0.1),)),
        ("a:1", "-", "-", (Attempt("a:1", None, None),)),
        ("a:1, b:2", "502, 200", "0.0, 0.1",
         (Attempt("a:1", 502, 0.0), Attempt("b:2", 200, 0.1))),
        ("[::1]:1, b:2 : c:3", "502, 504 : 200", "0.0, 0.1 : 0.2",
         (Attempt("[::1]:1", 502, 0.0), Attempt("b:2", 504, 0.1), Attempt("c:3", 200, 0.2))),
        ("a:1, b:2", "502", "0.0", (Attempt("a:1", 502, 0.0), Attempt("b:2", None, None))),
    ],
)  # fmt: skip
def test_every_attempt_is_seen(
    addresses: str, statuses: str, times: str, attempts: tuple[Attempt, ...]
) -> None:
    assert parse_attempts(addresses, statuses, times) == attempts


def test_a_line_is_a_request() -> None:
    request = parse_line(json.dumps(LINE))
    assert request is not None
    assert (request.pool, request.bucket, request.seconds) == ("canary", 43, 0.502)
    assert request.attempts == (Attempt("10.0.0.1:1", 503, 0.1), Attempt("10.0.0.2:2", 200, 0.4))


def test_a_line_has_the_measures_of_a_node_that_says_them() -> None:
    said = {"audio_seconds": "2.500", "model_seconds": "0.125", "characters": "0"}
    request = parse_line(json.dumps(LINE | said))
    assert request is not None
    assert (request.audio_seconds, request.model_seconds, request.characters) == (2.5, 0.125, 0)


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1", "soon", "1e999", "²"])
def test_a_measure_that_cannot_be_is_none(value: str) -> None:
    said = dict.fromkeys(("audio_seconds", "model_seconds", "characters"), value)
    request = parse_line(json.dumps(LINE | said))
    assert request is not None
    assert (request.audio_seconds, request.model_seconds, request.characters) == (None, None, None)


@pytest.mark.parametrize("line", ["", "{", "[]", "null", "1", json.dumps(LINE)[:80], "{}"])
def test_half_a_line_is_nothing(line: str) -> None:
    assert parse_line(line) is None


def test_the_reader_gives_each_complete_line_once(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    reader = AccessLogReader(path)
    assert reader.read() == []
    line = json.dumps(LINE)
    path.write_text(line + "\n" + line[:20])
    assert len(reader.read()) == 1
    with path.open("a") as file:
        file.write(line[20:] + "\n" + json.dumps(LINE | {"pool": ""}) + "\n")
    assert len(reader.read()) == 1  # the one that no pool was asked for is left out
    assert reader.read() == []


def test_the_reader_survives_truncation_and_rotation(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    reader = AccessLogReader(path)

    def lines(*ids: str) -> str:
        return "".join(json.dumps(LINE | {"request_id": i}) + "\n" for i in ids)

    def read() -> list[str]:
        return [request.request_id for request in reader.read()]

    path.write_text(lines("1", "2"))
    assert read() == ["1", "2"]
    path.write_text(lines("3"))
    assert read() == ["3"]
    with path.open("a") as file:
        file.write(lines("4"))
    moved = path.rename(tmp_path / "access.log.1")
    os.utime(moved, (0, 0))  # nobody writes to it any more
    path.write_text(lines("5"))
    assert read() + read() == ["4", "5"]
    path.unlink()
    assert read() == []


def test_another_reader_goes_on_where_the_first_was(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    first = AccessLogReader(path)
    path.write_text(json.dumps(LINE | {"request_id": "1"}) + "\n")
    first.read()
    assert first.position is not None
    with path.open("a") as file:
        file.write(json.dumps(LINE | {"request_id": "2"}) + "\n")
    moved = path.rename(tmp_path / "access.log.1")
    os.utime(moved, (0, 0))
    path.write_text(json.dumps(LINE | {"request_id": "3"}) + "\n")
    second = AccessLogReader(path)
    second.resume(first.position)
    assert [request.request_id for _ in range(2) for request in second.read()] == ["2", "3"]


def test_what_was_served_before_a_controller_began_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text((json.dumps(LINE) + "\n") * 3)
    log = RouterLog(path)
    assert log.read() == []
    with path.open("a") as file:
        file.write(json.dumps(LINE) + "\n")
    assert len(log.read()) == 1


@pytest.mark.parametrize(
    ("addresses", "status", "told", "kept"),
    [
        ("n:1 : unix:/run/spool.sock", 202, 202, True),
        ("n:1 : unix:/run/spool.sock", 101, 503, False),  # a stream that was turned away
        ("unix:/run/spool.sock", 101, 503, False),
        ("n:1 : unix:/run/spool.sock", 503, 503, False),
        ("n:1 : n:2", 202, 202, False),
        ("n:1 : n:2", 101, 101, False),
    ],
)
def test_what_the_spool_took_was_served_by_nobody(
    tmp_path: Path, addresses: str, status: int, told: int, kept: bool
) -> None:
    log = RouterLog(tmp_path / "access.log")
    line = LINE | {"upstream_addr": addresses, "status": str(status)}
    (tmp_path / "access.log").write_text(json.dumps(line) + "\n")
    [served] = log.read()
    assert (served.status, served.kept) == (told, kept)
    assert not any(address.startswith("unix:") for address, _ in served.attempts)
