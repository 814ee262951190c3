"""Put the parts of a worker process together, run them, and take them apart in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette

from luna_processor.allocator import return_free_memory_for_ever
from luna_processor.delivery.delivery import AUTHORIZATION_FAILED, Delivery, DeliverySettings
from luna_processor.delivery.outbox import Outbox
from luna_processor.engines.figures import GpuCollector
from luna_processor.errors import StartupError
from luna_processor.inference import Engines, Inference, platform_of, source_opener
from luna_processor.interface.http_api import Interface, create_app, preview_of
from luna_processor.interface.metrics import Metrics, StreamCollector, StreamFigures
from luna_processor.interface.preview import Previews
from luna_processor.server.streams_api import StreamsApi
from luna_processor.server.worker import Worker, WorkerSettings
from luna_processor.settings import Settings
from luna_processor.streams.run import RunContext
from luna_streams.rest.messages import QueueFilters
from luna_streams.stream import MODE_BODIES, MODE_FACES, MODE_HUMANS, Mode

log = logging.getLogger(__name__)

MODES: Mapping[str, Mode] = {"faces": MODE_FACES, "bodies": MODE_BODIES, "humans": MODE_HUMANS}

EXIT_FAILED = 1
"""The process ended though nobody told it to."""

_THREADS: Final = 64
"""For what would block the event loop, at most. Behind a cut network every lookup of a name holds one for many seconds;
Python's usual number, two cores make six, would leave none for reading the spool."""


class Process:
    """One worker process.

    Args:
        settings: of the process.
        engines: loaded networks.
        listener: bound socket of the HTTP interface.

    Raises:
        StartupError: if a filter is malformed, or the GPU must decode and cannot.
    """

    def __init__(self, settings: Settings, engines: Engines, listener: socket.socket) -> None:
        self._settings = settings
        self._worker_settings = worker_settings(settings)
        self._listener = listener
        self._worker_id = str(uuid.uuid4())
        self._metrics = Metrics()
        self._open_source = source_opener(settings, engines, self._note_cpu_decoding)
        self._inference = Inference(settings, engines)

    async def run(self, outbox: Outbox) -> int:
        """Work until SIGTERM or SIGINT, then end in order; returns the exit status.

        Args:
            outbox: where events wait; closed at the end.
        """
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="event-loop"))
        settings = self._settings
        mode = MODES[settings.v1_mode]
        api = StreamsApi(settings.streams_origin, settings.api_version, self._worker_id, settings.token, mode)
        async with contextlib.aclosing(api):
            worker, delivery = self._connect(api, outbox)
            self._watch(worker, outbox)
            server = _server(create_app(self._interface(worker)))
            serving = asyncio.create_task(server.serve(sockets=[self._listener]))
            working = asyncio.create_task(worker.serve())
            returning = asyncio.create_task(return_free_memory_for_ever())
            log.info("processor %s listens on %s, asks %s for streams", self._worker_id, self._origin, api.base_url)
            stopping, losing = asyncio.create_task(stopped.wait()), asyncio.create_task(self._device_lost())
            await asyncio.wait({serving, working, stopping, losing}, return_when=asyncio.FIRST_COMPLETED)
            losing.cancel()
            returning.cancel()
            await self._end(worker, delivery, working)
            server.should_exit = True
            await serving
            has_failed = not stopped.is_set()
            stopping.cancel()
        await asyncio.to_thread(self._inference.close)
        return EXIT_FAILED if has_failed else 0

    async def _device_lost(self) -> None:
        """Wait until the GPU is lost; for ever on the CPU."""
        lost, loop = asyncio.Event(), asyncio.get_running_loop()
        if self._inference.card is not None:
            self._inference.card.condition.listen(lambda: loop.call_soon_threadsafe(lost.set))
        await lost.wait()

    def _note_cpu_decoding(self, shown_as: str, reason: str) -> None:
        """Say aloud that the CPU has work that the GPU was meant to have."""
        log.warning("%s: %s", shown_as, reason)
        self._metrics.cpu_decoded_sources.inc()

    def _connect(self, api: StreamsApi, outbox: Outbox) -> tuple[Worker, Delivery]:
        """Make the delivery and the worker, which know each other through callbacks only."""
        settings = self._settings
        delivery_settings = DeliverySettings(settings.delivery_timeout, settings.give_up_after)
        delivery = Delivery(
            delivery_settings,
            outbox,
            self._metrics,
            lambda stream_id, version: worker.refuse(stream_id, version, AUTHORIZATION_FAILED),
        )

        def context(on_change: Callable[[], None]) -> RunContext:
            return RunContext(self._inference.stages, delivery, self._metrics, on_change, self._open_source)

        worker = Worker(
            api,
            self._worker_settings,
            platform_of(settings, self._inference.stages),
            context,
            lambda stream_id: preview_of(self._origin, stream_id),
        )
        return worker, delivery

    def _watch(self, worker: Worker, outbox: Outbox) -> None:
        metrics = self._metrics
        metrics.registry.register(
            StreamCollector(lambda: [StreamFigures(r.plan.stream_id, r.plan.name, r.stats) for r in worker.runs])
        )
        if self._inference.card is not None:
            metrics.registry.register(GpuCollector(self._inference.card.nvml))
        metrics.watch_spool(outbox)
        for name, batcher in self._inference.batchers.items():
            metrics.add_queue(name, functools.partial(getattr, batcher, "waiting_count"))

    def _interface(self, worker: Worker) -> Interface:
        return Interface(
            runs=lambda: worker.runs,
            find=worker.run,
            previews=Previews(worker.run),
            metrics=self._metrics,
            origin=self._origin,
            api_version=self._settings.api_version,
            ailments=lambda: self._inference.ailments,
            obstacles=lambda: worker.obstacles,
        )

    @property
    def _origin(self) -> str:
        host, port = self._listener.getsockname()[:2]
        shown = self._settings.advertised_host or host
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    async def _end(self, worker: Worker, delivery: Delivery, working: asyncio.Task[None]) -> None:
        """Take no more, end the streams, deliver what they had."""
        working.cancel()
        results = await asyncio.gather(working, return_exceptions=True)
        for failure in results:
            if isinstance(failure, Exception):
                log.error("the worker failed", exc_info=failure)
        card = self._inference.card
        if card is not None and card.condition.lost_because is not None:
            await worker.report_trouble(card.condition.lost_because)
        log.info("ending: %d streams, %g s for deliveries", len(worker.runs), self._settings.shutdown_grace)
        await worker.stop_all()
        await worker.report_ended()
        await delivery.flush(self._settings.shutdown_grace)
        await delivery.close()


class _Server(uvicorn.Server):
    """uvicorn, but signals are the process's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: Starlette) -> _Server:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=1
    )
    return _Server(config)


def worker_settings(settings: Settings) -> WorkerSettings:
    """Return the worker's part of the settings.

    Raises:
        StartupError: if a filter is malformed.
    """
    try:
        filters = QueueFilters(
            stream_ids=settings.stream_ids,
            names=settings.names,
            group_ids=settings.group_ids,
            group_names=settings.group_names,
        )
    except ValidationError as e:
        fault = e.errors()[0]
        raise StartupError(f"--{str(fault['loc'][0]).replace('_', '-')}: {fault['msg']}") from e
    return WorkerSettings(
        capacity=settings.capacity,
        filters=filters,
        queue_wait_s=settings.queue_wait,
        feedback_period_s=settings.feedback_period,
        max_feedback_delay_s=settings.max_feedback_delay,
    )
