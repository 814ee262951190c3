"""One run of `luna-streams up`: start everything, say where it is, show what the streams do, end cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterator
from typing import Any

from luna_local.up import demonstration
from luna_local.up.board import StreamBoard
from luna_local.up.cluster import LocalCluster, local_cluster
from luna_local.up.folder import DataFolder, Endpoints
from luna_local.up.options import Options
from luna_local.up.readiness import wait_until_ready
from luna_local.up.screen import Screen

EXIT_INTERRUPTED = 130
"""Ended by a signal before what was asked for was done."""
_REFRESH_S = 0.5


class Session:
    """One run.

    Args:
        options: what was asked for.
        folder: locked by this process.
        screen: where to write for a person.
    """

    def __init__(self, options: Options, folder: DataFolder, screen: Screen) -> None:
        self._options = options
        self._folder = folder
        self._screen = screen
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal, or until idle if that was asked for; return the exit status.

        Raises:
            UpError: if something has to be changed first.
        """
        if self._options.demo is not None:
            demonstration.check_clip(self._options.demo)
        with self._signals():
            self._screen.say(f"Starting, data in {self._folder.path} ...")
            if self._folder.is_open_to_others:
                self._screen.say(f"  other users may look into it; to stop that: chmod 700 {self._folder.path}")
            async with local_cluster(self._options, self._folder) as cluster:
                status = await self._unless_stopped(cluster, self._serve(cluster))
                self._folder.withdraw()
                self._screen.say("Ending ... (once more Ctrl-C: at once)")
        return status

    async def _serve(self, cluster: LocalCluster) -> int:
        # Watched from before processors are at work: a stream that fails while others still start is not overlooked.
        async with StreamBoard(cluster.client).running() as board:
            await wait_until_ready(cluster, self._options.processors)
            endpoints = Endpoints(
                rest=cluster.addresses.rest,
                kubernetes=cluster.server.url,
                kubeconfig=str(self._folder.kubeconfig),
                inbox=cluster.addresses.inbox,
                pid=os.getpid(),
            )
            self._folder.publish(endpoints)
            self._introduce(endpoints)
            demo = await self._begin_demo(cluster)
            await self._watch(cluster, board, demo)
            self._conclude(cluster, board, demo)
            return 1 if board.failed else 0

    async def _begin_demo(self, cluster: LocalCluster) -> str | None:
        if self._options.demo is None:
            return None
        stream_id = await demonstration.post_stream(cluster.addresses.rest, self._options.demo)
        self._screen.say(f"\nThe demo is a stream of {self._options.demo}: {stream_id}")
        return stream_id

    async def _watch(self, cluster: LocalCluster, board: StreamBoard, demo: str | None) -> None:
        """Show the streams until idle if that was asked for, else for ever; tell when the demo is through."""
        best_shots = cluster.inbox.events.best_shots
        is_told = demo is None or self._options.exit_when_idle
        with self._screen.watching():
            while True:
                self._screen.show(board.rows, best_shots)
                row = board.find(demo) if demo else None
                if not is_told and row is not None and not row.is_busy:
                    self._conclude(cluster, board, demo)
                    is_told = True
                # A stream that was just made may not have reached the board yet.
                is_known = demo is None or row is not None
                if self._options.exit_when_idle and is_known and board.is_idle:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REFRESH_S):
                        await board.changed.wait()
                board.changed.clear()

    def _introduce(self, endpoints: Endpoints) -> None:
        say = self._screen.say
        say("Ready.")
        say(f"  REST API   {endpoints.rest}/2/streams")
        say(f"  inbox      {endpoints.inbox}/  shows events and pictures as they arrive")
        say(f"  kubectl    export KUBECONFIG={endpoints.kubeconfig}")
        if not self._options.processors:
            say(f"  no processors: streams wait for foreign workers at {endpoints.rest}/2/streams/processing/queue")
        if not self._options.exit_when_idle:
            say("Ctrl-C ends everything.")

    def _conclude(self, cluster: LocalCluster, board: StreamBoard, demo: str | None) -> None:
        for failed in board.failed:
            self._screen.complain(f"stream {failed.name} failed: {failed.reason}")
        row = board.find(demo) if demo else None
        if row is None:
            return
        count = cluster.inbox.events.best_shots(row.stream_id)
        shots = f"{count} best shot{'s' if count != 1 else ''}"
        self._screen.say(f"\nThe demo is {row.status}: {shots} arrived.")
        self._screen.say(f"  on the page   {cluster.addresses.inbox}/ (while this runs)")
        self._screen.say(f"  as files      {cluster.inbox.events.pictures}")

    async def _unless_stopped(self, cluster: LocalCluster, work: Coroutine[None, None, int]) -> int:
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            ends: list[asyncio.Future[Any]] = [working, stopping, cluster.crashed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if cluster.crashed.done():
                await cluster.crashed
            if working.done():
                return await working
            return EXIT_INTERRUPTED if self._options.exit_when_idle else 0
        finally:
            stopping.cancel()
            working.cancel()
            await asyncio.wait([working])

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal ends the run in good order, a second one at once."""
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        assert main is not None  # noqa: S101  this runs in a task

        def stop() -> None:
            if self._stopping.is_set():
                main.cancel()
            self._stopping.set()

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
