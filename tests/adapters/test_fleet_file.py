from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.fleet_file import FleetFile, ReviewOptions, read_fleet
from controller.core.errors import InvalidConfig, Refused
from controller.core.golden import GoldenCheck
from controller.core.routing import HeaderRule, TimeRule

SMALL = """
versions:
  v1: {model: ./m1}
pools:
  stable: {version: v1}
"""


def read(tmp_path: Path, text: str) -> FleetFile:
    (tmp_path / "m1").mkdir(exist_ok=True)
    (tmp_path / "m1" / "config.yaml").touch()
    path = tmp_path / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    return read_fleet(path)


def test_the_smallest_file_has_the_documented_defaults(tmp_path: Path) -> None:
    fleet = read(tmp_path, SMALL)
    config = fleet.config
    assert (config.stable_nodes, config.backup_nodes, config.canary_nodes) == (2, 1, 1)
    assert (fleet.router.host, fleet.router.port, fleet.runtime) == ("127.0.0.1", 8080, "auto")
    assert config.versions["v1"].model == str(tmp_path / "m1")


def test_the_shipped_example_is_valid() -> None:
    fleet = read_fleet(Path(__file__).parents[2] / "fleet.yaml")
    assert list(fleet.config.versions) == ["v1", "v2", "v3"]


@pytest.mark.parametrize("source", ["iic/SenseVoiceSmall", "fsmn-vad"])
def test_a_hub_id_stays_as_it_is(tmp_path: Path, source: str) -> None:
    fleet = read(tmp_path, SMALL.replace("./m1", source))
    assert fleet.config.versions["v1"].model == source


def test_a_mistyped_folder_is_not_taken_for_a_hub_id(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(InvalidConfig, match="does not exist"):
        read(tmp_path, SMALL.replace("./m1", "models/demo-v9"))


def test_rules_are_read(tmp_path: Path) -> None:
    rules = (
        "rules:\n  - {kind: header, name: X-Tester, value: '1'}\n"
        "  - {kind: time, start: '09:00', end: '18:00', days: [1, 2]}\n"
    )
    assert read(tmp_path, SMALL + rules).config.rules == (
        HeaderRule("X-Tester", "1"),
        TimeRule("09:00", "18:00", days=(1, 2)),
    )


def test_a_proxy_is_trusted_by_its_address_or_range(tmp_path: Path) -> None:
    assert read(tmp_path, SMALL).router.trusted_proxies == ()
    named = SMALL + "router: {trusted_proxies: [10.0.0.5, 'fd00::/8']}\n"
    assert read(tmp_path, named).router.trusted_proxies == ("10.0.0.5/32", "fd00::/8")


def test_recordings_of_users_are_kept_only_where_it_is_said(tmp_path: Path) -> None:
    assert read(tmp_path, SMALL).review == ReviewOptions(keep_audio=False, keep_audio_days=14)
    fleet = read(tmp_path, SMALL + "review: {keep_audio: true, keep_audio_days: 3}\n")
    assert fleet.review == ReviewOptions(keep_audio=True, keep_audio_days=3)
    for wrong in ("keep_audio: perhaps", "keep_audio_days: 0", "keep_days: 3"):
        with pytest.raises(InvalidConfig, match=r"review\."):
            read(tmp_path, SMALL + f"review: {{{wrong}}}\n")


def test_golden_clips_are_heard_only_where_they_are_asked_for(tmp_path: Path) -> None:
    assert read(tmp_path, SMALL).config.golden is None
    asked = SMALL + "probes: {golden: {eval_set: digits, clips: 5, interval: 1m}}\n"
    assert read(tmp_path, asked).config.golden == GoldenCheck("digits", 5, 50.0, 60.0)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("colour: red", "colour: unknown key"),
        ("router: {prot: 1}", "router.prot: unknown key"),
        ("router: {port: 99999}", "router.port"),
        ("probes: {interval: 0}", "probes.interval: must be longer than nothing"),
        ("probes: {golden: {eval_set: digits, clips: 0}}", "probes.golden.clips"),
        ("probes: {golden: {clips: 3}}", "probes.golden.eval_set"),
        ("runtime: podman", "runtime: expected one of auto, docker, process"),
        ("service: 'Bad Name'", "service"),
        ("rules: [{kind: header, name: X, value: y, pool: moon}]", "pool 'moon'"),
        ("rules: [{kind: moon}]", "rules.0: .*unknown kind 'moon'"),
        ("rules: [{kind: address, cidr: 10.0.0.0/99}]", "rules.0"),
        ("rules: [{kind: role, role: tester}]", "a role rule needs router.jwt_key_file"),
        ("limits: {memory_mib: 1}", "limits.memory_mib"),
        ("cookie_prefix: 'a;b'", "cookie_prefix"),
        ("router: {trusted_proxies: [10.0.0.0/8, proxy]}", "router.trusted_proxies.1: .*'proxy'"),
        ("router: {jwt_key_file: nowhere}", "router.jwt_key_file: there is no file"),
        ("eval_sets: nowhere", "eval_sets: .*nowhere is no folder"),
        ("plans: nowhere", "plans: .*nowhere is no folder"),
    ],
)
def test_what_is_wrong_is_refused_with_the_path_of_its_key(
    tmp_path: Path, extra: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        read(tmp_path, SMALL + extra)


def test_an_unknown_stable_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"pools\.stable\.version: unknown version 'v9'"):
        read(tmp_path, SMALL.replace("version: v1", "version: v9"))


def test_a_missing_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"versions\.v1: .*does not exist"):
        read(tmp_path, SMALL.replace("./m1", "./gone"))


@pytest.mark.parametrize("name", ["stable", "V1", "a/b", "backup-v1", "..", "v1;return"])
def test_a_version_name_that_could_mislead_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused):
        read(tmp_path, SMALL.replace("v1:", f'"{name}":'))
