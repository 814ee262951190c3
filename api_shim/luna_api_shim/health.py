"""Health: the components this service depends on, each with a function that asks it, all asked at the same time.

`service` lists the components; whoever adds one writes a check that returns when all is well and raises what is wrong:
an error of `replies.ERRORS`, or `Unhealthy` with a text for people.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from luna_api_shim.errors import NotReady
from luna_api_shim.http.replies import INTERNAL, error_content, error_form

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 3.0
"""Longest a component may take to say that it is well."""

Check = Callable[[], Awaitable[None]]
"""Returns when the component is well, else raises; is cancelled after `TIMEOUT_S`."""


@dataclass(frozen=True, slots=True)
class Component:
    """Something the service needs.

    Attributes:
        name: as /healthcheck names it.
    """

    name: str
    check: Check


@dataclass(frozen=True, slots=True)
class Fault:
    """A component that is not well, and the error that says why."""

    component: str
    error: Exception

    def to_rest(self) -> dict[str, object]:
        """Return the documented form."""
        return {"component": self.component, "error": error_content(self.error)[1], "status": 0}


class Health:
    """The health of one replica.

    Args:
        components: always asked.
        luna_services: services of LUNA PLATFORM, asked only on demand.
    """

    def __init__(self, components: Sequence[Component], luna_services: Sequence[Component] = ()) -> None:
        self._components = tuple(components)
        self._luna_services = tuple(luna_services)

    async def faults(self, *, include_luna_services: bool) -> list[Fault]:
        """Return what is not well, in the order of the components."""
        asked = self._components + (self._luna_services if include_luna_services else ())
        return await _faults(asked)


async def _faults(components: Iterable[Component]) -> list[Fault]:
    found = await asyncio.gather(*(_ask(component) for component in components))
    return [fault for fault in found if fault is not None]


async def _ask(component: Component) -> Fault | None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await component.check()
    except TimeoutError:
        return _fault(component, NotReady(f"no answer within {TIMEOUT_S:g} s"))
    except Exception as e:  # a check that crashes must not hide what the others found
        return _fault(component, e)
    return None


def _fault(component: Component, error: Exception) -> Fault:
    crash = error if error_form(error) is INTERNAL else None
    log.warning("not healthy: %s: %s", component.name, error, exc_info=crash)
    return Fault(component.name, error)
