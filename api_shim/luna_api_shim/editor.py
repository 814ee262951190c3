"""What users do to streams: create, change, replace, delete.

The spec is written first, as the wish that outlives a crash of this process, then the status. Both writes are
conditional; the operator may bring the status in line before us, with the same pure functions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime

from luna_api_shim.catalogue import Entry
from luna_api_shim.concurrency import for_each
from luna_api_shim.errors import UnknownGroupId, UnknownGroupName
from luna_api_shim.records import Records, utc_now
from luna_api_shim.specs import refused, write_spec
from luna_api_shim.store import Store
from luna_kube import ApiError, Invalid
from luna_streams import naming
from luna_streams.errors import StreamNotFound
from luna_streams.lifecycle import UserRequest, advance
from luna_streams.rest.messages import StreamPatch
from luna_streams.rest.submission import StreamBody, Submission
from luna_streams.stream import DesiredState, StreamSpec, StreamState, StreamStatus

log = logging.getLogger(__name__)


class Editor:
    """Carries out what users ask.

    Args:
        store: where streams are kept.
        records: writes their statuses.
        new_name: makes names of objects, which are stream ids.
        parallel_writes: how many deletions of one request run at the same time.
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        *,
        parallel_writes: int = 16,
        new_name: Callable[[], str] | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._records = records
        self._new_name = new_name or naming.UuidV7Factory()
        self._parallel_writes = parallel_writes
        self._now = now

    async def find(self, stream_id: str, account_id: str | None = None) -> Entry:
        """Return a stream.

        Raises:
            StreamNotFound: there is none with that id, or it is of another account.
        """
        entry = await self._store.find(stream_id)
        if entry is None or account_id not in (None, entry.stream.spec.account_id):
            raise StreamNotFound(stream_id)
        return entry

    async def create(self, body: StreamBody) -> Entry:
        """Create a stream: the object, then its Secret; without its Secret it does not stay.

        Raises:
            Refusal: a group does not exist, or the cluster refuses the values.
        """
        name = self._new_name()
        submission = body.to_submission(naming.secret_name(name))
        groups = await self._groups(submission)
        spec = submission.spec.model_copy(update={"groups": groups}) if groups else submission.spec
        try:
            entry = await self._store.create_stream(name, spec)
        except Invalid as e:
            raise refused(e) from e
        values = submission.credentials.secret_data()
        if values:
            try:
                await self._store.keep_secret(entry, values)
            except BaseException:
                await asyncio.shield(self._take_back(entry))
                raise
        return entry

    async def patch(self, entry: Entry, patch: StreamPatch) -> Entry:
        """Change description and wanted status.

        Raises:
            CannotPause, CannotCancel: the rules do not allow it; nothing was written.
            StreamNotFound: the stream is gone.
        """
        if patch.status is not None:
            entry = await self._records.initialise(entry)
        before = entry

        def change(current: Entry) -> StreamSpec:
            if patch.status is not None:  # refused before anything is written
                advance(current.record, _request(current, patch.status), self._now())
            return current.stream.spec.model_copy(update=_changes(patch))

        entry = await write_spec(self._store, entry, change)
        if patch.status is None:
            return entry
        wanted = _WISHES[patch.status]

        def follow(current: Entry, record: StreamStatus, now: datetime) -> StreamStatus:
            if current.record.observed_intent.desired_status == wanted != before.record.observed_intent.desired_status:
                return record  # the operator was faster; what happened since must not be undone
            return advance(record, _request(current, wanted.value), now).record

        return await self._records.move(entry, follow)

    async def replace(self, entry: Entry, body: StreamBody) -> Entry:
        """Replace the stream; its version rises by one, whoever sees the new spec first.

        Groups the body does not name are kept: they are the business of the linker. So are priority and placement,
        which the REST API does not know.

        Raises:
            StreamNotFound: the stream is gone.
            Refusal: a group does not exist, or the cluster refuses the values.
        """
        submission = body.to_submission(naming.secret_name(entry.stream.name))
        joined = await self._groups(submission)
        values = submission.credentials.secret_data()
        entry = await self._records.initialise(entry)  # a record made of the new spec would be version 1 again
        if values:
            await self._store.keep_secret(entry, values)

        def change(current: Entry) -> StreamSpec:
            old = current.stream.spec
            kept = {"groups": tuple(dict.fromkeys((*old.groups, *joined))), "restarted_at": self._now()}
            kept |= {"priority": old.priority, "placement": old.placement}
            return submission.spec.model_copy(update=kept)

        entry = await write_spec(self._store, entry, change)
        if not values:
            await self._store.keep_secret(entry, {})
        # restartedAt changed the data's hash: bringing the record in line with the spec raises the version, once.
        return await self._records.move(entry, lambda _entry, record, _now: record)

    async def delete(self, entry: Entry) -> None:
        """Delete a stream.

        Raises:
            StreamNotFound: somebody else was faster.
        """
        if not await self._store.delete_stream(entry):
            raise StreamNotFound(entry.stream_id)

    async def delete_all(self, entries: Iterable[Entry]) -> None:
        """Delete streams, several at a time; those that are gone already do not matter."""
        await for_each(entries, self._store.delete_stream, limit=self._parallel_writes)

    async def _groups(self, submission: Submission) -> tuple[str, ...]:
        """Return the names of the groups a submission asks to join."""
        names: list[str] = []
        account = submission.spec.account_id
        if submission.group_name is not None:
            if await self._store.find_group_named(account, submission.group_name) is None:
                raise UnknownGroupName(submission.group_name)
            names.append(submission.group_name)
        if submission.group_id is not None:
            group = await self._store.find_group(submission.group_id)
            if group is None or group.spec.account_id != account:
                raise UnknownGroupId(submission.group_id)
            names.append(group.spec.group_name)
        return tuple(dict.fromkeys(names))

    async def _take_back(self, entry: Entry) -> None:
        """Delete a stream whose Secret could not be written; if that fails too, it waits for its Secret for ever."""
        with suppress(ApiError):
            await self._store.delete_stream(entry)
            return
        log.error("stream %s has no Secret and could not be deleted: delete it by hand", entry.stream_id)


_WISHES: dict[str, DesiredState] = {
    "pending": StreamState.PENDING,
    "pause": StreamState.PAUSE,
    "cancel": StreamState.CANCEL,
}


def _request(entry: Entry, status: str) -> UserRequest:
    return UserRequest(_WISHES[status], entry.stream_id, is_videofile=entry.stream.spec.data.type == "videofile")


def _changes(patch: StreamPatch) -> dict[str, object]:
    changes: dict[str, object] = {}
    if patch.description is not None:
        changes["description"] = patch.description
    if patch.status is not None:
        changes["desired_status"] = _WISHES[patch.status]
    return changes
