"""One container of a Pod, from its first start to its last end: run, probe, restart, stop.

Everything it needs of its Pod comes in as a `ContainerHost`; everything it knows is `facts`, replaced as a whole on
every change, so that whoever publishes the Pod's status sees one consistent picture.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from luna_local.kubelet.backoff import RestartBackoff
from luna_local.kubelet.errors import ContainerConfigError, ContainerStartError
from luna_local.kubelet.events import EventRecorder
from luna_local.kubelet.guarding import Guard
from luna_local.kubelet.health import Health, initial_health, watch_health
from luna_local.kubelet.logs import Line, LogFile, copy_outputs, forget_old_runs, log_path
from luna_local.kubelet.pod import Container, Pod, RestartPolicy
from luna_local.kubelet.probing import Answer, Prober
from luna_local.kubelet.process import Command, Exit, GroupProcess
from luna_local.kubelet.status import ContainerFacts, Running, Terminated, Waiting

# A container whose Secret or ConfigMap is missing is tried again this often.
_CONFIG_RETRY_S = 2.0
# A process that left its session may hold the pipes open after everything else is gone.
_OUTPUT_GRACE_S = 2.0
_CANNOT_START = 128
_PROBE_OUTPUT_BYTES = 512


@dataclass(frozen=True, slots=True)
class ContainerHost:
    """What a container needs of the Pod and the machine it runs on.

    Attributes:
        prepare: resolves command, environment and mounts; raises ContainerConfigError while something is missing.
        prepare_probe: does the same for the command of an exec probe.
        on_change: called after every change of a container's facts.
    """

    pod: Pod
    address: str
    log_folder: Path
    guard: Guard
    session: aiohttp.ClientSession
    recorder: EventRecorder
    prepare: Callable[[Container], Awaitable[Command]]
    prepare_probe: Callable[[Container, tuple[str, ...]], tuple[str, ...]]
    on_change: Callable[[], None]


class ContainerRunner:
    """Runs one container.

    Attributes:
        facts: what is so about it now.
    """

    def __init__(self, container: Container, host: ContainerHost, facts: ContainerFacts) -> None:
        self.container = container
        self.facts = facts
        self._host = host
        self._backoff = RestartBackoff()
        self._stopping = asyncio.Event()
        self._process: GroupProcess | None = None
        # The next run's number: runs are counted like restarts, also over restarts of the kubelet.
        self._run = facts.restart_count

    async def run(self, policy: RestartPolicy) -> None:
        """Run, and run again as the policy says; returns when the container has ended for good or was stopped."""
        while not self._stopping.is_set():
            began = time.monotonic()
            ended = await self._run_once()
            if ended is None:
                return
            self._change(ContainerFacts(ended, self.facts.last_state, self._run, ended.container_id))
            if self._stopping.is_set() or not self.facts.will_restart(policy):
                return
            self._backoff = self._backoff.after_run(time.monotonic() - began)
            await self._wait_for_restart(ended)
            self._run += 1

    async def stop(self, grace_s: float) -> None:
        """End the container: SIGTERM to its group, SIGKILL after the grace; `run` returns then."""
        self._stopping.set()
        if self._process is not None:
            self._inform("Killing", f"Stopping container {self.container.name}")
            await _terminate(self._process, grace_s)

    async def _run_once(self) -> Terminated | None:
        """Run the command once; None if the container was stopped before it started."""
        command = await self._prepared()
        if command is None:
            return None
        container_id = f"process://{uuid.uuid4().hex}{uuid.uuid4().hex}"
        log = LogFile(log_path(self._host.log_folder, self.container.name, self._run))
        try:
            process = self._start(command, container_id)
        except (ContainerStartError, OSError, ValueError) as e:  # ValueError: a NUL in an argument or variable
            # Into the log as well: that is where people look first.
            log.append("stderr", [Line(str(e).encode())])
            log.close()
            forget_old_runs(self._host.log_folder, self.container.name)
            self.warn("Failed", f"Error: {e}")
            now = datetime.now(UTC)
            return Terminated(_CANNOT_START, "StartError", now, now, message=str(e), container_id=container_id)
        copying = asyncio.create_task(copy_outputs(process.outputs, log))
        try:
            return await self._watched(process, command, container_id)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OUTPUT_GRACE_S):
                    await copying
            forget_old_runs(self._host.log_folder, self.container.name)

    async def _watched(self, process: GroupProcess, command: Command, container_id: str) -> Terminated:
        started_at = datetime.now(UTC)
        health = initial_health(self.container)
        last = self.facts.state if isinstance(self.facts.state, Terminated) else self.facts.last_state
        running = Running(started_at)
        self._change(ContainerFacts(running, last, self._run, container_id, health.is_started, health.is_ready))
        self._inform("Started", f"Started container {self.container.name}")
        self._process = process
        if self._stopping.is_set():  # asked to stop between the decision to start and now
            process.send(signal.SIGKILL)
        async with self._probed(process, command):
            exit_ = await process.wait()
        self._process = None
        return _terminated(exit_, started_at, container_id)

    async def _prepared(self) -> Command | None:
        while not self._stopping.is_set():
            try:
                return await self._host.prepare(self.container)
            except ContainerConfigError as e:
                self._change(replace(self.facts, state=Waiting("CreateContainerConfigError", str(e))))
                self.warn("Failed", f"Error: {e}")
                await self._pause(_CONFIG_RETRY_S)
        return None

    def _start(self, command: Command, container_id: str) -> GroupProcess:
        if not command.arguments:
            raise ContainerStartError(
                f"container {self.container.name!r} has no command; images do not exist here, so it must name one"
            )
        program = command.arguments[0]
        path = command.environment.get("PATH", "")
        found = program if "/" in program else shutil.which(program, path=path)
        if found is None:
            raise ContainerStartError(f'exec: "{program}": executable file not found in $PATH')
        return GroupProcess.start(command, self._host.guard, container_id)

    async def _wait_for_restart(self, ended: Terminated) -> None:
        delay_s = self._backoff.delay_s
        self._backoff = self._backoff.next()
        if delay_s == 0:
            return
        meta = self._host.pod.metadata
        name = f"{self.container.name} in pod {meta.name}_{meta.namespace}({meta.uid})"
        waiting = Waiting("CrashLoopBackOff", f"back-off {delay_s:g}s restarting failed container={name}")
        self._change(ContainerFacts(waiting, ended, self._run, self.facts.container_id))
        self.warn("BackOff", f"Back-off restarting failed container {name}")
        await self._pause(delay_s)

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    def _change(self, facts: ContainerFacts) -> None:
        self.facts = facts
        self._host.on_change()

    @contextlib.asynccontextmanager
    async def _probed(self, process: GroupProcess, command: Command) -> AsyncIterator[None]:
        async def run_command(arguments: tuple[str, ...]) -> Answer:
            placed = self._host.prepare_probe(self.container, arguments)
            return await run_probe_command(replace(command, arguments=placed), self._host.guard)

        prober = Prober(self._host.session, self.container, self._host.address, run_command)
        probing = asyncio.create_task(watch_health(self.container, prober.ask, _RunListener(self, process)))
        try:
            yield
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    def set_health(self, health: Health) -> None:
        """Take over what the probes found; nothing happens if it is known."""
        changed = replace(self.facts, is_started=health.is_started, is_ready=health.is_ready)
        if changed != self.facts:
            self._change(changed)

    def warn(self, reason: str, message: str) -> None:
        """Record that something is wrong with the container."""
        self._host.recorder.warning(self._host.pod, reason, message, self.container.name)

    def restart(self, process: GroupProcess, why: str) -> None:
        """Stop a run because of its health; the restart policy decides what follows."""
        self._inform("Killing", f"Container {self.container.name} {why}, will be restarted")
        grace_s = self._host.pod.spec.termination_grace_period_seconds
        # Not awaited by the probe that asks for it: probes are cancelled when the process ends, its stopping is not.
        self._stopped_for_health = asyncio.create_task(_terminate(process, grace_s))

    def _inform(self, reason: str, message: str) -> None:
        self._host.recorder.normal(self._host.pod, reason, message, self.container.name)


@dataclass(frozen=True, slots=True)
class _RunListener:
    """Connects the probes of one run with its container."""

    runner: ContainerRunner
    process: GroupProcess

    def on_health(self, health: Health) -> None:
        self.runner.set_health(health)

    def on_failed_answer(self, kind: str, message: str) -> None:
        self.runner.warn("Unhealthy", f"{kind} probe failed: {message}")

    def on_dead(self, kind: str) -> None:
        self.runner.restart(self.process, f"failed {kind.lower()} probe")


async def _terminate(process: GroupProcess, grace_s: float) -> None:
    """Ask a group to end, and end it when the grace is over."""
    if grace_s > 0:
        process.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            pass
        else:
            return
    process.send(signal.SIGKILL)
    await process.wait()


async def run_probe_command(command: Command, guard: Guard) -> Answer:
    """Run the command of an exec probe to its end; nothing of it is left afterwards, also when cancelled."""
    with tempfile.TemporaryFile() as output:
        try:
            process = GroupProcess.start(command, guard, f"probe-{uuid.uuid4().hex}", output)
        except OSError as e:
            return Answer(False, str(e))
        try:
            exit_ = await process.wait()
        finally:
            process.send(signal.SIGKILL)
            await process.wait()
        output.seek(0)
        text = output.read(_PROBE_OUTPUT_BYTES).decode("utf-8", "replace").strip()
    return Answer(exit_.code == 0, text or f"command ended with exit code {exit_.code}")


def _terminated(exit_: Exit, started_at: datetime, container_id: str) -> Terminated:
    return Terminated(
        exit_code=exit_.code,
        reason="Completed" if exit_.code == 0 else "Error",
        finished_at=datetime.now(UTC),
        started_at=started_at,
        signal=exit_.signal,
        container_id=container_id,
    )
