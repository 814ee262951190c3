"""Which streams a filter means: the selector of a pool and the filters of the worker queue are one rule.

Within one list any value fits (OR), between lists all must fit (AND), an empty list asks for nothing.
Source: LUNA Streams API 1.1.18, post_streams_processing_queue_request_filters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from luna_streams import naming
from luna_streams.pool import PoolSelector, StreamProcessor
from luna_streams.stream import Stream


def selects(selector: PoolSelector, stream: Stream) -> bool:
    """Tell whether a selector means a stream."""
    spec = stream.spec
    return (
        _any(selector.stream_ids, (naming.stream_id(stream.namespace, stream.name),))
        and _any(selector.names, (spec.display_name,))
        and _any(selector.group_names, spec.groups)
        and _any(selector.account_ids, (spec.account_id,))
    )


def selecting_pools(pools: Iterable[StreamProcessor], stream: Stream) -> list[StreamProcessor]:
    """Return the pools of the stream's namespace that select it, the most specific first, then by name."""
    fitting = [
        pool
        for pool in pools
        if pool.namespace == stream.namespace and not pool.is_deleting and selects(pool.spec.selector, stream)
    ]
    return sorted(fitting, key=lambda pool: (-_specificity(pool.spec.selector), pool.name))


def _any(wanted: Collection[str], present: Iterable[str]) -> bool:
    return not wanted or any(value in wanted for value in present)


def _specificity(selector: PoolSelector) -> int:
    return sum(
        bool(values) for values in (selector.stream_ids, selector.names, selector.group_names, selector.account_ids)
    )
