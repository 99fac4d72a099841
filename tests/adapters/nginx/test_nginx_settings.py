"""What cannot be is refused before anything is served."""

from __future__ import annotations

from pathlib import Path

import pytest
from router_bench import Bench

from controller.adapters.nginx.nginx_version import check_build
from controller.adapters.nginx.settings import RouterSettings
from controller.core.errors import InvalidConfig, RouterUnavailable
from controller.core.routing import Routing


def test_an_nginx_that_cannot_do_it_is_refused() -> None:
    check_build("nginx version: nginx/1.31.3\n--add-module=njs-0.9.9 headers-more-nginx-module")
    with pytest.raises(RouterUnavailable, match=r"1\.27\.4.*njs.*headers-more"):
        check_build("nginx version: nginx/1.22.1\nconfigure arguments: --with-http_v2_module")
    with pytest.raises(RouterUnavailable, match="no nginx"):
        check_build("command not found")


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"host": "0.0.0.0; }"},
        {"host": "fe80::1%x;"},
        {"cookie": "a b"},
        {"max_body_bytes": 0},
        {"trusted_proxies": ("10.0.0.0/8; }",)},
        {"worker_processes": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidConfig, match=f"router: {next(iter(wrong))}"):
        RouterSettings(tmp_path, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [b"short", b"-----BEGIN PUBLIC KEY-----\n" + b"x" * 40])
async def test_a_key_that_is_no_hs256_secret_is_refused(
    bench: Bench, key: bytes, tmp_path: Path
) -> None:
    (tmp_path / "jwt key").write_bytes(key)
    with pytest.raises(InvalidConfig, match="jwt_key_file"):
        await bench.router.start(bench.membership(v1=1), Routing("v1"))
