"""The health of other services of LUNA, for `/healthcheck?include_luna_services=1`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import httpx

from luna_api_shim.certificates import trusted
from luna_api_shim.errors import Unhealthy
from luna_api_shim.health import TIMEOUT_S, Component


def components_of(services: Mapping[str, str]) -> list[Component]:
    """Return a component for each service.

    Args:
        services: origins by name; each service has the `/healthcheck` that all services of LUNA have.
    """
    return [Component(name, partial(_check, origin)) for name, origin in services.items()]


async def _check(origin: str) -> None:
    """Ask a service.

    Raises:
        Unhealthy: it does not answer, or says that it is not well.
    """
    url = f"{origin}/healthcheck"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=trusted(), trust_env=False) as http:
            answer = await http.get(url, headers={"Accept": "application/json"})
    except httpx.TimeoutException as e:
        raise Unhealthy(f"{url} does not answer within {TIMEOUT_S:g} s") from e
    except httpx.HTTPError as e:
        raise Unhealthy(f"{url} cannot be reached: {type(e).__name__}") from e
    if not answer.is_success:
        raise Unhealthy(f"{url} answers {answer.status_code}")
