"""What is asked of the engine, as data; no engine needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from docker.types import DeviceRequest, Mount

from controller.adapters.api_keys import ApiKeys
from controller.adapters.docker.node_container import node_command, node_container, observed_node
from controller.adapters.docker.settings import DockerSettings
from controller.core.version import Version
from controller.engine.ports.runtime import NodeSpec, ObservedNode

SETTINGS = DockerSettings(service="asr", state_dir=Path("/state"), memory="4g", cpus=1.5)


def a_spec(device: str = "auto", **version: object) -> NodeSpec:
    return NodeSpec("v2-1", Version(**{"name": "v2", "model": "/m/v2", **version}), device)  # type: ignore[arg-type]


def test_folders_are_mounted_read_only_by_role_and_named_as_mounted() -> None:
    spec = a_spec(vad_model="/m/vad", punc_model="iic/punc", language="zh", itn=False)
    assert " ".join(node_command(spec)) == (
        "--host 0.0.0.0 --port 8000 --name v2-1 --device auto --data-dir /data "
        "--version v2 --model /models/model --language zh --no-itn "
        "--vad-model /models/vad --punc-model iic/punc"
    )
    assert node_container(spec, SETTINGS)["mounts"] == [
        Mount("/models/model", "/m/v2", type="bind", read_only=True),
        Mount("/models/vad", "/m/vad", type="bind", read_only=True),
        Mount("/data", "/state/nodes/v2-1", type="bind"),
        Mount("/hub", "/state/hub", type="bind"),
    ]


def test_keys_are_named_as_the_container_sees_them_and_stand_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text("key-of-the-controller")
    container = node_container(a_spec(), replace(SETTINGS, api_keys=ApiKeys(file)))
    assert " ".join(container["command"]).endswith("--api-keys-file /data/api.keys")
    assert "key-of-the-controller" not in str(container)


def test_copies_are_kept_only_where_that_is_asked_for() -> None:
    assert "--keep-copies" not in node_container(a_spec(), SETTINGS)["command"]
    asked = replace(SETTINGS, keep_copies=True)
    assert node_container(a_spec(), asked)["command"][-1] == "--keep-copies"


def test_a_version_of_folders_alone_gets_no_hub_folder() -> None:
    targets = [mount["Target"] for mount in node_container(a_spec(), SETTINGS)["mounts"]]
    assert targets == ["/models/model", "/data"]


def test_a_container_gets_the_one_gpu_named_and_sees_it_as_its_first() -> None:
    spec = a_spec(device="cuda:3")
    container = node_container(spec, SETTINGS)
    (request,) = container["device_requests"]
    assert request == DeviceRequest(device_ids=["3"], capabilities=[["gpu"]])
    assert "--device cuda:0" in " ".join(container["command"])
    assert container["labels"]["asr-rollout.device"] == "cuda:3"
    assert node_container(a_spec(device="cpu"), SETTINGS)["device_requests"] == []


def test_the_image_is_the_versions_or_else_the_default() -> None:
    assert node_container(a_spec(), SETTINGS)["image"] == "asr-rollout/node:dev"
    assert node_container(a_spec(image="asr:2"), SETTINGS)["image"] == "asr:2"


def test_limits_are_passed_on_and_forbid_swap() -> None:
    container = node_container(a_spec(), SETTINGS)
    assert (container["mem_limit"], container["memswap_limit"]) == ("4g", "4g")
    assert container["nano_cpus"] == 1_500_000_000


def observed(status: str, started_at: str, ip: str = "") -> ObservedNode:
    return observed_node(
        {
            "Id": "abc",
            "Created": "2026-01-02T03:04:05.123456789Z",
            "State": {"Status": status, "StartedAt": started_at, "ExitCode": 0},
            "Config": {"Labels": node_container(a_spec(), SETTINGS)["labels"]},
            "NetworkSettings": {"Networks": {"asr-asr": {"IPAddress": ip}}},
        },
        SETTINGS,
    )


def test_a_container_that_never_started_has_no_exit_status() -> None:
    node = observed("created", "0001-01-01T00:00:00Z")
    assert (node.running, node.exit_status, node.address) == (False, None, None)
    assert node.started_at.isoformat() == "2026-01-02T03:04:05.123456+00:00"


def test_a_container_that_is_paused_runs_and_is_known_to_do_nothing() -> None:
    paused = observed("paused", "2026-01-02T03:04:06Z", "172.18.0.2")
    assert (paused.running, paused.paused) == (True, True)
    assert not observed("running", "2026-01-02T03:04:06Z", "172.18.0.2").paused
