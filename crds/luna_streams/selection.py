"""Which streams a filter means: the selector of a pool and the filters of the worker queue are one rule.

Within one list any value fits (OR), between lists all must fit (AND), an empty list asks for nothing.
Source: LUNA Streams API 1.1.18, post_streams_processing_queue_request_filters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from luna_streams import naming
from luna_streams.pool import PoolSelector, StreamProcessor
from luna_streams.stream import Stream


@dataclass(frozen=True, slots=True)
class Traits:
    """What a selector looks at; kept by those who hold ten thousand streams and not all of their specs."""

    namespace: str
    stream_id: str
    name: str
    groups: tuple[str, ...]
    account_id: str


def traits_of(stream: Stream) -> Traits:
    """Return what a selector looks at."""
    spec = stream.spec
    stream_id = naming.stream_id(stream.namespace, stream.name)
    return Traits(stream.namespace, stream_id, spec.display_name, spec.groups, spec.account_id)


def selects(selector: PoolSelector, stream: Stream) -> bool:
    """Tell whether a selector means a stream."""
    return selects_traits(selector, traits_of(stream))


def selects_traits(selector: PoolSelector, traits: Traits) -> bool:
    """Tell whether a selector means a stream with these traits."""
    return (
        _any(selector.stream_ids, (traits.stream_id,))
        and _any(selector.names, (traits.name,))
        and _any(selector.group_names, traits.groups)
        and _any(selector.account_ids, (traits.account_id,))
    )


def selecting_pools(pools: Iterable[StreamProcessor], stream: Stream) -> list[StreamProcessor]:
    """Return the pools of the stream's namespace that select it, the most specific first, then by name."""
    return pools_for_traits(pools, traits_of(stream))


def pools_for_traits(pools: Iterable[StreamProcessor], traits: Traits) -> list[StreamProcessor]:
    """Return the pools of the namespace that select a stream with these traits, ordered as `selecting_pools`."""
    fitting = [
        pool
        for pool in pools
        if pool.namespace == traits.namespace and not pool.is_deleting and selects_traits(pool.spec.selector, traits)
    ]
    return sorted(fitting, key=lambda pool: (-_specificity(pool.spec.selector), pool.name))


def _any(wanted: Collection[str], present: Iterable[str]) -> bool:
    return not wanted or any(value in wanted for value in present)


def _specificity(selector: PoolSelector) -> int:
    return sum(
        bool(values) for values in (selector.stream_ids, selector.names, selector.group_names, selector.account_ids)
    )
