"""The store in a real (or embedded) Kubernetes API server: reflectors to read, conditional writes to change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from pydantic import ValidationError

from luna_api_shim.errors import NotReady
from luna_api_shim.storage.catalogue import Catalogue, Entry, Key
from luna_api_shim.storage.store import Listener
from luna_api_shim.storage.vault import Vault
from luna_api_shim.storage.views import Groups, View
from luna_kube import (
    SECRETS,
    STREAM_GROUPS,
    STREAM_PROCESSORS,
    STREAMS,
    ApiError,
    CacheEvent,
    CollectionRef,
    Conflict,
    EventType,
    Json,
    KubeClient,
    NotFound,
    Reflector,
    Resource,
    merge_patch,
)
from luna_streams import naming
from luna_streams.credentials import Credentials, resolve
from luna_streams.group import StreamGroup, StreamGroupSpec
from luna_streams.pool import StreamProcessor
from luna_streams.stream import Stream, StreamSpec, StreamStatus

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 3.0
_MOST_ATTEMPTS: Final = 10
_RECENT_S: Final = 5.0
"""No watch is further behind than that, as long as all is well."""
_MOST_RECENT: Final = 32
_LOOK_S: Final = 0.01


class KubernetesStore:
    """The store in a real (or embedded) API server.

    Args:
        client: open client.
        namespace: where streams and groups are created.
        everywhere: whether other namespaces are served too.
    """

    def __init__(self, client: KubeClient, *, namespace: str, everywhere: bool = False) -> None:
        self._client = client
        self.namespace = namespace
        self._everywhere = everywhere
        self._listeners: list[Listener] = []
        self._surroundings: list[Callable[[], None]] = []
        self.catalogue = Catalogue()
        self._written: dict[Key, float] = {}
        self._streams = self._reflector(STREAMS)
        self._secrets = self._reflector(SECRETS, labels=naming.LABEL_CREDENTIALS)
        self._group_objects = self._reflector(STREAM_GROUPS)
        pools = self._reflector(STREAM_PROCESSORS)
        self._reflectors = (self._streams, self._secrets, self._group_objects, pools)
        self._streams.subscribe(self._apply)
        self._secrets.subscribe(lambda _event: self._surroundings_changed())
        self.groups = Groups(View(self._group_objects, StreamGroup.from_object, self._surroundings_changed))
        self.pools: Iterable[StreamProcessor] = View(pools, StreamProcessor.from_object, self._surroundings_changed)
        self.vault = Vault(client, self._secrets)

    def _reflector(self, resource: Resource, labels: str = "") -> Reflector:
        return Reflector(self._client, self._collection(resource), labels=labels)

    def _collection(self, resource: Resource) -> CollectionRef:
        return resource.everywhere() if self._everywhere else resource.within(self.namespace)

    # -- running -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the copies true for the length of the block."""
        async with AsyncExitStack() as stack:
            for reflector in self._reflectors:
                await stack.enter_async_context(reflector.running())
            yield

    @property
    def is_synced(self) -> bool:
        """Whether everything was read once."""
        return all(reflector.synced.is_set() for reflector in self._reflectors)

    @property
    def trouble(self) -> ApiError | None:
        """Why the API server cannot be heard right now; None when it can."""
        return next((reflector.last_error for reflector in self._reflectors if reflector.last_error), None)

    async def synced(self) -> None:
        """Wait until everything was read once."""
        for reflector in self._reflectors:
            await reflector.synced.wait()

    async def ready(self) -> None:
        """See `Store`."""
        if self.is_synced:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.synced()
        except TimeoutError:
            raise NotReady("the API server was not heard yet") from None

    # -- reading -------------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> None:
        """See `Store`."""
        self._listeners.append(listener)
        for entry in self.catalogue:
            listener(None, entry)

    def subscribe_surroundings(self, listener: Callable[[], None]) -> None:
        """See `Store`."""
        self._surroundings.append(listener)

    def credentials(self, stream: Stream) -> Credentials:
        """See `Store`."""
        return resolve(stream.spec.data, lambda ref: self.vault.value(stream.namespace, ref))

    def secret_versions(self, stream: Stream) -> tuple[str, ...]:
        """See `Store`."""
        return self.vault.versions(stream.namespace, stream.spec.data)

    async def find(self, stream_id: str) -> Entry | None:
        """See `Store`."""
        await self.ready()
        return self.catalogue.get(stream_id) or await self._read((self.namespace, stream_id))

    def exists(self, namespace: str, name: str, uid: str) -> bool:
        """See `Store`."""
        metadata = (self._streams.get(namespace, name) or {}).get("metadata", {})
        return metadata.get("uid") == uid and "deletionTimestamp" not in metadata

    def recently_written(self) -> list[str]:
        """See `Store`."""
        since = time.monotonic() - _RECENT_S
        return [naming.stream_id(*key) for key, when in reversed(self._written.items()) if when >= since]

    async def look_again(self, stream_id: str) -> None:
        """See `Store`."""
        entry = self.catalogue.get(stream_id)
        if entry is None:
            await self._read((self.namespace, stream_id))
        elif await self.refetch(entry) is None:
            # It is gone; the watch is about to say so, and tells the last state of it.
            while self.catalogue.at(entry.key) is entry:
                await asyncio.sleep(_LOOK_S)

    def _note_write(self, key: Key) -> None:
        self._written.pop(key, None)
        self._written[key] = time.monotonic()
        if len(self._written) > _MOST_RECENT:
            del self._written[next(iter(self._written))]

    async def refetch(self, entry: Entry) -> Entry | None:
        """See `Store`."""
        return await self._read(entry.key)

    async def fetch_secrets(self, stream: Stream) -> None:
        """See `Store`."""
        await self.vault.fetch(stream)

    async def find_group(self, group_id: str) -> StreamGroup | None:
        """See `Store`."""
        return self.groups.get(group_id) or await self._read_group(group_id)

    async def find_group_named(self, account_id: str, group_name: str) -> StreamGroup | None:
        """See `Store`."""
        known = self.groups.named(account_id, group_name)
        return known or await self._read_group(naming.group_object_name(account_id, group_name))

    async def _read_group(self, name: str) -> StreamGroup | None:
        try:
            return self._group(await self._client.get(STREAM_GROUPS.at(self.namespace, name)))
        except NotFound:
            return None

    async def _read(self, key: Key) -> Entry | None:
        try:
            return self._observe(await self._client.get(STREAMS.at(*key)))
        except NotFound:
            return None

    # -- writing -------------------------------------------------------------------------------------------------------

    async def create_stream(self, name: str, spec: StreamSpec) -> Entry:
        """See `Store`."""
        body = {**_header(STREAMS, self.namespace, name), "spec": spec.to_resource()}
        return self._entry(await self._client.create(STREAMS.within(self.namespace), body))

    async def replace_spec(self, entry: Entry, spec: StreamSpec) -> Entry:
        """See `Store`."""
        known = self._streams.get(*entry.key)
        if known is None or known["metadata"]["resourceVersion"] != entry.stream.resource_version:
            raise Conflict(f"PUT {entry.stream_id}", "the cache has another version")
        # Only what changes: whoever applies the stream with kubectl keeps all other fields to himself.
        change = merge_patch(entry.stream.spec.to_resource(), spec.to_resource())
        body = {"metadata": {"resourceVersion": entry.stream.resource_version}, "spec": change}
        return self._entry(await self._client.patch(STREAMS.at(*entry.key), body))

    async def write_status(self, entry: Entry, record: StreamStatus) -> Entry:
        """See `Store`."""
        body = {**_header(STREAMS, *entry.key), "status": record.to_resource()}
        body["metadata"] |= {"uid": entry.stream.uid, "resourceVersion": entry.stream.resource_version}
        return self._entry(await self._client.replace(STREAMS.at(*entry.key).status, body))

    async def delete_stream(self, entry: Entry) -> bool:
        """See `Store`."""
        answer = await self._delete_as_known(entry)
        if answer is None:
            return False
        self._note_write(entry.key)
        if answer.get("kind") == STREAMS.kind:
            self._streams.observe(answer)
        else:
            self._streams.observe_deleted(*entry.key, entry.stream.uid)
        return True

    async def _delete_as_known(self, entry: Entry) -> Json | None:
        """Delete the version of a stream that is known here, else what was written last would miss in the log.

        Returns:
            The answer; None if somebody else was faster.
        """
        version = entry.stream.resource_version
        for attempt in range(_MOST_ATTEMPTS):
            last = attempt == _MOST_ATTEMPTS - 1
            try:
                return await self._client.delete(
                    STREAMS.at(*entry.key), uid=entry.stream.uid, resource_version="" if last else version
                )
            except NotFound:
                return None
            except Conflict:
                present = await self._read(entry.key)
                if last or present is None or present.stream.uid != entry.stream.uid:
                    return None
                version = present.stream.resource_version
        raise AssertionError("the last attempt returns")

    async def create_secret(self, key: Key, name: str, values: Mapping[str, str], owner: Entry | None) -> None:
        """See `Store`."""
        await self.vault.create(key, name, values, None if owner is None else owner.stream)

    async def adopt_secrets(self, entry: Entry) -> None:
        """See `Store`."""
        await self.vault.adopt(entry.stream)

    async def discard_secrets(self, key: Key, names: Iterable[str]) -> None:
        """See `Store`."""
        await self.vault.discard(key, names)

    async def create_group(self, spec: StreamGroupSpec) -> StreamGroup:
        """See `Store`."""
        name = naming.group_object_name(spec.account_id, spec.group_name)
        body = {**_header(STREAM_GROUPS, self.namespace, name), "spec": spec.to_resource()}
        return self._group(await self._client.create(STREAM_GROUPS.within(self.namespace), body))

    async def describe_group(self, group: StreamGroup, description: str) -> bool:
        """See `Store`."""
        ref = STREAM_GROUPS.at(group.namespace, group.name)
        try:
            self._group(await self._client.patch(ref, {"spec": {"description": description}}))
        except NotFound:
            return False
        return True

    async def delete_group(self, group: StreamGroup) -> bool:
        """See `Store`."""
        try:
            answer = await self._client.delete(STREAM_GROUPS.at(group.namespace, group.name), uid=group.uid)
        except (NotFound, Conflict):
            return False
        if answer.get("kind") != STREAM_GROUPS.kind:
            self._group_objects.observe_deleted(group.namespace, group.name, group.uid)
        return True

    def _group(self, obj: Json) -> StreamGroup:
        """Put an own write into the cache and return it."""
        self._group_objects.observe(obj)
        return StreamGroup.from_object(obj)

    # -- what was read or written --------------------------------------------------------------------------------------

    def _entry(self, obj: Json) -> Entry:
        """Put an own write into the catalogue and return it."""
        self._note_write((obj["metadata"]["namespace"], obj["metadata"]["name"]))
        entry = self._observe(obj)
        if entry is None:
            raise NotFound(f"PUT {obj['metadata']['name']}", "the stream is being deleted", status=404)
        return entry

    def _observe(self, obj: Json) -> Entry | None:
        """Put an object into the catalogue, unless something newer is there; None for one that is being deleted."""
        self._streams.observe(obj)
        meta = obj["metadata"]
        entry = self.catalogue.at((meta["namespace"], meta["name"]))
        if entry is not None and entry.stream.resource_version == meta["resourceVersion"]:
            return entry
        return self._parse((meta["namespace"], meta["name"]), obj)

    def _apply(self, event: CacheEvent) -> None:
        entry = None if event.type is EventType.DELETED else self._parse(event.key, event.object)
        old = self.catalogue.remove(event.key) if entry is None else self.catalogue.put(entry)
        visible = self.catalogue.at(event.key)
        for listener in self._listeners:
            listener(old, visible)

    def _parse(self, key: Key, obj: Json) -> Entry | None:
        """Return the stream, None for one that is going or that this release does not understand."""
        try:
            stream = Stream.from_object(obj)
        except ValidationError as e:
            log.warning("stream %s is not understood: %s", "/".join(key), e)
            return None
        return None if stream.is_deleting else Entry(stream)

    def _surroundings_changed(self) -> None:
        for listener in self._surroundings:
            listener()


def _header(resource: Resource, namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"namespace": namespace, "name": name},
    }
