"""`deploy/kubernetes`: the manifests against the schemas of Kubernetes, and against the settings and real servers.

The kustomizations list resources, and patches of a ConfigMap, so a few lines here resolve them. Where kubectl is on
this machine, its kustomize has to make the same of them. No cluster ever ran them.
"""

import asyncio
import http.client
import os
import shutil
import subprocess
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

import kubernetes_validate
import nats
import pytest
import yaml

from src.common.subjects import STREAMS
from src.demo.child_process import start_child
from src.demo.nats_server import HOST, find_binary, free_port
from src.gateway.market_bus import make_bus
from src.gateway.settings import Settings, unknown_variables
from tests.documents import ROOT
from tests.test_repository import compose, dockerfile
from tests.waiting import LIMIT_S, Inbox, until

KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
BASE: Final = KUBERNETES / "base"
OVERLAY: Final = KUBERNETES / "overlays" / "nats-cluster"
VERSIONS: Final = ("1.30", "1.37")
STOP_S: Final = 2.0  # of docs/configuration.md: what a stop may take beyond GATEWAY_DRAIN

Manifest = dict[str, Any]


def manifests(folder: Path) -> list[Manifest]:
    """What a kustomization stands for."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization.keys() <= {"apiVersion", "kind", "resources", "patches"}, "all else is not resolved here"
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        found += manifests(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for patch in kustomization.get("patches", ()):
        change = yaml.safe_load((folder / patch["path"]).read_text())
        (target,) = [each for each in found if identity(each) == identity(change)]
        assert change["kind"] == "ConfigMap", "other kinds are merged by rules of their own"
        target["data"] |= change["data"]
    return found


def identity(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def named(folder: Path, kind: str, name: str) -> Manifest:
    (found,) = [each for each in manifests(folder) if identity(each) == (kind, name)]
    return found


def gateway_pod() -> Manifest:
    spec: Manifest = named(BASE, "Deployment", "spymaster-gateway")["spec"]["template"]["spec"]
    return spec


def gateway_environment(folder: Path = BASE) -> dict[str, str]:
    environment: dict[str, str] = named(folder, "ConfigMap", "spymaster-gateway")["data"]
    return environment


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=["base", "overlay"])
def test_each_manifest_is_what_kubernetes_takes(folder: Path, version: str) -> None:
    found = manifests(folder)
    assert len({identity(each) for each in found}) == len(found) >= 6
    for manifest in found:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=["base", "overlay"])
def test_every_file_belongs_to_a_kustomization(folder: Path) -> None:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = kustomization["resources"] + [patch["path"] for patch in kustomization.get("patches", ())]
    assert {path.name for path in folder.glob("*.yaml")} == {
        "kustomization.yaml",
        *(name for name in listed if name.endswith(".yaml")),
    }


def test_kustomize_makes_the_same_of_them() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    built = subprocess.run(["kubectl", "kustomize", str(OVERLAY)], capture_output=True, check=True, text=True).stdout
    assert sorted(yaml.safe_load_all(built), key=identity) == sorted(manifests(OVERLAY), key=identity)


@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=["base", "overlay"])
def test_the_settings_are_settings_and_fit_the_pod(folder: Path) -> None:
    environment = gateway_environment(folder)
    settings = Settings.from_environment(environment)
    assert unknown_variables(environment) == []
    assert settings.consumers == "ephemeral"
    pod = gateway_pod()
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] >= settings.pre_stop_s + settings.drain_s + STOP_S
    readiness = container["readinessProbe"]
    assert settings.pre_stop_s > readiness["periodSeconds"] * readiness["failureThreshold"], "else it is not seen"
    assert "lifecycle" not in container, "the wait before the drain is the gateway's own"
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > settings.connect_timeout_s
    assert [port["containerPort"] for port in container["ports"]] == [settings.port]
    assert pod["enableServiceLinks"] is False, "else a Service `gateway` sets GATEWAY_PORT"


def test_the_probes_ask_what_they_are_for() -> None:
    (container,) = gateway_pod()["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert asked == {"startup": "/health", "readiness": "/ready?stale=ok", "liveness": "/health"}


def test_the_images_are_those_of_the_compose_file() -> None:
    services = compose()["services"]
    (gateway,) = gateway_pod()["containers"]
    (nats,) = named(OVERLAY, "StatefulSet", "nats")["spec"]["template"]["spec"]["containers"]
    assert (gateway["image"], nats["image"]) == (services["gateway"]["image"], services["nats"]["image"])
    assert f"USER {gateway_pod()['securityContext']['runAsUser']}" in dockerfile()


def test_the_gateways_find_the_nats_of_the_overlay() -> None:
    (port,) = named(OVERLAY, "Service", "nats")["spec"]["ports"]
    assert gateway_environment()["NATS_URL"] == f"nats://nats:{port['port']}"


async def test_three_real_nodes_with_this_configuration_are_a_cluster_that_keeps_the_streams_of_a_gateway(
    tmp_path: Path,
) -> None:
    """Only ports and the folder of the store are changed. Probe, signal and settings are those of the pods."""
    (container,) = named(OVERLAY, "StatefulSet", "nats")["spec"]["template"]["spec"]["containers"]
    probe = container["readinessProbe"]["httpGet"]["path"]
    ports = [[free_port() for _ in range(3)] for _ in range(3)]
    nodes = [node(number, ports, tmp_path) for number in range(3)]
    try:
        await until(lambda: all(is_healthy(monitor, probe) for _, monitor, _ in ports), "all three are ready")
        await see_that_streams_are_on_all(",".join(f"nats://{HOST}:{client}" for client, _, _ in ports))
        *_, option = container["lifecycle"]["preStop"]["exec"]["command"]
        pid_file = tmp_path / "0" / "nats.pid"
        signal = option.replace("/tmp/nats.pid", str(pid_file))
        await asyncio.to_thread(subprocess.run, [find_binary(), "--signal", signal], check=True)
        await until(lambda: nodes[0].poll() == 0, "the first has left", limit_s=60)
        assert all(is_healthy(monitor, "/healthz?js-enabled-only=true") for _, monitor, _ in ports[1:])
    finally:
        for process in nodes:
            process.kill()
            process.wait()


async def see_that_streams_are_on_all(nats_url: str) -> None:
    """A bus with the settings of the pods makes them, with bounds for which the store has room."""
    settings = Settings.from_environment(gateway_environment(OVERLAY) | {"NATS_URL": nats_url})
    bus = make_bus(settings)
    await bus.connect()
    try:
        for subject in STREAMS:
            await bus.subscribe(subject, Inbox())
        await until(lambda: all(one.trouble is None for one in bus.subscriptions), "JetStream brings both", limit_s=30)
    finally:
        await bus.close()
    client = await nats.connect(nats_url.split(","))
    jetstream = client.jetstream(timeout=10)
    for spec in STREAMS.values():
        made = (await jetstream.stream_info(spec.name)).config
        assert (made.num_replicas, made.max_bytes) == (3, settings.stream_max_bytes)
    await client.close()


def node(number: int, ports: list[list[int]], folder: Path) -> "subprocess.Popen[bytes]":
    """Started with the ports for clients, of the monitor and for the cluster of each node."""
    own = folder / str(number)
    own.mkdir()
    text = nats_configuration().replace("/data", str(own / "data"))
    for name, port in zip(("4222", "8222", "6222"), ports[number], strict=True):
        text = text.replace(f"0.0.0.0:{name}", f"{HOST}:{port}")
    for other, (_, _, cluster) in enumerate(ports):
        text = text.replace(f"nats-{other}.nats-nodes:6222", f"{HOST}:{cluster}")
    (own / "nats.conf").write_text(text)
    with (own / "log").open("wb") as log:
        return start_child(
            [find_binary(), "--config", str(own / "nats.conf"), "--pid", str(own / "nats.pid")],
            death_signal=SIGKILL,
            output=log,
            env={**os.environ, "POD_NAME": f"nats-{number}"},
        )


def is_healthy(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=LIMIT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def nats_configuration() -> str:
    text: str = named(OVERLAY, "ConfigMap", "nats")["data"]["nats.conf"]
    return text


def test_the_nodes_name_each_other_and_have_room_for_what_they_may_store() -> None:
    stateful_set = named(OVERLAY, "StatefulSet", "nats")
    replicas, service = stateful_set["spec"]["replicas"], stateful_set["spec"]["serviceName"]
    text = nats_configuration()
    assert text.count("nats-route://") == replicas
    assert all(f"nats-route://nats-{number}.{service}:6222" in text for number in range(replicas))
    (claim,) = stateful_set["spec"]["volumeClaimTemplates"]
    assert (claim["spec"]["resources"]["requests"]["storage"], "max_file_store: 26GB" in text) == ("30Gi", True)
