"""Alerts and dashboard ask only for series that the programs export, by labels that these have."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Final

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from luna_api_shim.metrics import Metrics as ShimMetrics
from luna_operator.metrics import Metrics as OperatorMetrics
from luna_processor.delivery.outbox import Outbox
from luna_processor.delivery.spool import Spool
from luna_processor.interface.metrics import OUTCOMES, StreamCollector, StreamFigures
from luna_processor.interface.metrics import Metrics as ProcessorMetrics
from luna_processor.streams.stats import StreamStats
from luna_streams.stream import StreamState
from support.apiservers import ApiServer
from support.charts import EVERYTHING, PREFIX, Json, one, render
from support.repository import CHART, ROOT
from support.shims import a_deployment

ALERTS: Final = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["alerts"]
DASHBOARD: Final = json.loads((CHART / "files" / "dashboard.json").read_text())
OF_EVERY_TARGET: Final = {"luna_release", "namespace", "pod", "job", "le"}
"""Labels that Prometheus or the monitors add, and that of a histogram's buckets."""

_NAME = re.compile(r"\b(?:luna_(?!release\b)|request_count|process_)\w+")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_SELECTED = re.compile(r"(\w+)\{([^}]*)\}")


def queries() -> Iterator[tuple[str, str]]:
    """Yield every query with the place it stands at."""
    for alert in ALERTS:
        yield f"alert {alert['alert']}", alert["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]


QUERIES: Final = [pytest.param(text, id=f"{number}: {place}") for number, (place, text) in enumerate(queries())]


@pytest.fixture(scope="module")
def exported(embedded_api: ApiServer) -> dict[str, set[str]]:
    """Every series that shim, operator and processor export, with its labels."""
    return asyncio.run(all_series(embedded_api))


async def all_series(embedded_api: ApiServer) -> dict[str, set[str]]:
    """Return the series of the three programs; the shim is a whole one, since its parts bring their own."""
    processor = ProcessorMetrics()
    processor.registry.register(StreamCollector(lambda: [StreamFigures("id", "name", StreamStats())]))
    outbox = Outbox(Spool(None), 1)
    processor.watch_spool(outbox)
    outbox.close()
    found = series(OperatorMetrics().registry) | series(processor.registry)
    async with a_deployment(embedded_api) as deployment, deployment.shim() as shim:
        # Not what /metrics shows: a metric tells its labels there only once it was used.
        return found | series(shim.service.app.state.context.metrics._registry)


def series(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Return the names of a registry's series as Prometheus knows them, and their labels."""
    found: dict[str, set[str]] = {}
    for collector in registry._collector_to_names:
        # Metrics know their labels themselves; families that a collector makes bring them along.
        labels = getattr(collector, "_labelnames", None)
        for family in collector.collect():
            own = set(labels if labels is not None else getattr(family, "_labelnames", ()))
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
            found |= {family.name + suffix: own for suffix in suffixes}
    return found


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_asks_for_what_is_exported(text: str, exported: dict[str, set[str]]) -> None:
    names = _NAME.findall(text)
    assert names
    assert [name for name in names if name not in exported] == []


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_asks_by_labels_that_the_series_have(text: str, exported: dict[str, set[str]]) -> None:
    labels = set().union(*(exported[name] for name in _NAME.findall(text))) | OF_EVERY_TARGET
    grouped = {label.strip() for group in _GROUPED.findall(text) for label in group.split(",")}
    assert grouped <= labels
    for name, matchers in _SELECTED.findall(text):
        assert set(re.findall(r"(\w+)[=!]~?", re.sub(r'"[^"]*"', "", matchers))) <= exported[name] | OF_EVERY_TARGET


@pytest.mark.parametrize("text", [pytest.param(a["expr"], id=a["alert"]) for a in ALERTS])
def test_an_alert_looks_at_its_own_release_alone(text: str) -> None:
    assert len(_NAME.findall(text)) == text.count('luna_release="$release"')


@pytest.mark.parametrize("alert", [pytest.param(a, id=a["alert"]) for a in ALERTS])
def test_the_texts_of_an_alert_name_labels_that_its_query_leaves(alert: Json) -> None:
    told = set(re.findall(r"\$labels\.(\w+)", alert["summary"] + alert["description"]))
    left = {label.strip() for group in _GROUPED.findall(alert["expr"]) for label in group.split(",")}
    assert told <= left
    assert alert["severity"] in ("critical", "warning")


def test_statuses_that_are_asked_for_exist() -> None:
    asked = {status for _, text in queries() for status in re.findall(r'\bstatus="(\w+)"', text)}
    assert asked
    assert asked <= {state.value for state in StreamState}


def test_outcomes_that_are_told_exist() -> None:
    (alert,) = [item for item in ALERTS if item["alert"] == "LunaStreamsBestShotsLost"]
    told = {word for group in re.findall(r"\(([a-z_, ]+)\)", alert["description"]) for word in group.split(", ")}
    (documented,) = [
        m.documentation for m in ProcessorMetrics().registry.collect() if m.name == "luna_processor_best_shots"
    ]
    assert all(outcome in documented for outcome in told)


def test_what_alerts_count_is_shown_before_it_happens_first() -> None:
    """Prometheus sees no increase in a series that begins with the eight streams of a lost node."""
    processor = text_of(ProcessorMetrics().registry)
    shots = [f'luna_processor_best_shots_total{{outcome="{outcome}"}} 0.0' for outcome in OUTCOMES]
    assert [line for line in shots if line not in processor] == []
    shim = text_of(ShimMetrics()._registry)
    changes = [f'luna_streams_status_changes_total{{status="{state.value}"}} 0.0' for state in StreamState]
    assert [line for line in changes if line not in shim] == []


def text_of(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


def test_panels_do_not_overlap_and_ask_the_chosen_source_and_release() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
            assert len(_NAME.findall(target["expr"])) == target["expr"].count('luna_release=~"$release"')
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_rule_and_the_dashboard_are_installed_as_they_stand() -> None:
    made = render(EVERYTHING)
    assert json.loads(one(made, "ConfigMap", "-dashboard")["data"]["luna-streams.json"]) == DASHBOARD
    (group,) = one(made, "PrometheusRule")["spec"]["groups"]
    kept = [alert for alert in ALERTS if alert["alert"] != "LunaStreamsPluginDown"]
    assert [rule["alert"] for rule in group["rules"]] == [alert["alert"] for alert in kept]
    for rule, alert in zip(group["rules"], kept, strict=True):
        assert rule["expr"] == alert["expr"].strip().replace("$release", f"luna/{PREFIX}")
        assert rule["labels"] == {"team": "video", "severity": alert["severity"], "luna_release": f"luna/{PREFIX}"}
        assert "$release" not in json.dumps(rule)


def test_the_monitors_put_the_release_on_every_series() -> None:
    made = render(EVERYTHING)
    specs = [item["spec"] for item in made if item["kind"] in ("ServiceMonitor", "PodMonitor")]
    assert len(specs) == 3
    for spec in specs:
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        (relabeling,) = endpoint["relabelings"]
        assert relabeling == {"action": "replace", "targetLabel": "luna_release", "replacement": f"luna/{PREFIX}"}
        assert endpoint["honorLabels"] is True


def test_the_monitors_find_what_they_scrape() -> None:
    made = render(EVERYTHING)
    for component in ("operator", "shim"):
        service = one(made, "Service", component)
        monitor = one(made, "ServiceMonitor", component)["spec"]
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_every_alert_is_explained() -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    assert set(re.findall(r"`(LunaStreams\w+)`", page)) == {alert["alert"] for alert in ALERTS}
