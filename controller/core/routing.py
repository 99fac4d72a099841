"""Which pool gets which requests: the value that nginx is switched with, and who is behind it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Literal

from controller.core.errors import Refused
from controller.core.names import check_name

BUCKETS: Final = 1000  # one bucket is 0.1 % of the sticky keys
BACKUP_GROUP: Final = "backup"
BASELINE_GROUP: Final = "baseline"  # fresh nodes of the old version: a group apart from its own
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_OFFSET: Final = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")

RoutedPool = Literal["stable", "canary"]


class Sticky(StrEnum):
    """What decides which bucket a request falls into."""

    KEY = "key"  # API key, else the router's own cookie, else a fresh id set as that cookie
    ADDRESS = "address"  # the client's address
    OFF = "off"  # every request for itself


@dataclass(frozen=True, slots=True)
class CookieRule:
    """Requests whose cookie `name` equals `value` go to `pool`."""

    name: str
    value: str
    pool: RoutedPool = "canary"
    kind: Literal["cookie"] = "cookie"

    def __post_init__(self) -> None:
        _require(_COOKIE_NAME.fullmatch(self.name), f"cookie name {self.name!r}")
        _require(len(self.value) <= 256, "cookie value longer than 256 characters")


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """Requests whose header `name` equals `value` go to `pool`."""

    name: str
    value: str
    pool: RoutedPool = "canary"
    kind: Literal["header"] = "header"

    def __post_init__(self) -> None:
        _require(_HEADER_NAME.fullmatch(self.name), f"header name {self.name!r}")
        _require(len(self.value) <= 256, "header value longer than 256 characters")


@dataclass(frozen=True, slots=True)
class AddressRule:
    """Requests from the address range `cidr` (IPv4 or IPv6) go to `pool`."""

    cidr: str
    pool: RoutedPool = "canary"
    kind: Literal["address"] = "address"

    def __post_init__(self) -> None:
        try:
            network = ipaddress.ip_network(self.cidr)
            object.__setattr__(self, "cidr", str(network))  # never with a netmask
        except ValueError as error:
            raise Refused(f"routing rule: address range {self.cidr!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class TimeRule:
    """Requests from `start` to before `end` (HH:MM, may wrap past midnight; the days are those
    of `start`, Monday is 1) at the fixed UTC offset `timezone` go to `pool`."""

    start: str
    end: str
    timezone: str = "+00:00"
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    pool: RoutedPool = "stable"
    kind: Literal["time"] = "time"

    def __post_init__(self) -> None:
        _require(_CLOCK.fullmatch(self.start), f"time {self.start!r} (HH:MM)")
        _require(_CLOCK.fullmatch(self.end), f"time {self.end!r} (HH:MM)")
        _require(_OFFSET.fullmatch(self.timezone), f"timezone {self.timezone!r} (+HH:MM)")
        _require(bool(self.days) and set(self.days) <= set(range(1, 8)), f"days {self.days} (1-7)")


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Requests with a verified JWT (RFC 7519) whose `claim` is, or contains, `role` go to
    `pool`. A missing, expired or forged token has no role; it is not an error."""

    role: str
    claim: str = "role"
    pool: RoutedPool = "canary"
    kind: Literal["role"] = "role"

    def __post_init__(self) -> None:
        _require(_COOKIE_NAME.fullmatch(self.claim), f"claim name {self.claim!r}")
        _require(0 < len(self.role) <= 256, "role must have 1-256 characters")


