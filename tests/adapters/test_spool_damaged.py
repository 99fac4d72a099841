"""The spool on a disk that fails, and of a controller that is killed at any step."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from spools import ASKED, NOON, Spools, keep

from controller.adapters.spool_folder import SpoolFolder
from controller.core.errors import SpoolFull
from controller.core.spool import SpoolLimits, SpoolState


@pytest.fixture
def spools(tmp_path: Path) -> Spools:
    return Spools(tmp_path / "spool")


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
