"""The spool on a real disk."""

from __future__ import annotations

import dataclasses
import datetime
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.adapters.spool_folder import SpoolFolder
from controller.core.errors import SpoolFull
from controller.core.spool import Asked, LateAnswer, SpoolEntry, SpoolLimits, SpoolState

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
ASKED = Asked("/v1/audio/transcriptions?a=b", "multipart/form-data; boundary=x")
TEXT = LateAnswer(200, "application/json", '{"text": "你好"}'.encode(), "v1-1", "v1")


class Spools:
    """One controller after another on the same folder, with a clock that is told the time."""

    def __init__(self, path: Path) -> None:
        self.path, self.limits, self.at = path, SpoolLimits(), NOON

    def open(self) -> SpoolFolder:
        folder = SpoolFolder(self.path, self.limits, lambda: self.at)
        folder.open()
        return folder

    def pass_seconds(self, seconds: float) -> None:
        self.at += datetime.timedelta(seconds=seconds)


@pytest.fixture
def spools(tmp_path: Path) -> Spools:
    return Spools(tmp_path / "spool")


def keep(folder: SpoolFolder, body: bytes = b"audio", asked: Asked = ASKED) -> SpoolEntry:
    incoming = folder.receive(asked, len(body))
    try:
        incoming.write(body)
        return incoming.accept()
    finally:
        incoming.close()


def test_what_was_accepted_is_there_in_order_after_a_restart(spools: Spools) -> None:
    kept = [keep(spools.open(), f"recording {n}".encode()) for n in range(12)]
    folder = spools.open()
    assert folder.waiting() == kept
    assert [folder.body(entry).read_bytes() for entry in kept] == [
        f"recording {n}".encode() for n in range(12)
    ]


def test_the_order_goes_on_where_it_was(spools: Spools) -> None:
    first = keep(spools.open())
    assert keep(spools.open()).order == first.order + 1


def test_half_a_body_is_no_entry(spools: Spools) -> None:
    folder = spools.open()
    incoming = folder.receive(ASKED, 100)
    incoming.write(b"half")
    incoming.close()
    assert folder.waiting() == spools.open().waiting() == []
    assert list(spools.path.iterdir()) == []


def test_a_disk_that_does_not_take_it_is_a_reason_to_refuse(spools: Spools) -> None:
    folder = spools.open()
    incoming = folder.receive(ASKED, 5)
    spools.path.rmdir()
    with pytest.raises(SpoolFull, match="the disk does not take it"):
        incoming.write(b"audio")
    incoming.close()
    assert folder.waiting() == []


def test_an_answer_is_kept_and_the_recording_deleted(spools: Spools) -> None:
    folder = spools.open()
    entry = keep(folder)
    folder.answer(entry, TEXT)
    for again in (folder, spools.open()):
        found = again.entry(entry.id)
        assert found is not None
        assert (found.state, again.answer_of(found)) == (SpoolState.ANSWERED, TEXT)
        assert not again.body(found).exists()


def test_a_second_answer_changes_nothing(spools: Spools) -> None:
    folder = spools.open()
    entry = keep(folder)
    folder.answer(entry, TEXT)
    folder.answer(entry, dataclasses.replace(TEXT, body=b"another"))
    assert folder.answer_of(entry) == TEXT
    assert folder.counts["answered"] == 1


def test_a_request_that_its_sender_repeats_is_kept_once(spools: Spools) -> None:
    folder = spools.open()
    asked = dataclasses.replace(ASKED, request_id="r-1")
    first = keep(folder, b"audio", asked)
    assert keep(folder, b"audio", asked) == first
    assert keep(folder, b"other audio", asked) != first
    assert keep(spools.open(), b"audio", asked) == first
    stranger = dataclasses.replace(asked, key_hash="of another key")
    assert keep(folder, b"audio", stranger) != first
    assert len(folder.waiting()) == 3


def test_requests_without_an_id_are_never_the_same(spools: Spools) -> None:
    folder = spools.open()
    assert keep(folder).id != keep(folder).id


def test_no_more_is_kept_than_there_is_room_for(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_bytes=100, max_entries=3)
    folder = spools.open()
    keep(folder, b"x" * 90)
    with pytest.raises(SpoolFull, match="MiB"):
        folder.receive(ASKED, 11)
    coming = folder.receive(ASKED, 10)  # its room is taken before its body is there
    with pytest.raises(SpoolFull):
        folder.receive(ASKED, 1)
    coming.close()
    keep(folder, b"x" * 5)
    keep(folder, b"x" * 5)
    with pytest.raises(SpoolFull, match="3 requests wait"):
        folder.receive(ASKED, 0)


