"""A store in memory with the rules of an API server: versions, conflicts, status apart from spec.

`before_write` runs ahead of every write, so a test can be the one who was faster, or make the write fail.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from luna_api_shim.storage.catalogue import Catalogue, Entry, Key
from luna_api_shim.storage.store import Listener
from luna_kube import ApiError, Conflict, NotFound
from luna_streams.credentials import Credentials, resolve, secret_lookup, secret_names
from luna_streams.group import StreamGroup, StreamGroupSpec
from luna_streams.pool import StreamProcessor
from luna_streams.stream import Stream, StreamSpec, StreamStatus


class MemoryGroups:
    def __init__(self) -> None:
        self.all: list[StreamGroup] = []

    def __iter__(self) -> Iterator[StreamGroup]:
        return iter(self.all)

    def named(self, account_id: str, group_name: str) -> StreamGroup | None:
        wanted = account_id, group_name
        return next((one for one in self.all if (one.spec.account_id, one.spec.group_name) == wanted), None)

    def get(self, group_id: str) -> StreamGroup | None:
        return next((one for one in self.all if one.group_id == group_id), None)


class MemoryStore:
    namespace = "default"

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.groups = MemoryGroups()
        self.pools: list[StreamProcessor] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.owners: dict[str, str | None] = {}
        """Of the Secrets that `create_secret` made: uid of the stream, if they have one."""
        self.refetches: list[str] = []
        self.fetches: list[str] = []
        self.order: random.Random | None = None
        """If set, every access waits for a random number of turns of the loop: tasks meet in every order."""
        self.access_s = 0.0
        """How long every access takes."""
        self.objects: dict[Key, Stream] = {}
        self.writes: list[str] = []
        self.before_write: Callable[[str, Stream | None], None] = lambda _what, _stream: None
        self._read_error: ApiError | None = None
        self._versions = itertools.count(1000)
        self._listeners: list[Listener] = []

    # -- what a test does ----------------------------------------------------------------------------------------------

    def add(self, stream: Stream) -> Entry:
        """Put a stream there, as it is."""
        return self._keep(stream)

    def change(self, stream: Stream, **changes: object) -> Entry:
        """Write behind the back of the shim; its catalogue does not know yet."""
        present = self.objects[stream.namespace, stream.name]
        self.objects[stream.namespace, stream.name] = present.model_copy(
            update={"resource_version": str(next(self._versions)), **changes}
        )
        return Entry(self.objects[stream.namespace, stream.name])

    def forget(self, entry: Entry) -> None:
        """Let the catalogue lack a stream that is there, as if the watch had not told of it yet."""
        self.catalogue.remove(entry.key)

    def fail_reads(self, error: ApiError | None) -> None:
        """Let reads past the catalogue fail, or work again."""
        self._read_error = error

    def record(self, entry: Entry) -> StreamStatus:
        status = self.objects[entry.key].status
        assert status is not None
        return status

    # -- Store ---------------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def subscribe_surroundings(self, listener: Callable[[], None]) -> None:
        pass

    def credentials(self, stream: Stream) -> Credentials:
        return resolve(stream.spec.data, secret_lookup(self.secrets))

    def secret_versions(self, stream: Stream) -> tuple[str, ...]:
        return tuple(str(hash(str(self.secrets.get(name)))) for name in secret_names(stream.spec.data))

    async def ready(self) -> None:
        pass

    def exists(self, namespace: str, name: str, uid: str) -> bool:
        stream = self.objects.get((namespace, name))
        return stream is not None and stream.uid == uid

    def recently_written(self) -> list[str]:
        return []

    async def look_again(self, stream_id: str) -> None:
        pass

    async def find(self, stream_id: str) -> Entry | None:
        stream = self.objects.get((self.namespace, stream_id))
        return self.catalogue.get(stream_id) or (None if stream is None else self._keep(stream))

    async def refetch(self, entry: Entry) -> Entry | None:
        await self._turn()
        self.refetches.append(entry.stream_id)
        if self._read_error is not None:
            raise self._read_error
        stream = self.objects.get(entry.key)
        return None if stream is None else self._keep(stream)

    async def find_group(self, group_id: str) -> StreamGroup | None:
        return self.groups.get(group_id)

    async def find_group_named(self, account_id: str, group_name: str) -> StreamGroup | None:
        return self.groups.named(account_id, group_name)

    async def create_stream(self, name: str, spec: StreamSpec) -> Entry:
        await self._turn()
        self._write("create", None)
        return self._keep(
            Stream(
                namespace="default",
                name=name,
                uid=str(uuid.uuid4()),
                resource_version=str(next(self._versions)),
                create_time=datetime.now(UTC),
                spec=spec,
            )
        )

    async def replace_spec(self, entry: Entry, spec: StreamSpec) -> Entry:
        await self._turn()
        present = self._expect("spec", entry)
        changes = {"spec": spec, "generation": present.generation + 1, "resource_version": str(next(self._versions))}
        return self._keep(present.model_copy(update=changes))

    async def write_status(self, entry: Entry, record: StreamStatus) -> Entry:
        await self._turn()
        present = self._expect("status", entry)
        changes = {"status": record, "resource_version": str(next(self._versions))}
        return self._keep(present.model_copy(update=changes))

    async def delete_stream(self, entry: Entry) -> bool:
        await self._turn()
        self._write("delete", entry.stream)
        if self.objects.pop(entry.key, None) is None:
            return False
        self._tell(self.catalogue.remove(entry.key), None)
        return True

    async def create_secret(self, key: Key, name: str, values: Mapping[str, str], owner: Entry | None) -> None:
        await self._turn()
        assert name not in self.secrets
        self._write("secret", None if owner is None else owner.stream)
        self.secrets[name] = dict(values)
        self.owners[name] = None if owner is None else owner.stream.uid

    async def adopt_secrets(self, entry: Entry) -> None:
        await self._turn()
        self._write("adopt", entry.stream)
        for name in secret_names(entry.stream.spec.data):
            if name in self.owners:
                self.owners[name] = entry.stream.uid

    async def discard_secrets(self, key: Key, names: Iterable[str]) -> None:
        await self._turn()
        for name in set(names) & self.owners.keys():
            self._write("discard", self.objects.get(key))
            del self.owners[name], self.secrets[name]

    async def fetch_secrets(self, stream: Stream) -> None:
        self.fetches.append(stream.name)

    async def create_group(self, spec: StreamGroupSpec) -> StreamGroup:
        raise NotImplementedError("tests put groups into `groups.all`")

    async def describe_group(self, group: StreamGroup, description: str) -> bool:
        raise NotImplementedError("groups are tested against an API server")

    async def delete_group(self, group: StreamGroup) -> bool:
        raise NotImplementedError("groups are tested against an API server")

    # -- below ---------------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        for _ in range(self.order.randrange(4) if self.order else 0):
            await asyncio.sleep(0)
        if self.access_s:
            await asyncio.sleep(self.access_s)

    def _expect(self, what: str, entry: Entry) -> Stream:
        self._write(what, entry.stream)
        present = self.objects.get(entry.key)
        if present is None:
            raise NotFound(what, "gone", status=404)
        if present.resource_version != entry.stream.resource_version:
            raise Conflict(what, "somebody was faster", status=409)
        return present

    def _write(self, what: str, stream: Stream | None) -> None:
        self.writes.append(what)
        self.before_write(what, stream)

    def _keep(self, stream: Stream) -> Entry:
        entry = Entry(stream)
        self.objects[entry.key] = stream
        self._tell(self.catalogue.put(entry), entry)
        return entry

    def _tell(self, old: Entry | None, new: Entry | None) -> None:
        for listener in self._listeners:
            listener(old, new)
