"""`deploy/`: Prometheus takes the files, each alert fires and is silent as it should, and all metrics named are there.

The gateway and Prometheus are real. Without Prometheus on this machine (Debian: `apt install prometheus`) they skip.
"""

import asyncio
import http.client
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from src.common import tasks
from src.demo.child_process import end, start_child
from src.demo.nats_server import HOST, NatsServer, free_port
from tests.documents import ROOT
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.viewer import Viewer
from tests.test_repository import compose
from tests.waiting import LIMIT_S, until

DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus-alerts.yml"
ALERT_TESTS = [DEPLOY / "prometheus-alerts-test.yml", DEPLOY / "prometheus-session-alerts-test.yml"]
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
WORDS = {"and", "or", "unless", "by", "on", "without", "group_left", "inf"}
OF_PROMETHEUS = {"up"}
RANGE_S = 10  # what Grafana would choose for $__rate_interval; here a scrape is a second


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def drawn() -> list[str]:
    """Every expression of the dashboard."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def metrics_in(expression: str) -> set[str]:
    """What is left of an expression without its strings, labels, ranges, functions and operators."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|without|group_left) *\([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-z_]+\b(?! *\()", bare)) - WORDS


@pytest.fixture(scope="module")
def promtool() -> str:
    return _program("promtool")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


# -- the files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint=all", "--lint-fatal", "prometheus-alerts.yml"],
        *[["test", "rules", path.name] for path in ALERT_TESTS],
    ],
    ids=" ".join,
)
def test_promtool_is_content(promtool: str, arguments: list[str]) -> None:
    checked = subprocess.run([promtool, *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_is_tried_firing_and_silent() -> None:
    fires: set[str] = set()
    is_silent: set[str] = set()
    for path in ALERT_TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for look in case["alert_rule_test"]:
                (fires if look["exp_alerts"] else is_silent).add(look["alertname"])
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert fires == is_silent == set(names)


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "action"}


def test_the_markets_hours_are_the_gateways_and_stand_in_no_rule() -> None:
    expressions = {rule["alert"]: rule["expr"] for rule in rules()}
    assert not [name for name, text in expressions.items() if re.search(r"\b(hour|minute|day_of_\w+)\(", text)]
    by_hours = {name for name, text in expressions.items() if "gateway_market_open" in text}
    assert by_hours == {"GatewayStateStale", "GatewayNoState"}, "all that a silent Core fires"


def test_the_example_finds_the_gateway_by_the_name_that_alerts_and_dashboard_use() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    expressions = [rule["expr"] for rule in rules()] + drawn()
    assert {name for text in expressions for name in re.findall(r'job="(\w+)"', text)} == {job["job_name"]}


def test_compose_gives_prometheus_and_grafana_files_that_are_there_and_name_each_other() -> None:
    services = compose()["services"]
    for name in ("prometheus", "grafana"):
        files = [volume.split(":") for volume in services[name]["volumes"] if volume.startswith("./")]
        assert all((ROOT / source).is_file() and mode == "ro" for source, _, mode in files)
    mounted = {Path(source).name: target for source, target, _ in files}
    (provider,) = yaml.safe_load((DEPLOY / "grafana-dashboards.yml").read_text())["providers"]
    assert Path(mounted["grafana-dashboard.json"]).parent == Path(provider["options"]["path"])
    (source,) = yaml.safe_load((DEPLOY / "grafana-datasources.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (target,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]["static_configs"]
    assert target["targets"] == ["gateway:8000"]
    assert services["gateway"]["ports"] == ["8000:8000"]


def test_the_panels_of_the_dashboard_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        squares = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not squares & taken, panel["title"]
        taken |= squares
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_each_panel_says_what_it_shows_and_asks_the_chosen_source() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        for asking in [panel, *panel["targets"]]:
            assert asking["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ('up{job="gateway"} == 0 or absent(up{job="gateway"})', {"up"}),
        ('sum by (a, b) (rate(x_total{c!~"d|e"}[5m])) / on (a) group_left () y > 0.1', {"x_total", "y"}),
        ("hour() * 60 + minute() >= 870 < 1200", set()),
    ],
)
def test_the_metrics_of_an_expression_are_found(expression: str, metrics: set[str]) -> None:
    assert metrics_in(expression) == metrics


# -- against a running gateway -----------------------------------------------------------------------------------------


class Prometheus:
    """A Prometheus as `deploy/prometheus.yml` says, but once a second, of one gateway."""

    def __init__(self, folder: Path, gateway: GatewayProcess) -> None:
        self.port = free_port()
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(ALERTS)]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [f"{HOST}:{gateway.port}"]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with (folder / "log").open("wb") as log:
            command = [
                _program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={HOST}:{self.port}",
            ]
            self._process = start_child(command, death_signal=SIGKILL, output=log)

    def ask(self, path: str) -> Any:
        """What its API says; None while it does not answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=LIMIT_S)
        try:
            connection.request("GET", f"/api/v1/{path}")
            return json.loads(connection.getresponse().read())["data"]
        except (OSError, ValueError, KeyError):
            return None
        finally:
            connection.close()

    def knows(self, expression: str) -> bool:
        """Whether an expression of the dashboard has samples, and numbers in all of them."""
        expression = expression.replace("$__rate_interval", f"{RANGE_S}s").replace("$instance", ".*")
        answer = self.ask(f"query?query={quote(expression)}")
        samples = answer["result"] if answer else []
        return bool(samples) and all(sample["value"][1] != "NaN" for sample in samples)

    def end(self) -> None:
        end(self._process, patience_s=5)


@pytest.fixture
async def busy(gateway: GatewayProcess, nats_server: NatsServer) -> AsyncIterator[GatewayProcess]:
    """A gateway with a viewer, which is sent levels with viewport, and flow, several times a second."""

    async def publish_on(publisher: Publisher) -> None:
        number = 0
        while True:
            number += 1
            await publisher.levels(number, viewport={"targets": []})
            await publisher.flow(number)
            await asyncio.sleep(0.1)  # its rate, not a wait

    async with Publisher(nats_server) as publisher, Viewer(gateway) as viewer:
        publishing = asyncio.create_task(publish_on(publisher))
        await until(lambda: {"flow", "levels", "viewport"} <= viewer.newest.keys(), "all sections")
        yield gateway
        await tasks.end(publishing)


async def test_every_metric_that_is_named_is_exported(busy: GatewayProcess) -> None:
    page = (await asyncio.to_thread(busy.get, "/metrics")).body.decode()
    exported = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    for expression in [rule["expr"] for rule in rules()] + drawn():
        named = metrics_in(expression)
        assert named, expression
        assert named <= exported | OF_PROMETHEUS, expression


async def test_prometheus_finds_something_for_every_panel_and_no_alert(busy: GatewayProcess, tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    prometheus = Prometheus(folder, busy)
    try:
        for expression in drawn():
            await until(partial(prometheus.knows, expression), f"a number for {expression}")
        groups = prometheus.ask("rules")["groups"]
        assert [rule["health"] for group in groups for rule in group["rules"]] == ["ok"] * len(rules())
        assert prometheus.ask("alerts")["alerts"] == []
    finally:
        prometheus.end()
