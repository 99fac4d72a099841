"""A log that is rotated, emptied, copied and cut, with real files."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.adapters.nginx.log_reader import LogReader, Position
from controller.adapters.nginx.router_log import RouterLog

LONG = 1200  # more than a line of the router has


@dataclass
class Log:
    """A log as nginx writes it: appending, to whatever the file is called by then."""

    path: Path
    written: list[str] = field(default_factory=list)

    @property
    def previous(self) -> Path:
        return self.path.with_name("access.log.1")

    def write(self, *names: str, to: Path | None = None) -> None:
        lines = [f"{name} {name * LONG}" for name in names]
        with (to or self.path).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        self.written += lines

    def rotate(self) -> None:
        self.path.rename(self.previous)

    def rotate_by_copy(self) -> None:
        """logrotate's copytruncate."""
        shutil.copy(self.path, self.previous)
        os.truncate(self.path, 0)

    def grow_quiet(self) -> None:
        """Long after the last line of what was moved away."""
        long_ago = time.time() - 3600
        os.utime(self.previous, (long_ago, long_ago))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "access.log")


def read_all(reader: LogReader, looks: int = 4) -> list[str]:
    return [line for _ in range(looks) for line in reader.lines()]


@pytest.mark.parametrize("unread", [(), ("3",)])
@pytest.mark.parametrize("way", ["rotate", "rotate_by_copy"])
def test_a_rotation_loses_no_line_and_gives_none_twice(
    log: Log, way: str, unread: tuple[str, ...]
) -> None:
    reader = LogReader(log.path)
    log.write("1", "2")
    found = reader.lines()
    log.write(*unread)
    getattr(log, way)()
    log.write("4", "5", "6", "7", "8")  # beyond where the old one ended
    log.grow_quiet()
    found += read_all(reader)
    assert found == log.written


@pytest.mark.parametrize("way", ["rotate", "rotate_by_copy"])
def test_a_rotation_while_nobody_reads_is_caught_up_with(log: Log, way: str) -> None:
    first = LogReader(log.path)
    log.write("1")
    before = first.lines()
    log.write("2")
    getattr(log, way)()
    log.write("3", "4", "5")
    log.grow_quiet()
    second = LogReader(log.path)
    second.position = Position.parse(str(first.position))
    assert before + read_all(second) == log.written


def test_a_worker_that_has_not_heard_of_the_new_log_is_waited_for(log: Log) -> None:
    since_the_last_line = 1.0
    reader = LogReader(log.path, lambda: log.previous.stat().st_mtime + since_the_last_line)
    log.write("1")
    found = reader.lines()
    log.rotate()
    log.write("2")
    found += read_all(reader)
    assert len(found) == 1
    log.write("3", to=log.previous)
    found += read_all(reader)
    since_the_last_line = 3.0
    found += read_all(reader)
    assert sorted(found) == sorted(log.written)


def test_a_half_line_is_given_when_it_is_whole(log: Log) -> None:
    reader = LogReader(log.path)
    for text, complete in (("he", []), ("llo\nwor", ["hello"]), ("ld\n", ["world"])):
        with log.path.open("a") as file:
            file.write(text)
        assert reader.lines() == complete


def test_a_line_that_a_killed_nginx_left_half_holds_nothing_up(log: Log) -> None:
    reader = LogReader(log.path)
    log.write("1")
    with log.path.open("a") as file:
        file.write("half")
    reader.lines()
    log.rotate()
    log.grow_quiet()
    log.write("2")
    assert read_all(reader) == log.written[1:]


def test_a_log_that_was_emptied_is_read_anew(log: Log) -> None:
    reader = LogReader(log.path)
    log.write("1", "2")
    reader.lines()
    os.truncate(log.path, 0)
    assert reader.lines() == []
    log.write("3", "4", "5")
    assert reader.lines() == log.written[2:]


def test_a_new_log_with_the_inode_of_a_deleted_one_is_another(log: Log) -> None:
    log.write("1", "2")
    log.path.unlink()
    reader = LogReader(log.path)
    log.write("3", "4", "5")
    was = Position(log.path.stat().st_ino, 2 * (LONG + 3), mark=12345)
    reader.position = was
    assert reader.lines() == log.written[2:]


def test_a_hole_without_lines_is_passed_over(log: Log) -> None:
    reader = LogReader(log.path)
    log.path.write_bytes(b"\0" * (9 * 1024 * 1024) + b"\n")
    log.write("1")
    assert read_all(reader)[-1] == log.written[0]


def test_the_position_of_an_older_controller_is_understood(log: Log) -> None:
    log.write("1", "2")
    reader = RouterLog(log.path)
    reader.resume(f"{log.path.stat().st_ino}:{LONG + 3}")
    assert reader.read() == []  # not lines of nginx
    assert str(reader.position).startswith(f"{log.path.stat().st_ino}:{log.path.stat().st_size}:")


def test_what_is_there_already_can_be_left_out(log: Log) -> None:
    log.write("1")
    reader = LogReader(log.path)
    reader.skip()
    assert reader.lines() == []
    log.write("2")
    assert reader.lines() == log.written[1:]
