"""The worker itself, in this process: what a whole processor shows only now and then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from luna_processor.frames import Frame, SourceInfo
from luna_processor.server.streams_api import StreamsApi
from luna_processor.server.worker import Worker, WorkerSettings
from luna_processor.streams.plan import Platform
from luna_processor.streams.run import RunContext
from luna_streams.policies import Preview
from luna_streams.rest.messages import QueueFilters
from support.stream_runs import MadeSource, a_context
from support.streams_server import StreamsServer, stream_v2
from support.waiting import eventually

SETTINGS = WorkerSettings(
    capacity=2, filters=QueueFilters(), queue_wait_s=0, feedback_period_s=0.1, max_feedback_delay_s=1.0
)


async def test_streams_are_stopped_in_time_though_all_threads_hang_in_name_lookups(server: StreamsServer) -> None:
    released = threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    hanging = loop.run_in_executor(None, released.wait)
    api = StreamsApi(server.origin, "2", "worker", lambda: None)
    source = MadeSource(SourceInfo(32, 32, 25.0, 0, None), lambda: no_frames_until(released))

    def context(notify: Callable[[], None]) -> RunContext:
        return a_context(notify, lambda *_: source)

    worker = Worker(api, SETTINGS, Platform("http://platform", 6), context, lambda _: Preview())
    serving = asyncio.create_task(worker.serve())
    try:
        server.hears_reports = False
        server.add(stream_v2("rtsp://camera/1"))
        await eventually(lambda: len(worker.runs) == 1, "the first is taken")
        server.add(stream_v2("rtsp://camera/2"))
        await eventually(lambda: len(worker.runs) == 2, "the second is taken")
        await eventually(lambda: not worker.runs, "both are stopped, one after the other")
    finally:
        released.set()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await worker.stop_all()
        await hanging
        await api.aclose()


def no_frames_until(released: threading.Event) -> Iterator[Frame]:
    released.wait()
    return iter(())
