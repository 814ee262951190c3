"""What users do to streams: create, change, replace, delete.

The spec is written first, as the wish that outlives a crash of this process, then the status. Both writes are
conditional; the operator may bring the status in line before us, with the same pure functions.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from luna_api_shim.concurrency import for_each
from luna_api_shim.editing.quota import Quota
from luna_api_shim.errors import NotReady, Refusal, UnknownGroupId, UnknownGroupName
from luna_api_shim.storage.catalogue import Entry, Key
from luna_api_shim.storage.records import Records, utc_now
from luna_api_shim.storage.specs import refused, write_spec
from luna_api_shim.storage.store import Store
from luna_kube import ApiError, Invalid, Unavailable
from luna_streams import naming
from luna_streams.credentials import secret_names
from luna_streams.errors import DomainError, StreamNotFound
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
        quota: says whether one more may be active; by default there is no limit.
        parallel_writes: how many deletions of one request run at the same time.
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        *,
        quota: Quota | None = None,
        parallel_writes: int = 16,
    ) -> None:
        self._store = store
        self._records = records
        self._quota = quota or Quota(store)
        self._new_name = naming.UuidV7Factory()
        self._parallel_writes = parallel_writes

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
        """Create a stream; its Secret is made first, so that a crash in between leaves no stream without credentials.

        Raises:
            Refusal: a group does not exist, the quota is used up, or the cluster refuses the values.
        """
        key = self._store.namespace, self._new_name()
        secret = naming.secret_name(key[1], secrets.token_hex(5))
        submission = body.to_submission(secret)
        groups = await self._groups(submission)
        spec = submission.spec.model_copy(update={"groups": groups}) if groups else submission.spec
        async with self._quota.place(key[1], spec.account_id, spec.desired_status):
            return await self._write_new(key, spec, secret, submission.credentials.secret_data())

    async def _write_new(self, key: Key, spec: StreamSpec, secret: str, values: Mapping[str, str]) -> Entry:
        if not values:
            return await self._create(key[1], spec)
        await self._store.create_secret(key, secret, values, owner=None)
        async with self._taking_back(key, secret):
            entry = await self._create(key[1], spec)
        try:
            await self._store.adopt_secrets(entry)
        except ApiError as e:
            log.warning("stream %s: its Secret has no owner yet: %s", entry.stream_id, e)
        return entry

    async def patch(self, entry: Entry, patch: StreamPatch) -> Entry:
        """Change description and wanted status.

        Raises:
            CannotPause, CannotCancel: the rules do not allow it; nothing was written.
            QuotaExceeded: one more stream may not be active.
            StreamNotFound: the stream is gone.
        """
        if patch.status is None:
            return await write_spec(self._store, entry, lambda current: _changed(current, patch))
        entry = await self._records.initialise(entry)
        becomes = advance(entry.record, _request(entry, patch.status), utc_now()).record.status
        async with self._quota.place(entry.stream_id, entry.stream.spec.account_id, becomes):
            return await self._move(entry, patch, _WISHES[patch.status])

    async def _move(self, before: Entry, patch: StreamPatch, wanted: DesiredState) -> Entry:
        """Write a changed wish, then the status that follows from it."""

        def change(current: Entry) -> StreamSpec:
            advance(current.record, _request(current, wanted.value), utc_now())  # refused before anything is written
            return _changed(current, patch)

        entry = await write_spec(self._store, before, change)

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
            Refusal: a group does not exist, the quota is used up, or the cluster refuses the values.
        """
        secret = naming.secret_name(entry.stream.name, secrets.token_hex(5))
        submission = body.to_submission(secret)
        joined = await self._groups(submission)
        async with self._quota.place(entry.stream_id, submission.spec.account_id, submission.spec.desired_status):
            return await self._replace(entry, submission, joined, secret)

    async def _replace(self, entry: Entry, submission: Submission, joined: tuple[str, ...], secret: str) -> Entry:
        values = submission.credentials.secret_data()
        entry = await self._records.initialise(entry)  # a record made of the new spec would be version 1 again
        replaced = entry.stream.spec

        def change(current: Entry) -> StreamSpec:
            nonlocal replaced
            replaced = current.stream.spec
            kept = {"groups": tuple(dict.fromkeys((*replaced.groups, *joined))), "restarted_at": utc_now()}
            kept |= {"priority": replaced.priority, "placement": replaced.placement}
            return submission.spec.model_copy(update=kept)

        if values:
            await self._store.create_secret(entry.key, secret, values, owner=entry)
        async with self._taking_back(entry.key, secret):
            entry = await write_spec(self._store, entry, change)
        # Only what this very write replaced: a Secret that another PUT has just made is named by no spec yet. And never
        # what the spec names now: a proxy that repeats a PUT makes it replace itself.
        unused = set(secret_names(replaced.data)) - set(secret_names(entry.stream.spec.data))
        await self._store.discard_secrets(entry.key, unused)
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

    async def _create(self, name: str, spec: StreamSpec) -> Entry:
        try:
            return await self._store.create_stream(name, spec)
        except Invalid as e:
            raise refused(e) from e

    @asynccontextmanager
    async def _taking_back(self, key: Key, secret: str) -> AsyncIterator[None]:
        """Delete a Secret again if the spec that names it was not written; if that is not known, leave it."""
        try:
            yield
        except Unavailable:
            raise
        except (ApiError, DomainError, Refusal, NotReady):
            await self._store.discard_secrets(key, (secret,))
            raise


_WISHES: dict[str, DesiredState] = {
    "pending": StreamState.PENDING,
    "pause": StreamState.PAUSE,
    "cancel": StreamState.CANCEL,
}


def _request(entry: Entry, status: str) -> UserRequest:
    return UserRequest(_WISHES[status], entry.stream_id, is_videofile=entry.stream.spec.data.type == "videofile")


def _changed(entry: Entry, patch: StreamPatch) -> StreamSpec:
    changes: dict[str, object] = {}
    if patch.description is not None:
        changes["description"] = patch.description
    if patch.status is not None:
        changes["desired_status"] = _WISHES[patch.status]
    return entry.stream.spec.model_copy(update=changes)
