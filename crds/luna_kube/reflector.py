"""Keeps a local copy of a collection true: list, watch, resume, list again. The semantics are client-go's.

What can go wrong and what happens then:

| the server …                                  | the reflector …                                             |
|-----------------------------------------------|-------------------------------------------------------------|
| ends the stream, breaks TCP, cuts a line      | watches on from the last version it applied                 |
| goes silent for `stall_timeout_s`             | the same, on a new connection                               |
| says nothing at all, not even a bookmark      | lists again: it may be waiting for our version (see below)  |
| says 410 (status, in the stream, in a page)   | lists again; what was missed becomes ordinary events        |
| says that it is behind our version            | lists again and adopts the older history                    |
| answers 429, 5xx, 403, 404, or not at all     | waits longer each time (jitter, `Retry-After`), keeps trying |

A server whose etcd was restored from a backup is behind the versions its clients know. Asked to watch from such a
version, kube-apiserver 1.35 says nothing (measured: no event, no bookmark, no end) until it has caught up.

Between a fault and its repair, readers see the last known state; `synced` stays set once the first list is in.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from luna_kube.backoff import Backoff, BackoffSettings
from luna_kube.cache import Cache, CacheEvent, EventType, Json, Key
from luna_kube.client import KubeClient, WatchEvent, selectors
from luna_kube.errors import ApiError, Gone
from luna_kube.resources import CollectionRef

log = logging.getLogger(__name__)

Callback = Callable[[CacheEvent], None]

# A watch that lasted this long was in order, even if nothing happened meanwhile.
_HEALTHY_WATCH_S = 5.0


@dataclass(frozen=True, slots=True)
class ReflectorSettings:
    """Tuning; the defaults suit a real API server.

    Attributes:
        page_size: objects per list request.
        stall_timeout_s: silence after which a watch is dead; a real server sends a bookmark about once a minute.
        watch_timeout_s: the server is asked to end a watch after once to twice this time, to spread load.
        backoff: waits between failed attempts; the limit is how old a copy is at most when the server is back.
    """

    page_size: int = 500
    stall_timeout_s: float = 90.0
    watch_timeout_s: int = 240
    backoff: BackoffSettings = field(default_factory=lambda: BackoffSettings(limit_s=10.0))


class Reflector:
    """A live copy of one collection.

    Args:
        client: an open client.
        collection: what to copy.
        labels, fields: selectors, as kubectl takes them.

    Attributes:
        cache: the objects; `managedFields` are left out (they are half of an object, and nobody here reads them).
        synced: set when the first list is in the cache.
        last_error: why the server cannot be heard right now, None when it can.
    """

    def __init__(
        self,
        client: KubeClient,
        collection: CollectionRef,
        *,
        labels: str = "",
        fields: str = "",
        settings: ReflectorSettings | None = None,
    ) -> None:
        self.collection = collection
        self.cache = Cache()
        self.synced = asyncio.Event()
        self.last_error: ApiError | None = None
        self._client = client
        self._labels, self._fields = labels, fields
        self._settings = settings or ReflectorSettings()
        self._callbacks: list[Callback] = []
        self._version: str | None = None

    @property
    def resource_version(self) -> str | None:
        """The version of the collection up to which the watch brought the copy; None before the first list."""
        return self._version

    def get(self, namespace: str | None, name: str) -> Json | None:
        """Return an object of the cache, or None."""
        return self.cache.get((namespace or "", name))

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call back on every change from now on, in order, first once for every object that is here already.

        The callback runs inside of the reflector: it must be quick and must not raise (that ends the owner).

        Returns:
            A function that ends the subscription.
        """
        self._callbacks.append(callback)
        for key, obj in self.cache.items():
            callback(CacheEvent(EventType.ADDED, key, obj))
        return lambda: self._callbacks.remove(callback)

    async def changes(self) -> AsyncGenerator[CacheEvent, None]:
        """Yield the last change of every object, beginning with those that are here already.

        A consumer slower than the changes skips versions of an object, never its last one: memory is bounded by the
        number of objects. Objects may thus be DELETED that were never seen.
        """
        pending: dict[Key, CacheEvent] = {}
        wake = asyncio.Event()

        def keep(event: CacheEvent) -> None:
            pending[event.key] = event
            wake.set()

        unsubscribe = self.subscribe(keep)
        try:
            while True:
                await wake.wait()
                while pending:
                    yield pending.pop(next(iter(pending)))
                wake.clear()
        finally:
            unsubscribe()

    def observe(self, obj: Json) -> None:
        """Put the answer of an own write into the cache at once, ahead of the watch, unless something newer is there.

        With selectors, only for objects that match them.
        """
        self._tell(self.cache.put(_slim(obj), is_own_write=True))

    def observe_deleted(self, namespace: str | None, name: str, uid: str) -> None:
        """Take an object that an own delete removed for good out of the cache at once.

        Not for objects that live on for a while (the answer of `delete` is then the object: `observe` it).
        """
        self._tell(self.cache.remove_own((namespace or "", name), uid))

    async def run(self) -> None:
        """Keep the copy true until cancelled; failures of the server never end it."""
        backoff = Backoff(self._settings.backoff)
        while True:
            wait_s = 0.0
            try:
                if self._version is None:
                    await self._list()
                if await self._watch():
                    backoff.reset()
            except Gone:
                self._version = None
            except ApiError as e:
                self._note(e)
                wait_s = e.retry_after_s or 0.0
            # Not the longer of the two: those who were told the same time must not come back together.
            await asyncio.sleep(wait_s + backoff.next_s())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run in the background for the length of the block, which a crash of the reflector ends at once.

        A copy that nobody keeps true any more must not be believed: the task that runs the block is cancelled, and
        leaves it with the error of the crash (`asyncio.timeout` ends a block in the same way).
        """
        owner = asyncio.current_task()
        assert owner is not None  # noqa: S101  this runs in a task
        cancelled_before, is_over, is_interrupted = owner.cancelling(), False, False
        task = asyncio.create_task(self.run(), name=f"reflector: {self.collection}")

        def interrupt(_: object) -> None:
            nonlocal is_interrupted
            if not is_over and _crash(task) is not None:
                is_interrupted = True
                owner.cancel()

        task.add_done_callback(interrupt)
        try:
            yield
        except asyncio.CancelledError:
            # Somebody else may have cancelled the owner too: then it stays cancelled.
            if not is_interrupted or owner.uncancel() > cancelled_before:
                raise
        finally:
            is_over = True
            task.cancel()
            await asyncio.wait({task})
        if (crash := _crash(task)) is not None:
            raise crash

    async def _list(self) -> None:
        seen_before = self.cache.highest_version
        listed = await self._client.list(
            self.collection, labels=self._labels, fields=self._fields, page_size=self._settings.page_size
        )
        events = self.cache.replace(listed.items, listed.resource_version, seen_before)
        self._version = listed.resource_version
        self._tell(events)
        self._note(None)
        self.synced.set()

    async def _watch(self) -> bool:
        """Apply one watch until it ends.

        Returns:
            True if it was of use: something came, or it lasted; False asks for a longer wait before the next.
        """
        assert self._version is not None  # noqa: S101  _list ran before
        began, was_heard, was_useful = time.monotonic(), False, False
        timeout_s = round(self._settings.watch_timeout_s * random.uniform(1, 2))  # noqa: S311  jitter
        params = {**selectors(self._labels, self._fields), "timeoutSeconds": str(timeout_s)}
        stall_timeout_s = self._settings.stall_timeout_s
        try:
            async with self._client.watch(
                self.collection, self._version, params=params, stall_timeout_s=stall_timeout_s
            ) as events:
                self._note(None)
                async for event in events:
                    was_heard = True
                    was_useful = self._apply(event) or was_useful
        except Gone:
            raise
        except ApiError as e:
            if e.retry_after_s is not None:
                raise
            self._note(e)
            if not was_heard and time.monotonic() - began >= stall_timeout_s:
                self._version = None
        return was_useful or time.monotonic() - began >= _HEALTHY_WATCH_S

    def _apply(self, event: WatchEvent) -> bool:
        """Apply one line of the watch; tell whether it was a change (a bookmark is none)."""
        obj = event.object
        if event.type == "DELETED":
            self._tell(self.cache.remove(_slim(obj)))
        elif event.type != "BOOKMARK":
            self._tell(self.cache.put(_slim(obj)))
        # Last, so that a callback's failure leaves the event to be seen again.
        self._version = obj["metadata"]["resourceVersion"]
        return event.type != "BOOKMARK"

    def _tell(self, events: list[CacheEvent]) -> None:
        for event in events:
            for callback in tuple(self._callbacks):
                callback(event)

    def _note(self, error: ApiError | None) -> None:
        """Remember whether the server can be heard; say it when that changes."""
        if error is not None and self.last_error is None:
            log.warning("%s: lost touch, trying on: %s", self.collection, error)
        elif error is None and self.last_error is not None:
            log.info("%s: in touch again", self.collection)
        self.last_error = error


def _crash(task: asyncio.Task[None]) -> BaseException | None:
    """Return what ended a task by itself; None if it runs or was cancelled."""
    return task.exception() if task.done() and not task.cancelled() else None


def _slim(obj: Json) -> Json:
    """Leave out managedFields."""
    obj["metadata"].pop("managedFields", None)
    return obj
