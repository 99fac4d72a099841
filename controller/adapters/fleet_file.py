"""Reads fleet.yaml. Whatever is wrong in it is refused before anything is started."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from controller.adapters.api_keys import NO_KEYS, ApiKeys
from controller.adapters.drill_entries import read_drills
from controller.adapters.failover_options import read_batches, read_failover
from controller.adapters.model_files import check_models
from controller.adapters.notification_targets import read_targets
from controller.adapters.spool_section import read_spool
from controller.adapters.yaml_file import Node, Section, read_yaml
from controller.core.drill.options import ScheduledDrill
from controller.core.errors import Refused
from controller.core.fleet import FleetConfig
from controller.core.golden import GoldenCheck
from controller.core.health import ProbeLimits
from controller.core.names import check_name
from controller.core.notification import Target
from controller.core.routing import CookieRule, RoleRule, Rule, Sticky, rule_from_dict
from controller.core.spool import SpoolLimits
from controller.core.version import Version

RuntimeChoice = Literal["auto", "docker", "process"]
_RUNTIMES: Final[tuple[RuntimeChoice, ...]] = ("auto", "docker", "process")
_GPU: Final = ("exclusive", "shared")
_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RouterOptions:
    """Where the router listens, what it lets through, and whose word on clients it takes."""

    host: str = "127.0.0.1"
    port: int = 8080
    max_body_bytes: int = 512 * _MEBIBYTE
    jwt_key_file: Path | None = None
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What each node's container may use; None does not limit. `memory_mib` in MiB."""

    memory_mib: int | None = None
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """Whether recordings of copied requests are kept for people to hear, and for how many days."""

    keep_audio: bool = False
    keep_audio_days: float = 14.0


@dataclass(frozen=True, slots=True)
class FleetFile:
    """All of fleet.yaml."""

    config: FleetConfig
    runtime: RuntimeChoice
    router: RouterOptions
    eval_sets_dir: Path
    plans_dir: Path | None
    limits: Limits
    notifications: tuple[Target, ...] = ()
    api_keys: ApiKeys = NO_KEYS
    review: ReviewOptions = ReviewOptions()
    spool: SpoolLimits = field(default_factory=SpoolLimits)
    drills: tuple[ScheduledDrill, ...] = ()


def read_fleet(path: Path) -> FleetFile:
    """Read and check the file; relative paths in it are relative to its folder.

    Raises InvalidConfig with file, line and path of the key."""
    root = read_yaml(path).mapping()
    folder = path.absolute().parent
    versions = _versions(root, folder)
    router, drain_seconds = _router(root, folder)
    fleet = FleetFile(
        config=_config(root, versions, drain_seconds),
        runtime=root.get("runtime", lambda node: node.choice(_RUNTIMES), "auto"),
        router=router,
        eval_sets_dir=root.get("eval_sets", lambda n: _folder(n, folder), folder / "eval_sets"),
        plans_dir=root.get("plans", lambda n: _folder(n, folder), None),
        limits=_limits(root.get("limits", Node.mapping, None)),
        notifications=root.get("notifications", lambda n: read_targets(n, folder), ()),
        api_keys=root.get("api_keys_file", lambda n: _api_keys(n, folder), NO_KEYS),
        review=_review(root.get("review", Node.mapping, None)),
        spool=read_spool(root.section("spool")),
        drills=root.get("drills", read_drills, ()),
    )
    _refuse_roles_without_key(root, fleet)
    root.done()
    return fleet


def _folder(node: Node, folder: Path) -> Path:
    path = folder / node.string()
    if not path.is_dir():
        raise node.error(f"{path} is no folder")
    return path


def _config(root: Section, versions: dict[str, Version], drain_seconds: float) -> FleetConfig:
    pools = root.get("pools", Node.mapping)
    stable = pools.get("stable", Node.mapping)
    backup_nodes = _count(pools.get("backup", Node.mapping, None), 1, minimum=0)
    probes = root.get("probes", Node.mapping, None)
    return FleetConfig(
        service=root.get("service", lambda node: _name(node, "service"), "asr"),
        versions=versions,
        initial_version=stable.get("version", lambda node: _known(node, versions)),
        stable_nodes=_count(stable, 2, minimum=1),
        backup_nodes=backup_nodes,
        canary_nodes=_count(pools.get("canary", Node.mapping, None), 1, minimum=1),
        devices=root.get("devices", Node.strings, ()),
        share_devices=root.get("gpu", lambda node: node.choice(_GPU), "exclusive") == "shared",
        probes=_probes(probes),
        golden=probes.get("golden", _golden, None) if probes is not None else None,
        rules=root.get("rules", _rules, ()),
        sticky=Sticky(root.get("sticky", lambda n: n.choice([s.value for s in Sticky]), "key")),
        stream_drain_seconds=drain_seconds,
        cookie_prefix=root.get("cookie_prefix", _cookie_prefix, "ABTEST_"),
        failover=read_failover(root),
        batches_to_backup=read_batches(root, backup_nodes),
    )


def _cookie_prefix(node: Node) -> str:
    try:
        return CookieRule(node.string(), "1").name
    except Refused as error:
        raise _at(node, error) from error


def _versions(root: Section, folder: Path) -> dict[str, Version]:
    entries = root.get("versions", Node.mapping).entries()
    return {name: _version(name, node, folder) for name, node in entries.items()}


