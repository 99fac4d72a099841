"""`rollback`: one command, no questions. Standard library only, so that it starts at once.

With the controller alive it hands the command over. With the controller dead it takes the
state folder's lock, writes the intent down for the next controller, and switches nginx itself."""

from __future__ import annotations

import argparse
import datetime
import getpass
import http.client
import json
import os
import re
import sqlite3
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any, Final

from controller.adapters import routing_switch
from controller.adapters.state_folder import StateFolder
from controller.core.errors import ControllerError, Refused, RouterUnavailable

DONE, FAILED, UNREACHABLE = 0, 1, 5
Wish = dict[str, Any]  # what was asked for: {"to": version or None, "force": bool}
_TIMEOUT_SECONDS: Final = 30.0
_STARTING_SECONDS: Final = 60.0


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        wish = {"to": options.to, "force": options.force}
        message, controller = roll_back(options.state_dir, wish)
    except ControllerError as error:
        _fail(str(error), FAILED, options.json)
    except (OSError, http.client.HTTPException) as error:
        _fail(f"{error!r}; see with `rollout status` what holds", UNREACHABLE, options.json)
    except sqlite3.Error as error:
        _fail(f"the state cannot be read ({error}); nothing was changed", FAILED, options.json)
    print(json.dumps({"message": message, "controller": controller}) if options.json else message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rollback",
        description="Put all traffic back on the version that was good. Works without the "
        "controller, too.",
    )
    default = os.environ.get("ASR_ROLLOUT_STATE_DIR", ".asr-rollout")
    parser.add_argument("--to", metavar="VERSION", help="instead of the one before")
    parser.add_argument(
        "--force", action="store_true", help="also to a version never stable here, or marked bad"
    )
    parser.add_argument("--state-dir", type=Path, default=Path(default))
    parser.add_argument("--json", action="store_true")
    return parser


def _fail(message: str, status: int, as_json: bool) -> None:
    text = json.dumps({"error": message}) if as_json else f"rollback: {message}"
    print(text, file=sys.stdout if as_json else sys.stderr)
    sys.exit(status)


def roll_back(state_dir: Path, wish: Wish) -> tuple[str, bool]:
    """Roll back; what was done, and whether a controller did it.

    Raises Refused (nothing was changed) or OSError where nothing could be reached."""
    folder = StateFolder(state_dir)
    if not folder.path.is_dir():
        raise Refused(
            f"{folder.path} is no state folder: nothing was changed. Name it with --state-dir"
        )
    deadline = time.monotonic() + _STARTING_SECONDS
    while True:
        try:
            folder.lock()
        except Refused:  # a controller holds it: the command is for that one
            try:
                return _ask_controller(folder, wish), True
            except ConnectionRefusedError:  # it is just starting, or just ending
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        else:
            break
    try:
        return _roll_back_alone(folder, wish), False
    finally:
        folder.unlock()


def _ask_controller(folder: StateFolder, wish: Wish) -> str:
    address = folder.address()
    if address is None:
        raise ConnectionRefusedError("the controller is just starting; nothing was changed")
    url = urllib.parse.urlsplit(address.url)
    connection = http.client.HTTPConnection(
        url.hostname or "127.0.0.1", url.port, timeout=_TIMEOUT_SECONDS
    )
    headers = {
        "Authorization": f"Bearer {folder.token()}",
        "Content-Type": "application/json",
    }
    body = json.dumps({**wish, "actor": _user()})
    try:
        connection.request("POST", "/api/rollback", body, headers)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    if response.status >= 400:
        raise Refused(str(answer.get("detail", answer)))
    return str(answer["message"])


def _roll_back_alone(folder: StateFolder, wish: Wish) -> str:
    """The controller is dead: switch nginx by what its database and routing say."""
    routing = routing_switch.read_routing(folder.router_dir)
    if routing is None or not folder.database.exists():
        raise Refused(f"{folder.path} has no router: nothing was ever routed, nothing changed")
    database = sqlite3.connect(f"file:{folder.database}?mode=rw", uri=True, timeout=5)
    try:
        target = _target(database, routing, wish)
        with database:
            _add_intent(database, wish)
        return _switch(folder, routing | _ALL_STABLE | {"stable": target})
    finally:
        database.close()


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


def _target(database: sqlite3.Connection, routing: dict[str, Any], wish: Wish) -> str:
    """The group that is to serve: like core.fleet, from the state as it was last saved."""
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


def _add_intent(database: sqlite3.Connection, wish: Wish) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    values = (now, _user(), json.dumps(wish))
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
    """Write the routing down for a restart of nginx, then switch the one that runs."""
    note = "The controller is not running: `rollout up` starts it and finishes the rest."
    serving = routing_switch.serving(folder.router_dir, routing["stable"])
    if serving is False:
        raise RouterUnavailable(
            f"no node of {routing['stable']} runs, so traffic stays where it is; the rollback is "
            f"written down. {note}"
        )
    warning = ""
    try:
        routing_switch.write_routing(folder.router_dir, routing)
    except OSError as error:  # traffic moves all the same
        warning = f" A restart of nginx would undo it until then: {error}."
    try:
        routing_switch.switch(routing_switch.control_socket(folder.router_dir), routing)
    except RouterUnavailable as error:
        raise RouterUnavailable(
            f"{error}. The rollback is written down: `rollout up` starts nginx and carries it out"
        ) from error
    return f"rolled back: all traffic is on {routing['stable']}. {note}{warning}"


def _user() -> str:
    try:
        return re.sub(r"[^\w.@ -]", "_", getpass.getuser())[:64]
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


if __name__ == "__main__":
    main()
