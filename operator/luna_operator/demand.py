"""How much room the pools have to have: pure.

Streams are counted in slots. Where a decoder limits a pod before its slots do, pods are counted instead: those that
are busy, and those that the waiting streams would fill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from luna_operator.placement import Decision
from luna_operator.seats import Candidate, Seat
from luna_streams.v1alpha1 import StreamProcessor


@dataclass(slots=True)
class Demand:
    """What is asked of the pools, by name.

    Attributes:
        streams: active streams that belong to a pool or wait for it.
        waiting: how many of them wait.
        pods: pods that a pool must have for its decoders' sake; 0 where slots alone count.
    """

    streams: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    pods: Counter[str] = field(default_factory=Counter)


def demand(
    candidates: Iterable[Candidate],
    decisions: Mapping[str, Decision],
    seats: Iterable[Seat],
    pools: Collection[StreamProcessor],
    staying: Mapping[str, int],
) -> Demand:
    """Count what the pools have to have room for.

    A stream that waits counts for the first pool that selects it and may still grow, so that one pool is made larger
    for it and not all.

    Args:
        candidates: streams that wait.
        decisions: about them; those without one have their turn in the next look.
        seats: as they were before the decisions.
        pools: all pools.
        staying: active streams by pool that stay where they are.
    """
    asked = Demand(Counter(staying))
    busy = {seat.uid: seat.pool for seat in seats if seat.used and not seat.is_silent}
    for decision in decisions.values():
        if decision.seat is not None:
            asked.streams[decision.seat.pool] += 1
            busy[decision.seat.uid] = decision.seat.pool
    fresh = {pool.name: _FreshPods(pool) for pool in pools}
    busy_pods = Counter(busy.values())
    for candidate in candidates:
        if not candidate.pools:
            continue
        if candidate.name not in decisions:
            asked.streams[candidate.pools[0]] += 1  # its turn comes in the next look: there is room
        elif decisions[candidate.name].seat is None:
            growing = (
                name
                for name in candidate.pools
                if name in fresh and fresh[name].has_room(candidate.cost_mpx, asked.streams[name], busy_pods[name])
            )
            name = next(growing, candidate.pools[0])
            asked.streams[name] += 1
            asked.waiting[name] += 1
            if name in fresh:
                fresh[name].add(candidate.cost_mpx)
    for name, pods in fresh.items():
        if pods.number:
            asked.pods[name] = busy_pods[name] + pods.number
    return asked


class _FreshPods:
    """Pods that a pool does not have yet, filled one after the other with streams that wait."""

    def __init__(self, pool: StreamProcessor) -> None:
        spec = pool.spec
        self.number = 0
        self._most = spec.max_replicas if spec.replicas is None else spec.replicas
        self._slots = spec.slots_per_pod
        self._capacity = spec.decoder.megapixels_per_second if spec.decoder is not None else None
        self._streams, self._mpx = 0, 0.0

    def has_room(self, cost_mpx: float, streams: int, busy: int) -> bool:
        """Tell whether the pool could take one stream more if it grew as far as it may.

        Args:
            cost_mpx: what the stream asks of a decoder.
            streams: what belongs to the pool.
            busy: how many of its pods have streams.
        """
        if streams >= self._most * self._slots:
            return False
        if self._capacity is None:
            return True
        return self._capacity > 0 and busy + self.number + self._needs_another(cost_mpx) <= self._most

    def add(self, cost_mpx: float) -> None:
        """Fill a stream in; where slots alone count, or no decoder ever would, no pods are counted."""
        if not self._capacity:
            return
        if self._needs_another(cost_mpx):
            self.number += 1
            self._streams, self._mpx = 0, 0.0
        self._streams += 1
        self._mpx += cost_mpx

    def _needs_another(self, cost_mpx: float) -> bool:
        """Tell whether a stream does not fit on the pod that is being filled."""
        is_full = self._capacity is not None and self._mpx + cost_mpx > self._capacity
        return self.number == 0 or self._streams == self._slots or is_full