def _version(name: str, node: Node, folder: Path) -> Version:
    section = node.mapping()

    def model(child: Node) -> str:
        return locate_model(child.string(), folder)

    try:
        version = Version(
            name=name,
            model=section.get("model", model),
            revision=section.get("revision", Node.string, None),
            vad_model=section.get("vad_model", model, None),
            punc_model=section.get("punc_model", model, None),
            language=section.get("language", Node.string, "auto"),
            itn=section.get("itn", Node.boolean, True),
            image=section.get("image", Node.string, None),
            engine=section.get("engine", Node.string, "funasr"),
            hotwords=section.get("hotwords", Node.strings, ()),
        )
        check_models(version, "model")
    except Refused as error:
        raise _at(node, error) from error
    return version


def locate_model(source: str, folder: Path) -> str:
    """A folder as an absolute path; a hub id (iic/SenseVoiceSmall) or name (fsmn-vad) as it is.

    What begins with a dot, a slash or ~ is a folder, and so is what lies in a folder that
    exists: a mistyped path must not be looked for on a hub."""
    path = folder / Path(source).expanduser()
    is_path = source.startswith((".", "/", "~")) or source.count("/") > 1
    in_known_folder = "/" in source and path.parent.is_dir()
    return str(path.resolve()) if is_path or in_known_folder or path.is_dir() else source


def _router(root: Section, folder: Path) -> tuple[RouterOptions, float]:
    section = root.get("router", Node.mapping, None)
    if section is None:
        return RouterOptions(), 3600.0
    options = RouterOptions(
        host=section.get("host", Node.string, "127.0.0.1"),
        port=section.get("port", lambda node: node.integer(1, 65535), 8080),
        max_body_bytes=section.get("max_body_mib", lambda n: n.integer(1, 1 << 20), 512)
        * _MEBIBYTE,
        jwt_key_file=section.get("jwt_key_file", lambda n: _file(n, folder), None),
        trusted_proxies=section.get("trusted_proxies", _networks, ()),
    )
    return options, section.get("stream_drain", Node.duration_seconds, 3600.0)


def _networks(node: Node) -> tuple[str, ...]:
    return tuple(_network(item) for item in node.items())


def _network(node: Node) -> str:
    try:
        return str(ipaddress.ip_network(node.string()))
    except ValueError as error:
        raise node.error(f"{error}; expected an address or a range such as 10.0.0.0/8") from error


def _limits(section: Section | None) -> Limits:
    if section is None:
        return Limits()
    return Limits(
        memory_mib=section.get("memory_mib", lambda n: n.integer(256, 1 << 24), None),
        cpus=section.get("cpus", lambda n: n.number(0.1, 1024), None),
    )


def _review(section: Section | None) -> ReviewOptions:
    if section is None:
        return ReviewOptions()
    return ReviewOptions(
        keep_audio=section.boolean("keep_audio", False),
        keep_audio_days=section.get("keep_audio_days", lambda n: n.number(0.01, 3650), 14.0),
    )


def _refuse_roles_without_key(root: Section, fleet: FleetFile) -> None:
    """A rule that can never match must not look like one that does."""
    roles = any(isinstance(rule, RoleRule) for rule in fleet.config.rules)
    if roles and fleet.router.jwt_key_file is None:
        raise root.error(
            "rules", "a role rule needs router.jwt_key_file, which verifies the tokens"
        )


def _probes(section: Section | None) -> ProbeLimits:
    if section is None:
        return ProbeLimits()
    return ProbeLimits(
        interval_seconds=section.get("interval", Node.some_seconds, 1.0),
        timeout_seconds=section.get("timeout", Node.some_seconds, 1.0),
        unhealthy_after=section.get("unhealthy_after", lambda n: n.integer(1, 100), 3),
        healthy_after=section.get("healthy_after", lambda n: n.integer(1, 100), 2),
        readiness_interval_seconds=section.get("readiness_interval", Node.some_seconds, 1.0),
    )


def _golden(node: Node) -> GoldenCheck:
    section = node.mapping()
    try:
        return GoldenCheck(
            eval_set=section.get("eval_set", Node.string),
            clips=section.get("clips", lambda n: n.integer(1, 1000), 3),
            max_error_percent=section.get("max_error_percent", lambda n: n.number(0, 99), 50.0),
            interval_seconds=section.get("interval", Node.some_seconds, 300.0),
        )
    except Refused as error:
        raise _at(node, error) from error


def _rules(node: Node) -> tuple[Rule, ...]:
    return tuple(_rule(item) for item in node.items())


def _rule(node: Node) -> Rule:
    def value(key: str, child: Node) -> object:
        if key == "days":
            return tuple(day.integer(1, 7) for day in child.items())
        return child.string()

    entries = node.mapping().entries()
    try:
        return rule_from_dict({key: value(key, child) for key, child in entries.items()})
    except Refused as error:
        raise _at(node, error) from error


def _count(section: Section | None, default: int, minimum: int) -> int:
    if section is None:
        return default
    return section.get("nodes", lambda node: node.integer(minimum, 1000), default)


def _known(node: Node, versions: dict[str, Version]) -> str:
    name = node.string()
    if name not in versions:
        raise node.error(f"unknown version {name!r}; `versions` has {', '.join(versions)}")
    return name


def _name(node: Node, what: str) -> str:
    try:
        return check_name(node.string(), what)
    except Refused as error:
        raise _at(node, error) from error


def _file(node: Node, folder: Path) -> Path:
    path = folder / node.string()
    if not path.is_file():
        raise node.error(f"there is no file {path}")
    return path


def _api_keys(node: Node, folder: Path) -> ApiKeys:
    keys = ApiKeys(_file(node, folder))
    try:
        keys.check()
    except Refused as error:
        raise _at(node, error) from error
    return keys


def _at(node: Node, error: Refused) -> Refused:
    return node.error(str(error))
