"""What `rollout doctor` says of the ports and of a controller that has them."""

from __future__ import annotations

import socket
from pathlib import Path

from benchmarks.ports import free_port
from controller.adapters.fleet_file import RouterOptions
from controller.adapters.state_folder import ControllerAddress, StateFolder
from controller.doctor import running_or_free_ports
from controller.settings import Settings


def said(settings: Settings, router_port: int) -> list[tuple[bool, str]]:
    router = RouterOptions(host="127.0.0.1", port=router_port)
    return [(finding.ok, finding.what) for finding in running_or_free_ports(settings, router)]


def test_a_controller_that_runs_on_the_state_folder_is_no_fault(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.lock()
    folder.write_address(ControllerAddress("http://127.0.0.1:8090", 1, "fleet.yaml", "process"))
    with socket.create_server(("127.0.0.1", 0)) as router:
        findings = said(Settings(state_dir=tmp_path), router.getsockname()[1])
    folder.unlock()
    assert findings == [(True, "a controller runs here: http://127.0.0.1:8090")]


def test_without_one_both_ports_must_be_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        settings = Settings(state_dir=tmp_path / "none", port=taken)
        (router_ok, _), (api_ok, what) = said(settings, free_port())
    assert router_ok
    assert not api_ok
    assert f"the API cannot listen on 127.0.0.1:{taken}" in what
