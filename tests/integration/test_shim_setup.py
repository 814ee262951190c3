"""How a shim is set up and fares: /config, /plugins, /metrics, the health of other services; over REST."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luna_api_shim.__main__ import main
from support.apiservers import ApiServer
from support.builders import v2_body
from support.http_servers import serving
from support.repository import ROOT
from support.shims import Deployment, Shim, a_deployment
from support.waiting import eventually
from support.worker import DocumentedWorker

LINK = "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-"


@pytest.fixture
async def deployment(embedded_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(embedded_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        yield shim


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", [1, 2])
async def test_the_configuration_is_shown_as_json_and_as_text(deployment: Deployment, api: int) -> None:
    async with deployment.shim(influx_token="s3cret-marker", stream_quota=7) as shim:
        answer = await shim.http.get(f"/{api}/config")
        text = await shim.http.get(f"/{api}/config", headers={"Accept": "text/plain"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json()["INFLUX_MONITORING"]["TOKEN"] == "********"
    assert answer.json()["LUNA_STREAMS"]["STREAM_QUOTA"] == 7
    assert answer.json()["KUBERNETES"]["NAMESPACE"] == deployment.namespace
    assert (text.status_code, text.headers["Content-Type"]) == (200, "text/plain")
    assert text.text.startswith("[INFLUX_MONITORING]\nSEND_DATA_FOR_MONITORING = 0\nVERSION = 2\n")
    assert "\nTOKEN = ********\n" in text.text
    assert "s3cret-marker" not in answer.text + text.text


@pytest.mark.parametrize("api", [1, 2])
async def test_another_form_of_the_configuration_is_refused_as_documented(shim: Shim, api: int) -> None:
    answer = await shim.http.get(f"/{api}/config", headers={"Accept": "application/x-yaml"})
    assert answer.status_code == 415
    assert answer.json() == {
        "error_code": 12024,
        "detail": "Bad/incomplete input data",
        "desc": "Unsupported media type",
        "link": f"{LINK}12024",
    }


# --- plugins ----------------------------------------------------------------------------------------------------------

PLUGINS = """
import asyncio
from prometheus_client import Gauge

async def doors(context):
    seen = Gauge("luna_plugin_doors_streams", "Streams", registry=context.registry)
    async for change in context.changes():
        seen.set(sum(1 for _ in context.streams()))

