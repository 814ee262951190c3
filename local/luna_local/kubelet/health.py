"""The health of one run of a container: which probes are asked when, and what their answers change.

Order (Kubernetes'): the startup probe alone, until it succeeds; then readiness and liveness beside each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from luna_local.kubelet.pod import Container, Probe
from luna_local.kubelet.probing import Answer, Judgement, Verdict, watch_probe


class HealthListener(Protocol):
    """Who acts on what probes find."""

    def on_health(self, health: Health) -> None:
        """The container became started, ready or unready."""

    def on_failed_answer(self, kind: str, message: str) -> None:
        """A probe of a kind ("Startup", "Readiness", "Liveness") failed once."""

    def on_dead(self, kind: str) -> None:
        """A startup or liveness probe failed often enough: the container has to be started again."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the container has started, and whether it is ready for traffic."""

    is_started: bool
    is_ready: bool


def initial_health(container: Container) -> Health:
    """Return the health of a container that began to run just now."""
    is_started = container.startup_probe is None
    return Health(is_started, is_started and container.readiness_probe is None)


async def watch_health(
    container: Container, ask: Callable[[Probe], Awaitable[Answer]], listener: HealthListener
) -> None:
    """Ask the probes of a container until cancelled, or until one of them says that it is dead."""
    if container.startup_probe is not None:
        await _watch_startup(container, container.startup_probe, ask, listener)
    async with asyncio.TaskGroup() as group:
        if container.readiness_probe is not None:
            group.create_task(_watch_readiness(container.readiness_probe, ask, listener))
        if container.liveness_probe is not None:
            group.create_task(_watch_liveness(container.liveness_probe, ask, listener))


async def _watch_startup(
    container: Container, probe: Probe, ask: Callable[[Probe], Awaitable[Answer]], listener: HealthListener
) -> None:
    def judge(answer: Answer, judgement: Judgement) -> bool:
        if judgement.verdict is Verdict.SUCCESS:
            listener.on_health(Health(is_started=True, is_ready=container.readiness_probe is None))
            return False
        return _is_alive("Startup", answer, judgement, listener)

    await watch_probe(probe, ask, judge)


async def _watch_liveness(probe: Probe, ask: Callable[[Probe], Awaitable[Answer]], listener: HealthListener) -> None:
    await watch_probe(probe, ask, lambda answer, judgement: _is_alive("Liveness", answer, judgement, listener))


async def _watch_readiness(probe: Probe, ask: Callable[[Probe], Awaitable[Answer]], listener: HealthListener) -> None:
    def judge(answer: Answer, judgement: Judgement) -> bool:
        if not answer.is_success:
            listener.on_failed_answer("Readiness", answer.message)
        listener.on_health(Health(is_started=True, is_ready=judgement.verdict is Verdict.SUCCESS))
        return True

    await watch_probe(probe, ask, judge)


def _is_alive(kind: str, answer: Answer, judgement: Judgement, listener: HealthListener) -> bool:
    if answer.is_success:
        return True
    listener.on_failed_answer(kind, answer.message)
    if judgement.verdict is not Verdict.FAILURE:
        return True
    listener.on_dead(kind)
    return False
