"""Writing the spec of a stream: under the version it was made from, again if somebody was first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from luna_api_shim.catalogue import Entry
from luna_api_shim.errors import BadBody, NotReady
from luna_api_shim.store import Store
from luna_kube import Conflict, Invalid, NotFound
from luna_streams.errors import StreamNotFound
from luna_streams.stream import StreamSpec

log = logging.getLogger(__name__)

_MOST_ATTEMPTS: Final = 10


async def write_spec(store: Store, entry: Entry, change: Callable[[Entry], StreamSpec]) -> Entry:
    """Write the spec that `change` makes of the present one; a spec that stays as it is costs no write.

    Args:
        store: where the stream is.
        entry: the stream as it is known.
        change: runs again on a newer version after a conflict, and may raise to give up.

    Raises:
        StreamNotFound: the stream is gone.
        BadBody: the cluster refuses the spec.
    """
    for _ in range(_MOST_ATTEMPTS):
        spec = change(entry)
        if spec == entry.stream.spec:
            return entry
        try:
            return await store.replace_spec(entry, spec)
        except Conflict:
            entry = await read_again(store, entry)
        except NotFound:
            raise StreamNotFound(entry.stream_id) from None
        except Invalid as e:
            raise refused(e) from e
    raise NotReady(f"stream {entry.stream_id} changes faster than it can be written")


async def read_again(store: Store, entry: Entry) -> Entry:
    """Return the newest version of a stream.

    Raises:
        StreamNotFound: it is gone, or another stream has its name.
    """
    fresh = await store.refetch(entry)
    if fresh is None or fresh.stream.uid != entry.stream.uid:
        raise StreamNotFound(entry.stream_id)
    return fresh


def refused(error: Invalid) -> BadBody:
    """Say that the cluster refuses a value which the models let pass; its words may quote the value."""
    log.warning("the API server refuses a stream: %s (%s)", error.reason or "invalid", error.status)
    return BadBody("", "refused by the cluster's validation rules")
