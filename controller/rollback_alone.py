"""Rolls back where the controller is dead: writes the intent down for the next one, and switches
nginx by what the database and the routing say. Standard library only.

A full disk keeps nobody from it: what nginx routes by is memory."""

from __future__ import annotations

import contextlib
import datetime
import json
import sqlite3
import urllib.parse
from collections.abc import Iterator
from typing import Any, Final

from controller.adapters import routing_switch
from controller.adapters.state_folder import StateFolder
from controller.core.errors import Refused, RouterUnavailable, StoreUnavailable

Wish = dict[str, Any]  # what was asked for: {"to": version or None, "force": bool}
_BACKUP: Final = "backup"  # core.routing's, which is not imported here
_NEXT: Final = "The controller is not running: `rollout up` starts it and finishes the rest."


def roll_back_alone(folder: StateFolder, wish: Wish, user: str) -> str:
    """What was done, in words; the caller holds the folder's lock.

    Raises Refused (nothing was changed), RouterUnavailable (it is written down, and traffic is
    as before), or StoreUnavailable (it is not written down; whether traffic moved, it says)."""
    routing = routing_switch.read_routing(folder.router_dir)
    if routing is None or not folder.database.exists():
        raise Refused(f"{folder.path} has no router: nothing was ever routed, nothing changed")
    wanted = routing | _ALL_STABLE | {"stable": _target(folder, routing, wish)}
    unwritten = _write_down(folder, wish, user)
    try:
        warning = _switch(folder, wanted)
    except RouterUnavailable as error:
        if unwritten is None:
            raise RouterUnavailable(f"{error}. The rollback is written down. {_NEXT}") from error
        raise StoreUnavailable(
            f"{error}. Nor is the rollback written down ({unwritten}): nothing was changed. Make "
            f"room in {folder.path}, then run it again"
        ) from error
    now = f"all traffic is on {_in_words(wanted['stable'])}"
    if unwritten is None:
        return f"rolled back: {now}. {_NEXT}{warning}"
    raise StoreUnavailable(
        f"{now}, but that is not written down ({unwritten}): the next controller would go on as "
        f"before. Make room in {folder.path}, then run `rollback` again before `rollout up`."
        f"{warning}"
    )


def _in_words(group: str) -> str:
    return "the backup, which serves for stable" if group == _BACKUP else group


_ALL_STABLE: Final[dict[str, Any]] = {
    "canary": None,
    "canary_percent": 0.0,
    "canary_buckets": 0,
    "baseline": None,
    "baseline_percent": 0.0,
    "baseline_buckets": 0,
    "rules": [],
    "trial": None,
    "shadow": None,
    "shadow_percent": 0.0,
    "batches": None,  # the backup has the version that is left
}


def _target(folder: StateFolder, routing: dict[str, Any], wish: Wish) -> str:
    """The group that is to serve, from the state as it was last saved."""
    try:
        with _reading(folder) as database:
            return _saved_target(database, routing, wish)
    except sqlite3.Error as error:
        if wish["to"] is None and routing["canary"] is not None:
            return str(routing["stable"])  # a rollout is under way: that much nginx knows, too
        raise StoreUnavailable(
            f"the state cannot be read ({error}); nothing was changed"
        ) from error


@contextlib.contextmanager
def _reading(folder: StateFolder) -> Iterator[sqlite3.Connection]:
    """A reader makes files beside the database, which a full disk does not take. Where there is
    no log of later writes, as a controller leaves it that ended in order, none is needed."""
    log = folder.database.with_name(f"{folder.database.name}-wal")
    complete = not log.exists() or log.stat().st_size == 0
    with contextlib.closing(_open(folder, "mode=rw")) as database:
        try:
            database.execute("SELECT 1 FROM fleet")
        except sqlite3.OperationalError:
            if not complete:
                raise
        else:
            yield database
            return
    with contextlib.closing(_open(folder, "immutable=1")) as database:
        yield database


def _open(folder: StateFolder, mode: str) -> sqlite3.Connection:
    path = urllib.parse.quote(str(folder.database))
    return sqlite3.connect(f"file:{path}?{mode}", uri=True, timeout=5)


def _saved_target(database: sqlite3.Connection, routing: dict[str, Any], wish: Wish) -> str:
    """Like core.fleet."""
    row = database.execute("SELECT state FROM fleet").fetchone()
    fleet = json.loads(row[0]) if row else {}
    newest = database.execute(
        "SELECT phase FROM rollouts ORDER BY created_at DESC LIMIT 1"
    ).fetchone()
    ended = newest is None or newest[0] in {"promoted", "rolled_back", "aborted"}
    to = wish["to"]
    if to is None and not ended:
        return str(routing["stable"])
    if to and not database.execute("SELECT 1 FROM versions WHERE name = ?", (to,)).fetchone():
        raise Refused(f"there is no version {to!r}; nothing was changed")
    target = to or fleet.get("previous")
    if target is None:
        raise Refused("there is no version to roll back to; nothing was changed")
    if target == fleet.get("stable") and ended:
        raise Refused(f"{target} is stable already; nothing was changed")
    if to and not wish["force"]:
        _refuse_unproven(to, fleet)
    return str(target)


def _refuse_unproven(to: str, fleet: dict[str, Any]) -> None:
    if to in fleet.get("bad", []):
        raise Refused(f"{to} is marked bad; nothing was changed. --force goes there anyway")
    if to not in {fleet.get("previous"), fleet.get("stable"), *fleet.get("replaced", [])}:
        raise Refused(f"{to} was never stable here; nothing was changed. --force goes there anyway")


def _write_down(folder: StateFolder, wish: Wish, user: str) -> str | None:
    """For the next controller. Why the disk does not take it, or None."""
    try:
        with contextlib.closing(_open(folder, "mode=rw")) as database, database:
            _add_intent(database, wish, user)
    except sqlite3.Error as error:
        return str(error)
    return None


def _add_intent(database: sqlite3.Connection, wish: Wish, user: str) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    values = (now, user, json.dumps(wish))
    # One pending rollback, the last word: two, given in fear, would go back two versions.
    replaced = database.execute(
        "UPDATE intents SET at = ?, actor = ?, arguments = ? "
        "WHERE done = 0 AND command = 'rollback'",
        values,
    )
    if replaced.rowcount == 0:
        database.execute(
            "INSERT INTO intents (at, actor, arguments, command, done) "
            "VALUES (?, ?, ?, 'rollback', 0)",
            values,
        )


def _switch(folder: StateFolder, routing: dict[str, Any]) -> str:
    """Write the routing down for a restart of nginx, then switch the one that runs. What is to be
    said of it beside. Raises RouterUnavailable: traffic is as before."""
    if routing_switch.serving(folder.router_dir, routing["stable"]) is False:
        raise RouterUnavailable(
            f"no node of {routing['stable']} runs, so traffic stays where it is"
        )
    warning = ""
    try:
        routing_switch.write_routing(folder.router_dir, routing)
    except OSError as error:  # traffic moves all the same
        warning = f" A restart of nginx would undo it until then: {error.strerror}."
    routing_switch.switch(routing_switch.control_socket(folder.router_dir), routing)
    return warning