async def hopeless(context):
    raise ConnectionError("the recorder is off")
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with two plugins."""
    info = tmp_path / "door_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: door-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[luna_streams.shim_plugins]\ndoors = door_plugins:doors\nhopeless = door_plugins:hopeless\n"
    )
    (tmp_path / "door_plugins.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("api", [1, 2])
async def test_without_plugins_the_list_is_empty(shim: Shim, api: int) -> None:
    assert (await shim.http.get(f"/{api}/plugins")).json() == {"plugins": []}


async def test_plugins_of_another_distribution_run_next_to_the_service(
    deployment: Deployment, plugins: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with deployment.shim(active_plugins="doors, hopeless") as shim:
        await eventually(lambda: shim.service.plugins.states[1].failures, "a plugin has failed")
        for api in (1, 2):
            assert (await shim.http.get(f"/{api}/plugins")).json() == {
                "plugins": [{"name": "doors", "running": 1}, {"name": "hopeless", "running": 0}]
            }
        assert "plugin hopeless: failed, is started again in 1 s: ConnectionError: the recorder is off" in caplog.text
        await shim.create(v2_body())
        await shim.create(v2_body())
        text = ""
        for _ in range(200):
            text = (await shim.http.get("/metrics")).text
            if "luna_plugin_doors_streams 2.0" in text:
                break
        assert "luna_plugin_doors_streams 2.0" in text
        assert 'luna_streams_shim_plugin_running{plugin="doors"} 1.0' in text
    assert [state.is_running for state in shim.service.plugins.states] == [False, False]


def test_a_plugin_that_is_not_installed_is_one_clear_line(
    embedded_api: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--active-plugins", "foo", "--port", "0", "--kubeconfig", str(embedded_api.kubeconfig)]) == 2
    assert capsys.readouterr().err == (
        "luna-streams shim: LUNA_SHIM_ACTIVE_PLUGINS: there is no plugin 'foo'; installed: influx_monitoring\n"
    )


class Influx:
    """Takes points as InfluxDB 2 does, or answers something else."""

    def __init__(self) -> None:
        self.status = 204
        self.requests: list[tuple[dict[str, str], str | None]] = []
        self.lines: list[str] = []
        self.app = Starlette(routes=[Route("/api/v2/write", self._write, methods=["POST"])])

    async def _write(self, request: Request) -> Response:
        self.requests.append((dict(request.query_params), request.headers.get("authorization")))
        body = (await request.body()).decode()
        if self.status == 204:
            self.lines += body.split("\n")
        return Response(status_code=self.status)


async def test_requests_are_written_to_influxdb_also_those_of_its_absence(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    influx = Influx()
    influx.status = 503
    async with serving(influx.app) as origin:
        monitored: dict[str, Any] = {
            "active_plugins": "influx_monitoring",
            "influx_port": int(origin.rpartition(":")[2]),
            "influx_organization": "ours",
            "influx_token": "t0ken",
            "influx_flushing_period": 0.05,
        }
        async with deployment.shim(**monitored) as shim:
            await shim.http.get("/version")
            await shim.http.get("/2/streams/7acc35cf-a3b2-4f87-8d8b-5496a2782d37")
            await eventually(lambda: len(influx.requests) > 1, "points were refused twice")
            influx.status = 204
            await eventually(lambda: len(influx.lines) >= 3, "points arrive")
            metrics = (await shim.http.get("/metrics")).text
    assert influx.requests[0] == ({"org": "ours", "bucket": "luna_monitoring", "precision": "ns"}, "Token t0ken")
    version, stream, error = influx.lines[:3]
    assert re.fullmatch(
        r"request,service=luna-streams,route=GET:/version,status_code=200 "
        r'request_id="\d{10},[0-9a-f-]{36}",execution_time=\d+\.\d{6} \d{19}',
        version,
    )
    assert stream.startswith("request,service=luna-streams,route=GET:/2/streams/{stream_id},status_code=404 ")
    assert re.match(r"errors,service=luna-streams,route=\S+,status_code=404,error_code=39001 request_id=", error)
    assert "luna_plugin_influx_monitoring_points_total 3.0" in metrics
    assert caplog.text.count("points cannot be written to InfluxDB: it answers 503") == 1
    assert "t0ken" not in caplog.text + metrics


# --- health of other services -----------------------------------------------------------------------------------------


async def _well(_request: Request) -> Response:
    return JSONResponse({"execution_time": 0.1})


async def _ill(_request: Request) -> Response:
    return JSONResponse({"errors": []}, 502)


def _fault(component: str, detail: str) -> dict[str, object]:
    error = {"error_code": 1, "desc": "internal server error", "detail": detail, "link": f"{LINK}1"}
    return {"component": component, "error": error, "status": 0}


async def test_other_services_are_asked_only_on_demand(deployment: Deployment) -> None:
    app = Starlette(routes=[Route("/well/healthcheck", _well), Route("/healthcheck", _ill)])
    well = Starlette(routes=[Route("/healthcheck", _well)])
    async with serving(app) as ill_origin, serving(well) as well_origin:
        services = f"luna-api={well_origin},luna-licenses={ill_origin},luna-events=http://127.0.0.1:9"
        async with deployment.shim(luna_services=services) as shim:
            for params in ({}, {"include_luna_services": "0"}):
                assert (await shim.http.get("/healthcheck", params=params)).status_code == 200
            answer = await shim.http.get("/healthcheck", params={"include_luna_services": "1"})
            refused = await shim.http.get("/healthcheck", params={"include_luna_services": "2"})
        async with deployment.shim(luna_services={"luna-api": well_origin}) as shim:
            assert (await shim.http.get("/healthcheck", params={"include_luna_services": "1"})).status_code == 200
    assert answer.status_code == 502
    assert answer.json() == {
        "errors": [
            _fault("luna-licenses", f"{ill_origin}/healthcheck answers 502"),
            _fault("luna-events", "http://127.0.0.1:9/healthcheck cannot be reached: ConnectError"),
        ]
    }
    assert (refused.status_code, refused.json()["error_code"]) == (400, 12012)


# --- metrics ----------------------------------------------------------------------------------------------------------


async def test_what_workers_and_streams_do_is_counted(shim: Shim) -> None:
    await shim.create(v2_body())
    worker = DocumentedWorker(shim.http, headers={"Prefer": "wait=5"})
    (stream_id,) = await worker.take()
    await worker.report()
    await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "cancel"})
    await worker.report()
    text = (await shim.http.get("/metrics")).text
    for line in (
        "luna_streams_streams_taken_total 1.0",
        'luna_streams_feedback_reports_total{answer="unmodified"} 1.0',
        'luna_streams_feedback_reports_total{answer="modified"} 1.0',
        'luna_streams_status_changes_total{status="in_progress"} 1.0',
        'luna_streams_status_changes_total{status="cancel"} 1.0',
        'luna_streams_streams{status="cancel"} 1.0',
    ):
        assert line in text
    assert 'luna_streams_kubernetes_request_duration_seconds_count{result="ok",verb="POST"}' in text
    assert re.search(r"^process_resident_memory_bytes \d", text, re.MULTILINE)


async def test_only_the_leader_counts_changes_of_status(shim: Shim, deployment: Deployment) -> None:
    async with deployment.shim() as follower:
        stream_id = await follower.create(v2_body())
        await eventually(lambda: follower.service.store.catalogue.get(stream_id), "the follower sees the stream")
        await follower.http.patch(f"/2/streams/{stream_id}", json={"status": "cancel"})
        await shim.until(stream_id, status="cancel")
        counted = 'luna_streams_status_changes_total{status="cancel"} 1.0'
        assert counted in (await shim.http.get("/metrics")).text
        uncounted = counted.replace("1.0", "0.0")
        assert uncounted in (await follower.http.get("/metrics")).text


async def test_prometheus_may_ask_for_openmetrics(shim: Shim) -> None:
    answer = await shim.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    plain = await shim.http.get("/metrics", headers={"Accept": "text/html"})
    assert plain.headers["Content-Type"] == "text/plain; charset=UTF-8"


async def test_the_metrics_that_are_documented_are_those_that_are_shown(deployment: Deployment) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    documented = re.findall(r"^\| `([a-z0-9_]+)", page.partition("## REST shim")[2].partition("\n## ")[0], re.MULTILINE)
    async with deployment.shim(active_plugins="influx_monitoring") as shim:
        await eventually(lambda: shim.service.plugins.states[0].is_running)
        text = (await shim.http.get("/metrics")).text
    assert sorted(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) == sorted(documented)