def test_what_was_answered_takes_no_room(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_bytes=100, max_entries=1)
    folder = spools.open()
    for _ in range(3):
        folder.answer(keep(folder, b"x" * 100), TEXT)


def test_what_waits_too_long_expires_then_is_forgotten(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_age_seconds=60)
    folder = spools.open()
    entry = keep(folder)
    spools.pass_seconds(59)
    assert folder.sweep() == 0
    spools.pass_seconds(1)
    assert folder.sweep() == 1
    for again in (folder, spools.open()):
        found = again.entry(entry.id)
        assert found is not None
        assert found.state is SpoolState.EXPIRED
        assert not again.body(found).exists()
    spools.pass_seconds(60)
    folder.sweep()
    assert folder.entry(entry.id) is None
    assert spools.open().entry(entry.id) is None
    assert list(spools.path.iterdir()) == []


def test_an_answer_stays_for_the_whole_time_after_it_came(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_age_seconds=60)
    folder = spools.open()
    entry = keep(folder)
    spools.pass_seconds(59)
    folder.answer(entry, TEXT)
    spools.pass_seconds(59)
    assert folder.sweep() == 0
    assert folder.answer_of(entry) == TEXT
    spools.pass_seconds(1)
    assert folder.sweep() == 0  # nobody was left without an answer
    found = folder.entry(entry.id)
    assert found is not None
    assert found.state is SpoolState.EXPIRED
    assert not list(spools.path.glob("*/answer"))


def test_one_that_cannot_be_deleted_keeps_nobody_else(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_age_seconds=60)
    folder = spools.open()
    gone, other = keep(folder), keep(folder)
    shutil.rmtree(folder.body(gone).parent)
    spools.pass_seconds(60)
    assert folder.sweep() == 1
    assert not folder.body(other).exists()
    assert folder.waiting() == [gone]


