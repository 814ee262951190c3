"""What the shim keeps, as the rest of it sees it: streams with their status and Secrets, groups, pools.

`kubernetes_store` keeps it in an API server, tests keep it in memory. Reads come from memory; an own write is in the
catalogue when it returns. Writes never retry: `Conflict` tells the caller to decide again on what `refetch` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from luna_api_shim.storage.catalogue import Catalogue, Entry, Key
from luna_streams.credentials import Credentials
from luna_streams.group import StreamGroup, StreamGroupSpec
from luna_streams.pool import StreamProcessor
from luna_streams.stream import Stream, StreamSpec, StreamStatus

Listener = Callable[[Entry | None, Entry | None], None]
"""Called with the version before (None: new) and the version now (None: gone); must be quick and not raise."""


class GroupLookup(Protocol):
    """Groups by what requests name."""

    def __iter__(self) -> Iterator[StreamGroup]:
        """Yield every group."""

    def named(self, account_id: str, group_name: str) -> StreamGroup | None:
        """Return the group of an account."""

    def get(self, group_id: str) -> StreamGroup | None:
        """Return the group with an id."""


class Store(Protocol):
    """What the rest of the shim asks of it."""

    @property
    def namespace(self) -> str:
        """Where streams and groups are created."""

    @property
    def catalogue(self) -> Catalogue:
        """The streams."""

    @property
    def groups(self) -> GroupLookup:
        """The groups that are known here."""

    @property
    def pools(self) -> Iterable[StreamProcessor]:
        """The pools of processors."""

    def subscribe(self, listener: Listener) -> None:
        """Tell of every change of a stream, first of every stream that is here already."""

    def subscribe_surroundings(self, listener: Callable[[], None]) -> None:
        """Tell when groups, pools or Secrets changed."""

    def credentials(self, stream: Stream) -> Credentials:
        """Return the secret values of a stream.

        Raises:
            CredentialsMissing: a Secret or a key is not there.
        """

    def secret_versions(self, stream: Stream) -> tuple[str, ...]:
        """Return what changes when a Secret of the stream does."""

    async def ready(self) -> None:
        """Wait a moment until everything was read once.

        Raises:
            NotReady: the API server was not heard yet.
        """

    def exists(self, namespace: str, name: str, uid: str) -> bool:
        """Tell whether an object is there and stays, also one that this release does not understand."""

    def recently_written(self) -> list[str]:
        """Return the ids of streams that were written here within the last seconds."""

    async def look_again(self, stream_id: str) -> None:
        """Bring the catalogue up to date about one stream, whoever wrote it."""

    async def find(self, stream_id: str) -> Entry | None:
        """Return a stream, also one that another replica has only just created."""

    async def refetch(self, entry: Entry) -> Entry | None:
        """Read a stream past the cache; None when it is gone."""

    async def fetch_secrets(self, stream: Stream) -> None:
        """Read those Secrets of a stream that are not known here yet."""

    async def find_group(self, group_id: str) -> StreamGroup | None:
        """Return a group, also one that another replica has only just created."""

    async def find_group_named(self, account_id: str, group_name: str) -> StreamGroup | None:
        """Return the group of an account, as `find_group`."""

    async def create_stream(self, name: str, spec: StreamSpec) -> Entry:
        """Create a stream; its status is still to be written."""

    async def replace_spec(self, entry: Entry, spec: StreamSpec) -> Entry:
        """Write the spec.

        Raises:
            Conflict: the stream changed since `entry`.
            NotFound: it is gone.
        """

    async def write_status(self, entry: Entry, record: StreamStatus) -> Entry:
        """Write the status; raises as `replace_spec`."""

    async def delete_stream(self, entry: Entry) -> bool:
        """Delete a stream; False if somebody else did."""

    async def create_secret(self, key: Key, name: str, values: Mapping[str, str], owner: Entry | None) -> None:
        """Make a Secret, never to be changed, for a stream that is about to refer to it.

        Args:
            key: namespace and name of the stream.
            name: of the Secret.
            values: by key of the Secret.
            owner: the stream; None if it does not exist yet.
        """

    async def adopt_secrets(self, entry: Entry) -> None:
        """Let the Secrets that were made for a stream before it existed be deleted together with it."""

    async def discard_secrets(self, key: Key, names: Iterable[str]) -> None:
        """Delete those of the Secrets that `create_secret` made for a stream; does not fail."""

    async def create_group(self, spec: StreamGroupSpec) -> StreamGroup:
        """Create a group.

        Raises:
            AlreadyExists: the account has a group of that name.
        """

    async def describe_group(self, group: StreamGroup, description: str) -> bool:
        """Change the description of a group; False if it is gone."""

    async def delete_group(self, group: StreamGroup) -> bool:
        """Delete a group; False if somebody else did."""
