"""What a plugin is, for people who write one; docs/plugins.md tells how.

A plugin is an async function that takes a `PluginContext` and runs next to the service until it is cancelled:

    async def run(context: PluginContext) -> None:
        async for change in context.changes():
            if change.now is not None and change.now.status.status == "failure":
                await tell_somebody(change.stream_id)

It shares the event loop with the service: what blocks belongs in `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry

from luna_api_shim.http.traffic import Served
from luna_api_shim.settings import Settings
from luna_api_shim.storage.catalogue import Catalogue, Entry
from luna_streams.stream import StreamSpec, StreamStatus

ENTRY_POINTS: Final = "luna_streams.shim_plugins"
"""Group of the entry points by which distributions offer plugins."""

_MOST_REQUESTS: Final = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream; its secrets stand elsewhere."""

    stream_id: str
    spec: StreamSpec
    status: StreamStatus


@dataclass(frozen=True, slots=True)
class Change:
    """A stream that is new (no `before`), changed, or gone (no `now`)."""

    stream_id: str
    before: StreamView | None
    now: StreamView | None


class Feed(ABC, Generic[T]):
    """What happens, for one reader; `async for` waits for more, for ever."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T:
        while self._is_empty():
            self._arrived.clear()
            await self._arrived.wait()
        return self._next()

    @abstractmethod
    def push(self, item: T) -> None:
        """Take what happened."""

    @abstractmethod
    def _is_empty(self) -> bool:
        """Tell whether there is nothing to read."""

    @abstractmethod
    def _next(self) -> T:
        """Remove and return what comes next."""

    def drain(self) -> list[T]:
        """Return all there is, without waiting."""
        items: list[T] = []
        while not self._is_empty():
            items.append(self._next())
        return items


class ChangeFeed(Feed[Change]):
    """Changes of streams; those of one stream become one while nobody reads, so a slow reader costs little memory.

    A stream that comes and goes meanwhile is not told of at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changes: dict[str, Change] = {}

    def push(self, item: Change) -> None:
        """Take a change."""
        before = self._changes.pop(item.stream_id, item).before
        if before is None and item.now is None:
            return  # came and went unread: nothing is different for this reader
        self._changes[item.stream_id] = Change(item.stream_id, before, item.now)
        self._arrived.set()

    def _is_empty(self) -> bool:
        return not self._changes

    def _next(self) -> Change:
        return self._changes.pop(next(iter(self._changes)))


class RequestFeed(Feed[Served]):
    """Answered requests, the latest 10,000 while nobody reads.

    Attributes:
        lost: how many were dropped for want of a reader.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0
        self._requests: deque[Served] = deque(maxlen=_MOST_REQUESTS)

    def push(self, item: Served) -> None:
        """Take a request."""
        self.lost += len(self._requests) == _MOST_REQUESTS
        self._requests.append(item)
        self._arrived.set()

    def _is_empty(self) -> bool:
        return not self._requests

    def _next(self) -> Served:
        return self._requests.popleft()


class PluginContext:
    """What a plugin works with; a new one each time it is started.

    Attributes:
        name: of the plugin.
        settings: of the service.
        is_leader: tells whether this replica leads: of several replicas, each of which runs the plugin, one does.
        registry: metrics put here are shown by /metrics if their names begin with `luna_plugin_` and the plugin's
            name, in which everything but letters and digits is an underscore.
    """

    def __init__(self, name: str, settings: Settings, catalogue: Catalogue, is_leader: Callable[[], bool]) -> None:
        self.name = name
        self.settings = settings
        self.is_leader = is_leader
        self.registry = CollectorRegistry()
        self._catalogue = catalogue
        self._changes: list[ChangeFeed] = []
        self._requests: list[RequestFeed] = []

    def streams(self) -> Iterator[StreamView]:
        """Yield every stream as it is now; to be read without waiting in between."""
        return (view_of(entry) for entry in self._catalogue)

    def changes(self) -> ChangeFeed:
        """Return the changes of streams from now on; first comes every stream there is, as a new one."""
        feed = ChangeFeed()
        for stream in self.streams():
            feed.push(Change(stream.stream_id, None, stream))
        self._changes.append(feed)
        return feed

    def requests(self) -> RequestFeed:
        """Return the requests that this replica answers from now on."""
        feed = RequestFeed()
        self._requests.append(feed)
        return feed

    def tell_change(self, change: Change) -> None:
        """Pass a change on; called by the service."""
        for feed in self._changes:
            feed.push(change)

    def tell_request(self, served: Served) -> None:
        """Pass a request on; called by the service."""
        for feed in self._requests:
            feed.push(served)


Plugin = Callable[[PluginContext], Awaitable[None]]
"""What an entry point names: an async function. When it returns, the plugin has done its work."""


def view_of(entry: Entry) -> StreamView:
    """Return a stream as plugins see it."""
    return StreamView(entry.stream_id, entry.stream.spec, entry.record)