def test_one_whose_deletion_the_disk_does_not_confirm_is_known_no_more(
    spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = spools.open()
    entry = keep(folder)
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            folder.delete(entry)
    assert folder.waiting() == []
    folder.delete(entry)  # again, as its sender would
    assert spools.open().waiting() == []


def fail(_descriptor: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_failures_are_counted_across_restarts(spools: Spools) -> None:
    folder = spools.open()
    entry = keep(folder)
    folder.failed(folder.failed(entry))
    assert [e.failures for e in spools.open().waiting()] == [2]


def test_the_recording_of_a_request_that_was_given_up_stays_to_be_looked_at(
    spools: Spools,
) -> None:
    folder = spools.open()
    entry = keep(folder)
    while not entry.given_up:
        entry = folder.failed(entry)
    folder.answer(entry, dataclasses.replace(TEXT, status=500))
    assert spools.open().body(entry).read_bytes() == b"audio"
    assert folder.counts["given_up"] == 1


def test_a_recording_that_is_kept_of_a_request_given_up_takes_room(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_bytes=100, max_age_seconds=60)
    folder = spools.open()
    entry = keep(folder, b"x" * 90)
    while not entry.given_up:
        entry = folder.failed(entry)
    folder.answer(entry, dataclasses.replace(TEXT, status=500))
    for again in (folder, spools.open()):
        with pytest.raises(SpoolFull, match="recordings fill"):
            keep(again, b"x" * 11)
    spools.pass_seconds(60)
    folder.sweep()
    keep(folder, b"x" * 100)


def test_a_damaged_entry_is_set_aside_and_deleted_when_it_is_too_old(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_age_seconds=60)
    folder = spools.open()
    (folder.body(keep(folder)).parent / "asked.json").unlink()
    spools.open()
    spools.pass_seconds(59)
    folder = spools.open()
    folder.sweep()
    [aside] = spools.path.iterdir()
    assert (aside / "body").read_bytes() == b"audio"
    spools.pass_seconds(1)
    folder.sweep()
    assert list(spools.path.iterdir()) == []


def test_an_entry_that_cannot_be_read_now_is_there_once_it_can(spools: Spools) -> None:
    folder = spools.open()
    entry = keep(folder)
    asked = folder.body(entry).parent / "asked.json"
    text = asked.read_text()
    asked.unlink()
    asked.mkdir()  # whoever reads it gets an OSError
    assert spools.open().waiting() == []
    asked.rmdir()
    asked.write_text(text)
    assert spools.open().waiting() == [entry]


def test_a_disk_that_does_not_let_us_open_it_keeps_nobody_from_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").touch()
    folder = Spools(tmp_path / "a file" / "spool").open()
    assert folder.waiting() == []
    with pytest.raises(SpoolFull, match="the disk does not take it"):
        keep(folder)
    assert "spool.not_opened" in caplog.text


def test_what_is_logged_of_a_damaged_entry_names_no_result(
    spools: Spools, caplog: pytest.LogCaptureFixture
) -> None:
    folder = spools.open()
    damaged, unreadable, gone = keep(folder), keep(folder), keep(folder)
    shutil.rmtree(folder.body(gone).parent)
    spools.pass_seconds(spools.limits.max_age_seconds)
    folder.sweep()
    (folder.body(damaged).parent / "asked.json").unlink()
    asked = folder.body(unreadable).parent / "asked.json"
    asked.unlink()
    asked.mkdir()
    spools.open()
    events = [record.getMessage().split()[0] for record in caplog.records]
    assert events == ["spool.not_swept", "spool.entry_damaged", "spool.entry_unreadable"]
    assert not any(entry.id in caplog.text for entry in (damaged, unreadable, gone))


def test_a_damaged_entry_keeps_nobody_else_from_an_answer(spools: Spools) -> None:
    folder = spools.open()
    damaged, whole = keep(folder), keep(folder)
    (folder.body(damaged).parent / "asked.json").write_text("{")
    assert spools.open().waiting() == [whole]


def test_no_key_is_kept_but_its_hash_is_the_same_next_time(spools: Spools) -> None:
    folder = spools.open()
    hashed = folder.hash_of("a secret of a client")
    assert hashed == spools.open().hash_of("a secret of a client") != folder.hash_of("another")
    assert "secret" not in hashed


def test_only_the_owner_reads_what_users_said(spools: Spools) -> None:
    folder = spools.open()
    folder.answer(keep(folder), TEXT)
    keep(folder)
    folder.hash_of("key")
    modes = {path.stat().st_mode & 0o077 for path in [spools.path, *spools.path.rglob("*")]}
    assert modes == {0}


KILLED_AT_EVERY_STEP = """
import dataclasses, datetime, json, os, signal, sys
from pathlib import Path
from controller.adapters.spool_folder import SpoolFolder
from controller.core.spool import Asked, LateAnswer, SpoolLimits

def life(path, step):
    seen = 0
    def hook(event, arguments):  # of the interpreter, before each step on the disk
        nonlocal seen
        if event in {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}:
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
    folder = SpoolFolder(path, SpoolLimits(), lambda: datetime.datetime.now(datetime.UTC))
    sys.addaudithook(hook)
    folder.open()
    for number in range(3):
        body = b"recording %d" % number
        incoming = folder.receive(Asked("/v1/audio/transcriptions", "audio/ogg"), len(body))
        incoming.write(body)
        entry = incoming.accept()
        os.write(1, json.dumps({"accepted": entry.id, "body": body.decode()}).encode() + b"\\n")
        incoming.close()
        if number:
            continue
        answer = LateAnswer(200, "text/plain", b"heard", "v1-1", "v1")
        folder.answer(folder.failed(entry), answer)
        os.write(1, json.dumps({"answered": entry.id}).encode() + b"\\n")

for step in range(1, 1000):
    os.write(1, json.dumps({"life": step}).encode() + b"\\n")
    child = os.fork()
    if child == 0:
        life(Path(sys.argv[1]) / str(step), step)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break  # it was not killed any more
"""


def test_killed_at_any_step_the_next_controller_has_all_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(tmp_path)],
        capture_output=True, check=True, timeout=100,
    )  # fmt: skip
    lives = 0
    folder = SpoolFolder(tmp_path, SpoolLimits(), lambda: NOON)
    for line in done.stdout.splitlines():
        match json.loads(line):
            case {"life": step}:
                lives += 1
                (tmp_path / str(step)).mkdir(exist_ok=True)
                folder = Spools(tmp_path / str(step)).open()
                assert not list(folder.path.glob("coming-*"))
            case {"accepted": name, "body": body}:
                entry = folder.entry(name)
                assert entry is not None
                if entry.state is SpoolState.WAITING:
                    assert folder.body(entry).read_text() == body
                else:
                    assert folder.answer_of(entry).body == b"heard"
            case {"answered": name}:
                entry = folder.entry(name)
                assert entry is not None
                assert entry.state is SpoolState.ANSWERED
                assert folder.answer_of(entry).body == b"heard"
    assert lives > 30
