"""Writing the spec of a stream: under the version it was made from, again if somebody was first."""

from __future__ import annotations

import logging
from collections.abc import Callable

from luna_api_shim.errors import BadBody, NotReady
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.conflicts import first_in_line
from luna_api_shim.storage.store import Store
from luna_kube import Conflict, Invalid, NotFound
from luna_streams.errors import StreamNotFound
from luna_streams.stream import StreamSpec

log = logging.getLogger(__name__)


async def write_spec(store: Store, entry: Entry, change: Callable[[Entry], StreamSpec]) -> Entry:
    """Write the spec that `change` makes of the present one; a spec that stays as it is costs no write.

    Args:
        store: where the stream is.
        entry: the stream as it is known.
        change: runs again on a newer version after a conflict, and may raise to give up.

    Raises:
        StreamNotFound: the stream is gone.
        BadBody: the cluster refuses the spec.
        NotReady: others were faster for a long time.
    """

    async def attempt(current: Entry) -> Entry:
        spec = change(current)
        return current if spec == current.stream.spec else await store.replace_spec(current, spec)

    try:
        return await first_in_line(attempt, entry, lambda known: read_again(store, known))
    except Conflict as e:
        raise NotReady(f"stream {entry.stream_id} changes faster than it can be written") from e
    except NotFound:
        raise StreamNotFound(entry.stream_id) from None
    except Invalid as e:
        raise refused(e) from e


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
