"""`rollback`: one command, no questions. Standard library only, so that it starts at once.

With the controller alive it hands the command over. With the controller dead it takes the
state folder's lock and does it itself (rollback_alone)."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any, Final

from controller.adapters import routing_switch
from controller.adapters.state_folder import ControllerAddress, StateFolder
from controller.core.errors import ControllerError, Refused, RouterUnavailable
from controller.rollback_alone import Wish, roll_back_alone
from controller.user import user_name

DONE, FAILED, UNREACHABLE = 0, 1, 5
_PATIENCE_SECONDS: Final = 10.0  # with a busy database; a tick takes 0.05
_STARTING_SECONDS: Final = 60.0


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        wish = {"to": options.to, "force": options.force}
        message, controller = roll_back(options.state_dir, wish)
    except ControllerError as error:
        _fail(str(error), FAILED, options.json)
    except TimeoutError as error:
        _fail(str(error), UNREACHABLE, options.json)
    except (OSError, http.client.HTTPException) as error:
        _fail(f"{error!r}; see with `rollout status` what holds", UNREACHABLE, options.json)
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


def roll_back(
    state_dir: Path, wish: Wish, patience_seconds: float = _PATIENCE_SECONDS
) -> tuple[str, bool]:
    """Roll back; what was done, and whether a controller did it.

    Raises Refused (nothing was changed), StoreUnavailable (it will not last), TimeoutError (a
    controller is there and silent), or OSError where nothing could be reached."""
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
                return _ask_controller(folder, wish, patience_seconds), True
            except ConnectionRefusedError:  # it is just starting, or just ending
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        else:
            break
    try:
        return roll_back_alone(folder, wish, user_name()), False
    finally:
        folder.unlock()


def _ask_controller(folder: StateFolder, wish: Wish, patience_seconds: float) -> str:
    address = folder.address()
    if address is None:
        raise ConnectionRefusedError("the controller is just starting; nothing was changed")
    url = urllib.parse.urlsplit(address.url)
    connection = http.client.HTTPConnection(
        url.hostname or "127.0.0.1", url.port, timeout=patience_seconds
    )
    headers = {
        "Authorization": f"Bearer {folder.token()}",
        "Content-Type": "application/json",
    }
    body = json.dumps({**wish, "actor": user_name()})
    try:
        connection.request("POST", "/api/rollback", body, headers)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    except TimeoutError as error:
        raise TimeoutError(_silent(folder, address, patience_seconds)) from error
    finally:
        connection.close()
    if response.status >= 400:
        raise Refused(str(answer.get("detail", answer)))
    return str(answer["message"])


def _silent(folder: StateFolder, controller: ControllerAddress, seconds: float) -> str:
    """What to say of a controller that hangs, or is frozen: it holds the lock, so only its end
    lets us do it without it."""
    return (
        f"the controller (process {controller.pid}) has not answered for {seconds:g} s; "
        f"{_traffic(folder)}. Where that is not as it should be: `kill -9 {controller.pid}`, which "
        f"costs no traffic, then run `rollback` again: it works without a controller"
    )


def _traffic(folder: StateFolder) -> str:
    try:
        socket = routing_switch.control_socket(folder.router_dir)
        routing = routing_switch.inspect(socket)["routing"]
    except RouterUnavailable:
        return "nor does nginx say where traffic goes"
    stable, canary = routing["stable"], routing["canary"]
    if canary is None:
        return f"nginx sends all traffic to {stable}"
    percent = f"{routing['canary_percent']:g} %"
    return f"nginx sends {percent} of the traffic to {canary}, the rest to {stable}"


if __name__ == "__main__":
    main()
