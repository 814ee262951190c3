"""What users do to groups: create, describe, delete, attach streams and detach them.

A group is a name that streams carry in their spec; the group's object holds no list. Joining and leaving a group
changes nothing a worker acts upon, so versions stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from luna_api_shim.concurrency import for_each
from luna_api_shim.errors import BadBody
from luna_api_shim.storage.catalogue import Entry, StreamFilter
from luna_api_shim.storage.specs import write_spec
from luna_api_shim.storage.store import Store
from luna_kube import AlreadyExists, ApiError
from luna_streams.errors import GroupExists, GroupNotFound, StreamNotFound
from luna_streams.group import StreamGroup, StreamGroupSpec
from luna_streams.rest.messages import GroupPatch, LinkerRequest
from luna_streams.stream import StreamSpec

log = logging.getLogger(__name__)


class GroupEditor:
    """Carries out what users ask.

    Args:
        store: where groups and streams are kept.
        parallel_writes: streams of one request that are changed at the same time.
    """

    def __init__(self, store: Store, *, parallel_writes: int = 16) -> None:
        self._store = store
        self._parallel_writes = parallel_writes

    async def find(self, group_id: str, account_id: str | None = None) -> StreamGroup:
        """Return a group.

        Raises:
            GroupNotFound: there is none with that id, or it is of another account.
        """
        group = await self._store.find_group(group_id)
        if group is None or account_id not in (None, group.spec.account_id):
            raise GroupNotFound(group_id)
        return group

    async def create(self, spec: StreamGroupSpec) -> StreamGroup:
        """Create a group.

        Raises:
            GroupExists: the account has a group of that name.
        """
        if self._store.groups.named(spec.account_id, spec.group_name) is not None:
            raise GroupExists(spec.group_name)
        try:
            return await self._store.create_group(spec)
        except AlreadyExists:
            raise GroupExists(spec.group_name) from None

    async def patch(self, group: StreamGroup, patch: GroupPatch) -> None:
        """Change the description.

        Raises:
            GroupNotFound: the group is gone.
        """
        if not await self._store.describe_group(group, patch.description):
            raise GroupNotFound(group.group_id)

    async def delete(self, group: StreamGroup) -> None:
        """Delete a group, after its streams left it; they stay if a manifest made another of the same name.

        Raises:
            GroupNotFound: somebody else was faster.
        """
        members = StreamFilter(account_id=group.spec.account_id, group_name=group.spec.group_name)
        if not self._has_twin(group):
            await self._change(self._store.catalogue.matching(members), _leave(group))
        if not await self._store.delete_group(group):
            raise GroupNotFound(group.group_id)

    async def link(self, request: LinkerRequest, account_id: str | None) -> None:
        """Attach streams to a group or detach them; ids of no stream, and streams of other accounts, are passed over.

        Raises:
            GroupNotFound: there is no such group.
            BadBody: a stream is in as many groups as it can be.
            ApiError: some streams could not be changed; the log names them.
        """
        group = await self.find(request.group_id, account_id)
        found = await for_each(dict.fromkeys(request.stream_ids), self._store.find, limit=self._parallel_writes)
        own = [entry for entry in found if entry and entry.stream.spec.account_id == group.spec.account_id]
        await self._change(own, _join(group) if request.action == "attach" else _leave(group))

    def _has_twin(self, group: StreamGroup) -> bool:
        meant = group.spec.account_id, group.spec.group_name
        return any(
            one.uid != group.uid and (one.spec.account_id, one.spec.group_name) == meant for one in self._store.groups
        )

    async def _change(self, entries: Iterable[Entry], change: Callable[[Entry], StreamSpec]) -> None:
        """Change streams, each of them, also after one failed; then say that some did."""
        failures: list[ApiError | BadBody] = []

        async def one(entry: Entry) -> None:
            try:
                await write_spec(self._store, entry, change)
            except StreamNotFound:
                return
            except (ApiError, BadBody) as e:
                log.warning("stream %s could not be changed: %s", entry.stream_id, e)
                failures.append(e)

        await for_each(entries, one, limit=self._parallel_writes)
        if failures:
            raise failures[0]


def _join(group: StreamGroup) -> Callable[[Entry], StreamSpec]:
    def change(entry: Entry) -> StreamSpec:
        spec = entry.stream.spec
        return spec.model_copy(update={"groups": tuple(dict.fromkeys((*spec.groups, group.spec.group_name)))})

    return change


def _leave(group: StreamGroup) -> Callable[[Entry], StreamSpec]:
    def change(entry: Entry) -> StreamSpec:
        spec = entry.stream.spec
        return spec.model_copy(update={"groups": tuple(name for name in spec.groups if name != group.spec.group_name)})

    return change
