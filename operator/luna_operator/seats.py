"""What placement speaks of: pods that take streams, streams that wait for one, and how a pool wants it done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from luna_streams.v1alpha1 import GroupAffinity

PACK: Final = "Pack"
PREFER_SAME_POD: Final = "PreferSamePod"
PREFER_SPREAD: Final = "PreferSpread"


@dataclass(frozen=True, slots=True)
class Resident:
    """A stream in progress that could be asked to leave its pod."""

    name: str
    priority: int
    since: datetime
    cost_mpx: float


@dataclass(frozen=True, slots=True)
class Seat:
    """A pod that takes streams.

    Attributes:
        slots: streams it takes at most.
        used: slots that are taken.
        capacity_mpx: megapixels per second its decoder can do; None where slots alone limit it.
        used_mpx: what its streams ask of the decoder.
        zone, node: where it runs; "" where that is not known.
        is_suspect: streams were lost from it a moment ago; others are asked first.
        is_silent: nothing shows that its worker lives: a stream gets it for want of others, and moves on to the first.
        leaving, leaving_mpx: what of `used` and `used_mpx` is of streams that were asked to leave.
        groups: how many of its streams are in each group; empty where nobody asks.
        residents: its streams that could be asked to leave; empty where nobody may ask.
        steady_from: since when it can be relied on to stay; None if it cannot.
    """

    pod: str
    uid: str
    pool: str
    slots: int
    used: int = 0
    capacity_mpx: float | None = None
    used_mpx: float = 0.0
    zone: str = ""
    node: str = ""
    is_suspect: bool = False
    is_silent: bool = False
    leaving: int = 0
    leaving_mpx: float = 0.0
    groups: Mapping[str, int] = field(default_factory=dict)
    residents: tuple[Resident, ...] = ()
    steady_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pending stream without a pod that takes streams.

    Attributes:
        pools: names of the pools that select it, the most specific first.
        since: since when it waits.
        cost_mpx: what it asks of a decoder.
        waits_for: a pod it belongs to that lives but is not ready; kept if there is no seat.
        groups: keys of its groups, which those of other accounts do not share.
        group_affinity: what it wants of its groups; None takes the pool's.
        preempts_in: pools in which it may take the place of a stream of lower priority.
        was_preempted: it waits because a stream of higher priority took its place.
    """

    name: str
    pools: tuple[str, ...]
    since: datetime
    priority: int = 0
    required_zones: tuple[str, ...] = ()
    preferred_zones: tuple[str, ...] = ()
    cost_mpx: float = 0.0
    waits_for: str | None = None
    groups: tuple[str, ...] = ()
    group_affinity: GroupAffinity | None = None
    preempts_in: tuple[str, ...] = ()
    was_preempted: bool = False


@dataclass(frozen=True, slots=True)
class PoolRules:
    """How a pool wants its streams placed.

    Attributes:
        preferred_zones: for streams that prefer none themselves.
        group_affinity: for streams that do not say it themselves.
    """

    strategy: Literal["Spread", "Pack"] = "Spread"
    preferred_zones: tuple[str, ...] = ()
    group_affinity: GroupAffinity = "None"
