"""The plugin `influx_monitoring`: writes every answered request to InfluxDB 2, as LUNA's services do.

Measurement `request` for each: tags service, route, status_code; fields request_id and execution_time (seconds). For
each error also `errors`, with the tag error_code. While InfluxDB is away the latest 20,000 points wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

import httpx
from prometheus_client import Counter

from luna_api_shim.certificates import trusted
from luna_api_shim.http.traffic import Served
from luna_api_shim.plugins import PluginContext
from luna_api_shim.settings import Settings

log = logging.getLogger(__name__)

NAME: Final = "influx_monitoring"
SERVICE: Final = "luna-streams"

_TIMEOUT_S: Final = 10.0
_MOST_POINTS: Final = 20_000
_BAD_POINTS: Final = (400, 413, 422)
"""Answers after which the same points would be refused again."""
_ESCAPED_IN_TAGS = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_ESCAPED_IN_STRINGS = str.maketrans({'"': r"\"", "\\": r"\\"})


class _Trouble(Exception):
    """Points were not written.

    Attributes:
        is_final: they never will be.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


async def run(context: PluginContext) -> None:
    """Write points until cancelled."""
    requests = context.requests()
    written = Counter("luna_plugin_influx_monitoring_points", "Points written", registry=context.registry)
    lost = Counter("luna_plugin_influx_monitoring_points_lost", "Points given up", registry=context.registry)
    waiting: list[str] = []
    is_well = True
    async with _client(context.settings) as http:
        while True:
            await asyncio.sleep(context.settings.influx_flushing_period)
            waiting += (line for served in requests.drain() for line in points_of(served))
            lost.inc(max(0, len(waiting) - _MOST_POINTS))
            waiting = waiting[-_MOST_POINTS:]
            try:
                await _write(http, waiting)
            except _Trouble as e:
                if is_well:
                    log.warning("points cannot be written to InfluxDB: %s", e)
                is_well = False
                if not e.is_final:
                    continue
                lost.inc(len(waiting))
            else:
                if not is_well:
                    log.info("points are written to InfluxDB again")
                is_well = True
                written.inc(len(waiting))
            waiting.clear()


def points_of(served: Served) -> Iterable[str]:
    """Return the points of one request, each a line of InfluxDB's line protocol."""
    tags = f"service={SERVICE},route={_tag(served.route)},status_code={served.status}"
    request_id = f'request_id="{served.request_id.translate(_ESCAPED_IN_STRINGS)}"'
    time_ns = round(served.time.timestamp() * 1e6) * 1000
    yield f"request,{tags} {request_id},execution_time={served.duration_s:.6f} {time_ns}"
    if served.error_code is not None:
        yield f"errors,{tags},error_code={served.error_code} {request_id} {time_ns}"


def _tag(value: str) -> str:
    return value.translate(_ESCAPED_IN_TAGS)


def _client(settings: Settings) -> httpx.AsyncClient:
    host = f"[{settings.influx_host}]" if ":" in settings.influx_host else settings.influx_host
    token = settings.influx_token.get_secret_value() if settings.influx_token else ""
    return httpx.AsyncClient(
        base_url=f"{'https' if settings.influx_use_ssl else 'http'}://{host}:{settings.influx_port}",
        params={"org": settings.influx_organization, "bucket": settings.influx_bucket, "precision": "ns"},
        headers={"Authorization": f"Token {token}"} if token else {},
        timeout=_TIMEOUT_S,
        verify=trusted(),
        trust_env=False,
    )


async def _write(http: httpx.AsyncClient, lines: list[str]) -> None:
    """Write points.

    Raises:
        _Trouble: they were not taken.
    """
    if not lines:
        return
    try:
        answer = await http.post("/api/v2/write", content="\n".join(lines).encode())
    except httpx.HTTPError as e:
        raise _Trouble(f"{type(e).__name__}: {e}") from e
    if not answer.is_success:
        raise _Trouble(f"it answers {answer.status_code}", is_final=answer.status_code in _BAD_POINTS)
