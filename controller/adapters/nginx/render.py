"""The configuration of nginx as text: a pure function of membership, routing and settings."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Final

import jinja2

from controller.adapters.nginx.settings import RouterSettings
from controller.adapters.routing_switch import LIVE_SOCKET
from controller.core.errors import InvalidConfig, Refused
from controller.core.routing import BACKUP_GROUP, BUCKETS, Endpoint, Group, Membership, Routing
from controller.resources import templates_dir

CONFIG: Final = "nginx.conf"
SHADOW_MAX_BYTES: Final = 16 * 1024 * 1024  # longer requests are not copied
_SHADOWS: Final = 16  # copies that wait for a node at once; more are dropped
_ERRORS: Final = (
    # location, status, type, code, message: what the router says itself, in OpenAI's form
    ("not_found", 404, "invalid_request_error", "not_found", "The router has no such path."),
    ("no_such_batch", 404, "invalid_request_error", "batch_not_found",
     "The id of this batch names no node that this router knows now."),
    ("too_large", 413, "invalid_request_error", "request_too_large",
     "The upload is larger than this router accepts."),
    ("bad_gateway", 502, "server_error", "bad_gateway",
     "No speech node could be reached. Try again."),
    ("unavailable", 503, "server_error", "unavailable", "No speech node is ready. Try again."),
    ("timeout", 504, "server_error", "timeout", "The speech node did not answer in time."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where nginx finds things, as nginx sees them: `root` is the run_dir, `folder` that of
    this generation, `socket` the control socket, `spool_socket` the controller's for what no node
    could serve. `user` and group of the workers; None leaves them to nginx."""

    root: PurePath
    folder: PurePath
    socket: PurePath
    spool_socket: PurePath
    user: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must be in no log, process list or world-readable file."""

    log_salt: str
    jwt_key: str = ""  # base64

    def to_json(self) -> str:
        return json.dumps({"log_salt": self.log_salt, "jwt_key": self.jwt_key})


def render(
    membership: Membership,
    routing: Routing,
    settings: RouterSettings,
    place: Place,
    generation: int,
    secrets: Secrets,
) -> dict[str, str]:
    """The files of one generation, by name. Raises Refused where a value cannot be written."""
    return {
        CONFIG: _render_config(membership, settings, place, generation),
        **{path.name: path.read_text(encoding="utf-8") for path in templates_dir().glob("*.js")},
        "config.json": json.dumps(_config(membership, routing, settings, place, generation)),
        "secrets.json": secrets.to_json(),
    }


def _config(
    membership: Membership,
    routing: Routing,
    settings: RouterSettings,
    place: Place,
    generation: int,
) -> dict[str, Any]:
    """What the scripts must know of this generation."""
    return {
        "generation": generation,
        "cookie": settings.cookie,
        "trusted_proxies": list(settings.trusted_proxies),
        "socket": str(place.socket),
        "live_socket": str(place.socket.with_name(LIVE_SOCKET)),
        "shadow_max_bytes": SHADOW_MAX_BYTES,
        "buckets": BUCKETS,
        "stable": fallback_group(membership, routing),
        "groups": {group.name: len(group.endpoints) for group in membership.groups},
        "nodes": {
            endpoint.node: address(endpoint.address)
            for group in membership.groups
            for endpoint in group.endpoints
        },
    }


def fallback_group(membership: Membership, routing: Routing) -> str:
    """The group that serves where the asked one is unknown; "" where there is none at all.

    A canary is asked last: it has not proved itself."""
    names = [group.name for group in membership.groups]
    wanted = [routing.stable, BACKUP_GROUP]
    others = [name for name in names if name != routing.canary]
    return next((name for name in [*wanted, *others, *names] if name in names), "")


def _render_config(
    membership: Membership, settings: RouterSettings, place: Place, generation: int
) -> str:
    backup = membership.group(BACKUP_GROUP)
    return _template(templates_dir()).render(
        membership=membership,
        backups={group.name: _backups(group, backup) for group in membership.groups},
        settings=settings,
        root=str(place.root),
        folder=str(place.folder),
        socket=str(place.socket),
        live_socket=str(place.socket.with_name(LIVE_SOCKET)),
        spool_socket=str(place.spool_socket),
        user=place.user,
        generation=generation,
        buckets=BUCKETS,
        errors=_ERRORS,
        shadows=_SHADOWS,
        shadow_max_bytes=SHADOW_MAX_BYTES,
    )


def _backups(group: Group, backup: Group | None) -> tuple[Endpoint, ...]:
    if backup is None or group is backup:
        return ()
    own = {endpoint.address for endpoint in group.endpoints}
    return tuple(endpoint for endpoint in backup.endpoints if endpoint.address not in own)


@cache
def _template(folder: Path) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (not HTML: `quote` and `address` guard what enters)
    )
    environment.filters |= _FILTERS
    return environment.get_template(f"{CONFIG}.j2")


def quote(text: str) -> str:
    """`text` as one quoted parameter of nginx. Raises InvalidConfig for what cannot be one:
    control characters, `$`, which nginx cannot escape, and quotes and backslashes, which njs
    refuses in the path of a file that it loads."""
    if not text.isprintable() or set(text) & set("$'\"\\"):
        raise InvalidConfig(
            f"router: path {text!r}: nginx cannot take $, quotes, backslashes or control "
            f"characters; choose another state folder"
        )
    return f'"{text}"'


def address(text: str) -> str:
    """host:port with nothing but an address in it: no zone, whose name could be any text."""
    host, _, port = text.rpartition(":")
    try:
        parsed = ipaddress.ip_address("" if "%" in host else host.strip("[]"))
    except ValueError as error:
        raise Refused(f"router: {text!r} is not an address nginx can reach") from error
    return f"[{parsed}]:{int(port)}" if parsed.version == 6 else f"{parsed}:{int(port)}"


_FILTERS: Final[Mapping[str, Any]] = {"quote": quote, "address": address}
