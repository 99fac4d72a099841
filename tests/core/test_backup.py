from dataclasses import replace

import pytest

from controller.core.backup import BackupNode, backup_problem

GOOD = BackupNode("backup-v1-1", "v1", ready=True, digest="d1")


def test_a_ready_backup_of_stables_version_has_no_problem() -> None:
    assert backup_problem(1, "v1", "d1", [GOOD], load=3.0, room=3.0) is None


def test_what_is_not_known_is_held_against_nobody() -> None:
    silent = replace(GOOD, digest=None)
    assert backup_problem(1, "v1", None, [GOOD], load=3.0, room=None) is None
    assert backup_problem(1, "v1", "d1", [silent], load=None, room=1.0) is None


@pytest.mark.parametrize(
    ("wanted", "nodes", "words"),
    [
        (0, [], "no backup pool"),
        (1, [], "0 of 1 backup nodes ready"),
        (2, [GOOD], "1 of 2 backup nodes ready"),
        (1, [replace(GOOD, ready=False, reason="loading")], "(backup-v1-1: loading)"),
        (1, [BackupNode("backup-v0-1", "v0", ready=True)], "backup-v0-1 has v0, and stable is v1"),
        (1, [replace(GOOD, digest="d2")], "digest d2 instead of d1"),
    ],
)
def test_what_is_wrong_is_said(wanted: int, nodes: list[BackupNode], words: str) -> None:
    assert words in str(backup_problem(wanted, "v1", "d1", nodes))


def test_a_backup_that_is_too_small_for_the_load_says_how_much_of_it_it_carries() -> None:
    assert backup_problem(1, "v1", "d1", [GOOD], load=9.04, room=3.0) == (
        "the backup can carry 3.0 of stable's 9.0 audio seconds per second"
    )
