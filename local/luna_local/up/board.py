"""What the streams do, for people and for the end of `up`: kept true by a reflector, told as plain facts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from luna_kube import STREAMS, CacheEvent, EventType, KubeClient, Reflector
from luna_kube.cache import Key
from luna_streams import naming

Json = dict[str, Any]

_BUSY = {"pending", "in_progress"}
FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream.

    Attributes:
        progress: share of a file that is done, 0 to 1; None for sources without an end.
        reason: why it is as it is: the error of a failed stream, else what its Ready condition says.
    """

    stream_id: str
    name: str
    status: str
    progress: float | None
    reason: str

    @property
    def is_busy(self) -> bool:
        """Whether it waits or is in progress."""
        return self.status in _BUSY


class StreamBoard:
    """The streams of the cluster, as rows."""

    def __init__(self, client: KubeClient) -> None:
        self._reflector = Reflector(client, STREAMS.everywhere())
        self._rows: dict[Key, StreamRow] = {}
        self._failed_before: frozenset[str] = frozenset()
        self.changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[StreamBoard]:
        """Keep the rows true for the length of the block."""
        self._reflector.subscribe(self._on_change)
        async with self._reflector.running():
            await self._reflector.synced.wait()
            self._failed_before = self._failed()
            yield self

    @property
    def rows(self) -> list[StreamRow]:
        """The streams in the order in which they were made."""
        return [self._rows[key] for key in sorted(self._rows)]

    @property
    def is_idle(self) -> bool:
        """Whether no stream waits or is in progress."""
        return not any(row.is_busy for row in self._rows.values())

    @property
    def failed(self) -> list[StreamRow]:
        """The streams that failed since this board runs."""
        return [row for row in self.rows if row.status == FAILURE and row.stream_id not in self._failed_before]

    def find(self, stream_id: str) -> StreamRow | None:
        """Return a stream by its id."""
        return next((row for row in self._rows.values() if row.stream_id == stream_id), None)

    def _failed(self) -> frozenset[str]:
        return frozenset(row.stream_id for row in self._rows.values() if row.status == FAILURE)

    def _on_change(self, event: CacheEvent) -> None:
        if event.type is EventType.DELETED:
            self._rows.pop(event.key, None)
        else:
            row = row_of(event.object)
            self._rows[event.key] = row
            if row.status != FAILURE:  # it runs again: if it fails again, that is news
                self._failed_before -= {row.stream_id}
        self.changed.set()


def row_of(stream: Json) -> StreamRow:
    """Return the row of a Stream object; one without a status has just been made and waits."""
    meta, spec, status = stream["metadata"], stream.get("spec") or {}, stream.get("status") or {}
    state = status.get("status") or spec.get("desiredStatus") or "pending"
    return StreamRow(
        stream_id=naming.stream_id(meta.get("namespace", ""), meta["name"]),
        name=spec.get("displayName") or meta["name"],
        status=state,
        progress=(status.get("videoInfo") or {}).get("progress"),
        reason=_reason(state, status),
    )


def _reason(state: str, status: Json) -> str:
    if state == FAILURE:
        return str(status.get("lastError") or "")
    if state not in _BUSY:
        return ""
    ready: Json = next((each for each in status.get("conditions") or [] if each.get("type") == "Ready"), {})
    return "" if ready.get("status") == "True" else str(ready.get("message") or ready.get("reason") or "")
