"""Probes of a container: the rule (pure), and the asking.

A container is *started* when its startup probe has succeeded (or it has none); only then are the others asked. It is
*ready* while its readiness probe succeeds (or it has none). A startup or liveness probe that fails has the container
stopped and started again. The figures are the manifest's; the first question comes after `initialDelaySeconds`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum

import aiohttp

from luna_local.kubelet.pod import Container, HttpGet, Probe, TcpSocket

_MAX_MESSAGE = 200
_USER_AGENT = "kube-probe/luna-local"


class Verdict(Enum):
    """What a probe's answers so far amount to."""

    UNDECIDED = "undecided"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Counts equal answers in a row; a verdict changes only when enough of the other kind came."""

    verdict: Verdict = Verdict.UNDECIDED
    in_a_row: int = 0
    last_was_success: bool | None = None

    def after(self, is_success: bool, probe: Probe) -> Judgement:
        """Return the judgement after one more answer."""
        in_a_row = self.in_a_row + 1 if is_success is self.last_was_success else 1
        threshold = probe.success_threshold if is_success else probe.failure_threshold
        counted = replace(self, in_a_row=in_a_row, last_was_success=is_success)
        if in_a_row < threshold:
            return counted
        return replace(counted, verdict=Verdict.SUCCESS if is_success else Verdict.FAILURE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of asking once; the message says why it is no success."""

    is_success: bool
    message: str = ""


RunCommand = Callable[[tuple[str, ...]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Prober:
    """Asks one container.

    Attributes:
        session: for HTTP; must not follow redirects by default or keep cookies.
        container: its ports may be referred to by name.
        address: where it listens unless a probe says otherwise.
        run_command: runs an exec probe inside of the container's environment and ends it when cancelled.
    """

    session: aiohttp.ClientSession
    container: Container
    address: str
    run_command: RunCommand

    async def ask(self, probe: Probe) -> Answer:
        """Ask once; never raises, never takes longer than the probe's timeout."""
        try:
            async with asyncio.timeout(probe.timeout_seconds):
                return await self._ask(probe)
        except TimeoutError:
            return Answer(False, f"timed out after {probe.timeout_seconds} s")
        except (aiohttp.ClientError, OSError, ValueError) as e:
            return Answer(False, str(e)[:_MAX_MESSAGE] or type(e).__name__)

    async def _ask(self, probe: Probe) -> Answer:
        if probe.http_get is not None:
            return await self._http_get(probe.http_get)
        if probe.tcp_socket is not None:
            return await self._connect(probe.tcp_socket)
        if probe.exec is not None:
            return await self.run_command(probe.exec.command)
        raise ValueError("this kind of probe is not supported by the local kubelet")

    async def _http_get(self, action: HttpGet) -> Answer:
        host = action.host or self.address
        path = action.path if action.path.startswith("/") else f"/{action.path}"
        url = f"{action.scheme.lower()}://{host}:{self._port(action.port)}{path}"
        headers = {"User-Agent": _USER_AGENT, **{header.name: header.value for header in action.http_headers}}
        # Probes do not check certificates, as in Kubernetes.
        async with self.session.get(url, headers=headers, allow_redirects=False, ssl=False) as response:
            if 200 <= response.status < 400:
                return Answer(True)
            return Answer(False, f"HTTP probe failed with statuscode: {response.status}")

    async def _connect(self, action: TcpSocket) -> Answer:
        _, writer = await asyncio.open_connection(action.host or self.address, self._port(action.port))
        writer.close()
        return Answer(True)

    def _port(self, port: int | str) -> int:
        if isinstance(port, int) or port.isdecimal():
            return int(port)
        for known in self.container.ports:
            if known.name == port:
                return known.container_port
        raise ValueError(f"the container has no port named {port!r}")


async def watch_probe(
    probe: Probe, ask: Callable[[Probe], Awaitable[Answer]], on_answer: Callable[[Answer, Judgement], bool]
) -> None:
    """Ask again and again until `on_answer` returns False.

    Args:
        probe: when to begin and how often.
        ask: asks once.
        on_answer: told every answer and what they amount to; returns whether to go on.
    """
    judgement = Judgement()
    await asyncio.sleep(probe.initial_delay_seconds)
    while True:
        answer = await ask(probe)
        judgement = judgement.after(answer.is_success, probe)
        if not on_answer(answer, judgement):
            return
        await asyncio.sleep(probe.period_seconds)
