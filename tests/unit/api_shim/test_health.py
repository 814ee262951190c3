"""Health: all components are asked, whatever one of them does."""

from __future__ import annotations

import asyncio
import time

import pytest

from luna_api_shim import health
from luna_api_shim.errors import NotReady, Unhealthy
from luna_api_shim.health import Component, Health


async def well() -> None:
    return


async def ill() -> None:
    raise NotReady("nobody leads")


async def crashes() -> None:
    raise ZeroDivisionError("a text that is nobody's business")


async def silent() -> None:
    await asyncio.Event().wait()


def codes(faults: list[health.Fault]) -> list[tuple[str, object]]:
    bodies = [fault.to_rest() for fault in faults]
    return [(str(body["component"]), body["error"]["error_code"]) for body in bodies if isinstance(body["error"], dict)]


async def test_what_is_well_is_not_mentioned() -> None:
    assert await Health([Component("db", well)]).faults(include_luna_services=True) == []


async def test_every_fault_is_told_in_the_order_of_the_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 0.05)
    components = [Component(check.__name__, check) for check in (silent, well, crashes, ill)]
    faults = await Health(components).faults(include_luna_services=False)
    assert codes(faults) == [("silent", 10017), ("crashes", 1), ("ill", 10017)]
    assert "business" not in str([fault.to_rest() for fault in faults])


async def test_components_are_asked_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 0.5)
    began = time.monotonic()
    faults = await Health([Component(str(n), silent) for n in range(20)]).faults(include_luna_services=False)
    assert len(faults) == 20
    assert time.monotonic() - began < 20 * 0.5


async def test_luna_services_are_asked_on_demand_only() -> None:
    async def off() -> None:
        raise Unhealthy("it is off")

    both = Health([Component("db", well)], luna_services=[Component("luna-api", off)])
    assert await both.faults(include_luna_services=False) == []
    (fault,) = await both.faults(include_luna_services=True)
    assert fault.to_rest() == {
        "component": "luna-api",
        "status": 0,
        "error": {
            "error_code": 1,
            "desc": "internal server error",
            "detail": "it is off",
            "link": "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-1",
        },
    }