Rule = CookieRule | HeaderRule | AddressRule | TimeRule | RoleRule
RULE_KINDS: Final[Mapping[str, Callable[..., Rule]]] = {
    "cookie": CookieRule,
    "header": HeaderRule,
    "address": AddressRule,
    "time": TimeRule,
    "role": RoleRule,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What people are told and asked on the router's page /canary: the cookie `cookie` keeps
    their answer (1 takes part, 0 does not). With `consent_required` nobody takes part unasked."""

    cookie: str
    consent_required: bool = False

    def __post_init__(self) -> None:
        _require(_COOKIE_NAME.fullmatch(self.cookie), f"cookie name {self.cookie!r}")


@dataclass(frozen=True, slots=True)
class Routing:
    """The switch: everything that changes without a reload.

    `stable` and `canary` name groups of the loaded Membership. The first `canary_percent`
    (0-100, steps of 0.1) of the buckets go to the canary, the last `baseline_percent` to the
    baseline, where there is one to compare the canary with; rules are tried first, in order, and
    the requests that they decide are counted apart. `salt` (the rollout's id) reshuffles keys.
    `trial` is what the router's page tells of the canary; None: that there is nothing to tell.
    `known_healthy` False: the node lists are the last that were good, and nobody is known to be
    healthy now; the router's /healthz says so. Of `shadow_percent` (0-100) of the requests for
    stable a copy goes to the group `shadow`, whose answers nobody gets. New batches go to the
    group `batches`, and to stable where it is None or does not answer."""

    stable: str
    canary: str | None = None
    canary_percent: float = 0.0
    salt: str = ""
    rules: tuple[Rule, ...] = ()
    sticky: Sticky = Sticky.KEY
    known_healthy: bool = True
    trial: Trial | None = None
    baseline: str | None = None
    baseline_percent: float = 0.0
    shadow: str | None = None
    shadow_percent: float = 0.0
    batches: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.shadow_percent <= 100:
            raise Refused(f"shadow percent {self.shadow_percent} is not within 0-100")
        if (self.shadow is None) != (self.shadow_percent == 0):
            raise Refused("a shadow is a version that gets copies, and a share of them above 0")
        if not 0 <= self.canary_percent <= 100:
            raise Refused(f"canary percent {self.canary_percent} is not within 0-100")
        if not 0 <= self.baseline_percent <= self.canary_percent:
            raise Refused(
                f"baseline percent {self.baseline_percent} is not from 0 to the canary's "
                f"{self.canary_percent}"
            )
        if self.canary_buckets + self.baseline_buckets > BUCKETS:
            raise Refused(
                f"{self.canary_percent} % for the canary leaves no {self.baseline_percent} % for "
                f"the baseline"
            )
        if self.baseline is None and self.baseline_percent:
            raise Refused("a baseline percentage needs a baseline to go to")
        if self.canary is None and self.canary_percent:
            raise Refused("a percentage needs a canary to go to")
        if self.canary is None and self.trial is not None:
            raise Refused("a trial needs a canary to try")
        if self.consent_required and self.canary_percent:
            raise Refused("where consent is required, nobody is sent to the canary at random")

    @property
    def consent_required(self) -> bool:
        return self.trial is not None and self.trial.consent_required

    @property
    def canary_buckets(self) -> int:
        """How many of the `BUCKETS` lowest buckets belong to the canary."""
        return round(self.canary_percent * BUCKETS / 100)

    @property
    def baseline_buckets(self) -> int:
        """How many of the highest buckets belong to the baseline: at the other end, so that
        growing shares move nobody out of the canary, and nobody from one of them to stable."""
        return round(self.baseline_percent * BUCKETS / 100)

    def to_dict(self) -> dict[str, Any]:
        """The JSON value that the router's shared dictionary and routing.json hold."""
        return asdict(self) | {
            "canary_buckets": self.canary_buckets,
            "baseline_buckets": self.baseline_buckets,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Routing:
        """The inverse of `to_dict`. Raises Refused where a value is not valid."""
        rules = tuple(rule_from_dict(rule) for rule in value["rules"])
        trial = value.get("trial")  # absent where an older controller wrote it
        return cls(
            stable=value["stable"],
            canary=value["canary"],
            canary_percent=value["canary_percent"],
            salt=value["salt"],
            rules=rules,
            sticky=Sticky(value["sticky"]),
            known_healthy=value["known_healthy"],
            trial=Trial(**trial) if trial is not None else None,
            shadow=value.get("shadow"),
            shadow_percent=value.get("shadow_percent", 0.0),
            batches=value.get("batches"),
            baseline=value.get("baseline"),
            baseline_percent=value.get("baseline_percent", 0.0),
        )


def rule_from_dict(value: Mapping[str, Any]) -> Rule:
    """A rule from its JSON or YAML form. Raises Refused on an unknown kind or key."""
    kind = value.get("kind")
    rule_class = RULE_KINDS.get(str(kind))
    if rule_class is None:
        raise Refused(f"routing rule: unknown kind {kind!r}, expected one of {[*RULE_KINDS]}")
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items()}
    if arguments.get("pool", "canary") not in {"stable", "canary"}:
        raise Refused(f"routing rule: pool {arguments['pool']!r} is neither stable nor canary")
    try:
        return rule_class(**arguments)
    except TypeError as error:
        raise Refused(f"routing rule of kind {kind!r}: {error}") from error


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A node as the router reaches it: `address` is host:port."""

    node: str
    address: str
    weight: int = 1

    def __post_init__(self) -> None:
        check_name(self.node, "node")
        host, _, port = self.address.rpartition(":")
        ipaddress.ip_address(host.strip("[]"))  # never a name: nginx would resolve it at load
        _require(port.isdigit() and 0 < int(port) < 65536, f"port of {self.address!r}")


@dataclass(frozen=True, slots=True)
class Group:
    """The nodes of one version that take traffic together. Never empty: nginx refuses that."""

    name: str
    endpoints: tuple[Endpoint, ...]

    def __post_init__(self) -> None:
        if self.name not in {BACKUP_GROUP, BASELINE_GROUP}:
            check_name(self.name, "group")
        _require(bool(self.endpoints), f"group {self.name!r} without nodes")


@dataclass(frozen=True)  # without slots: it keeps its nodes by address
class Membership:
    """Who is behind the router. A change of it is a reload; a change of Routing is not."""

    groups: tuple[Group, ...] = field(default=())

    def group_names(self) -> frozenset[str]:
        return frozenset(group.name for group in self.groups)

    def group(self, name: str) -> Group | None:
        return next((group for group in self.groups if group.name == name), None)

    def node_at(self, address: str) -> str | None:
        """The name of the node at `address`, for reading the access log."""
        return self._names.get(address)

    @cached_property
    def _names(self) -> Mapping[str, str]:
        """By address: a log has thousands of attempts for each change of the nodes."""
        return {node.address: node.node for group in self.groups for node in group.endpoints}


def _require(fact: object, what: str) -> None:
    if not fact:
        raise Refused(f"routing: invalid {what}")
