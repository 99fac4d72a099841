"""Nothing that a person can write changes the structure of the configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import crossplane
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.adapters.nginx.render import Place, Secrets, address, fallback_group, quote, render
from controller.adapters.nginx.settings import RouterSettings
from controller.core.errors import InvalidConfig, Refused
from controller.core.routing import (
    CookieRule,
    Endpoint,
    Group,
    HeaderRule,
    Membership,
    RoleRule,
    Routing,
)

anything = st.text(max_size=40)
nasty = st.one_of(
    anything, st.sampled_from(['"; }', "x; include /etc/passwd;", "$host", "\n}", "\\"])
)


def rendered(membership: Membership, routing: Routing, root: str = "/run/r") -> dict[str, str]:
    at = PurePosixPath(root)
    place = Place(at, at / "generations/1", at, at)
    return render(membership, routing, RouterSettings(Path(root)), place, 1, Secrets("salt"))


def parsed(text: str, folder: Path) -> list[dict[str, Any]]:
    path = folder / "nginx.conf"
    path.write_text(text)
    result = crossplane.parse(str(path), check_ctx=False, check_args=False, single=True)
    assert result["status"] == "ok", result["errors"]
    block: list[dict[str, Any]] = result["config"][0]["parsed"]
    return block


def shape(block: list[dict[str, Any]]) -> list[Any]:
    """The directives without their arguments."""
    return [(d["directive"], len(d["args"]), shape(d.get("block", []))) for d in block]


TO_STABLE = Routing("v1")
PLAIN = Membership((Group("v1", (Endpoint("v1-1", "127.0.0.1:1"),)),))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=nasty, node=nasty, host=nasty, rule=nasty, root=nasty, salt=nasty)
def test_the_structure_never_changes(
    name: str, node: str, host: str, rule: str, root: str, salt: str, tmp_path: Path
) -> None:
    expected = shape(parsed(rendered(PLAIN, Routing("v1"))["nginx.conf"], tmp_path))

    def check(membership: Membership = PLAIN, routing: Routing = TO_STABLE, at: str = "/r") -> None:
        text = rendered(membership, routing, at)["nginx.conf"]
        assert shape(parsed(text, tmp_path)) == expected

    for build in (
        lambda: check(Membership((Group(name, PLAIN.groups[0].endpoints),))),
        lambda: check(Membership((Group("v1", (Endpoint(node, "127.0.0.1:1"),)),))),
        lambda: check(Membership((Group("v1", (Endpoint("n", f"{host}:1"),)),))),
        lambda: check(Membership((Group("v1", (Endpoint("n", f"fe80::1%{host}:1"),)),))),
        lambda: check(at="/run/" + root),
        lambda: check(
            routing=Routing(
                name,
                rule,
                5,
                salt,
                (HeaderRule("X", rule), CookieRule("c", rule), RoleRule(rule or "r")),
            )
        ),
    ):
        try:
            build()
        except (Refused, ValueError):
            continue  # refused before anything was written: as good


@pytest.mark.parametrize("path", ["a b", "{}; #1", "späce 空"])
def test_a_path_is_one_parameter_whatever_is_in_it(path: str, tmp_path: Path) -> None:
    block = parsed(f"pid {quote(path)};", tmp_path)
    assert block[0]["args"] == [path]


@pytest.mark.parametrize("path", ["$HOME", "a\nb", "a\0b", 'a"b', "a\\b", "it's"])
def test_a_path_that_nginx_cannot_take_is_refused(path: str) -> None:
    with pytest.raises(InvalidConfig, match="cannot take"):
        quote(path)


def test_an_address_is_written_anew() -> None:
    assert address("127.0.0.1:80") == "127.0.0.1:80"
    assert address("[::1]:80") == address("::1:80".replace("::1", "[0:0::1]")) == "[::1]:80"
    for wrong in ("node:80", "fe80::1%eth0:80", ":80"):
        with pytest.raises(Refused):
            address(wrong)


def test_the_fallback_is_stable_then_backup_then_any_but_the_canary_last() -> None:
    def groups(*names: str) -> Membership:
        return Membership(tuple(Group(n, PLAIN.groups[0].endpoints) for n in names))

    routing = Routing("v1", "v2", 5)
    assert fallback_group(groups("v2", "backup", "v1"), routing) == "v1"
    assert fallback_group(groups("v2", "backup"), routing) == "backup"
    assert fallback_group(groups("v2", "v3"), routing) == "v3"
    assert fallback_group(groups("v2"), routing) == "v2"
    assert fallback_group(groups(), routing) == ""


def test_backups_stand_behind_stable_only(tmp_path: Path) -> None:
    backup = Group("backup", (Endpoint("backup-1", "127.0.0.1:9"),))
    config = rendered(Membership((*PLAIN.groups, backup)), Routing("v1"))["nginx.conf"]
    http = next(d for d in parsed(config, tmp_path) if d["directive"] == "http")["block"]
    with_backup = [
        upstream["args"][0]
        for upstream in http
        if upstream["directive"] == "upstream"
        and any("backup" in d["args"] for d in upstream["block"])
    ]
    assert with_backup == ["v1.stable"]


def test_no_secret_and_no_rule_is_in_the_configuration() -> None:
    place = Place(*(PurePosixPath(path) for path in ("/r", "/r/g", "/r/s", "/r/p")))
    routing = Routing("v1", "v2", 5, "salty", (HeaderRule("X-Beta", "hidden"),))
    files = render(PLAIN, routing, RouterSettings(Path("/r")), place, 1, Secrets("pepper", "a2V5"))
    assert not any(word in files["nginx.conf"] for word in ("pepper", "a2V5", "hidden", "salty"))
    assert json.loads(files["secrets.json"]) == {"log_salt": "pepper", "jwt_key": "a2V5"}


# Transcripts stream; and a variable only ever names an upstream of this configuration.
_DELIBERATE = "proxy_buffering_off,stale_dns_cache"


def test_a_checker_of_insecure_configurations_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text(rendered(PLAIN, TO_STABLE)["nginx.conf"])
    checker = Path(sys.executable).with_name("gixy-next")
    checked = subprocess.run(
        [checker, "--skips", _DELIBERATE, path], capture_output=True, text=True
    )
    assert (checked.returncode, "Problem" in checked.stdout) == (0, False), checked.stdout
