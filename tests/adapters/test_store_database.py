"""What the database fails with, in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from controller.adapters.store.database import open_database
from controller.core.errors import StoreUnavailable


def test_a_damaged_file_is_told_as_that_and_not_as_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable, match=r"not a database.*Look at the state folder"):
        open_database(f"sqlite:///{tmp_path / 'state.db'}")


def test_a_full_disk_asks_for_room(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'state.db'}")
    try:
        with engine.begin() as connection:
            connection.execute(text("PRAGMA max_page_count = 1"))  # the size that it has
            with pytest.raises(StoreUnavailable, match=r"full.*Make room"):
                connection.execute(text("CREATE TABLE more AS SELECT zeroblob(1000000) AS much"))
    finally:
        engine.dispose()


def test_a_mistake_of_ours_is_no_trouble_of_the_machine(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'state.db'}")
    try:
        with (
            engine.connect() as connection,
            pytest.raises(OperationalError, match="no such column"),
        ):
            connection.execute(text("SELECT nosuch FROM fleet"))
    finally:
        engine.dispose()
