"""What is left of the seats while they are given away, and which of them is the best for a stream.

Seats of a pool are kept in shelves: sound ones before suspect ones before silent ones, and each of these by zone. On a
shelf they wait in queues, one for streams at large and one for each group whose streams keep apart, so that ten
thousand streams do not look at five hundred seats each. Seats only become fuller while they are given away; therefore a
place in a queue is brought up to date when it comes to the front, not before.
Source of the idea: lazy evaluation of a greedy choice (Minoux 1978).
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from luna_operator.seats import PACK, PREFER_SAME_POD, PREFER_SPREAD, Candidate, PoolRules, Seat

_SOUND, _SUSPECT, _SILENT = range(3)
_ORDINARY = PoolRules()

Key = tuple[float | str, ...]
"""What seats are ordered by, the best first."""


@dataclass(slots=True, eq=False)
class _Area:
    """A zone or a node as one pool sees it.

    Attributes:
        used, slots: of all its seats.
        members: how many of its streams are in each group.
    """

    used: int = 0
    slots: int = 0
    members: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """How full it is, 0 to 1."""
        return self.used / self.slots


@dataclass(slots=True, eq=False)
class _Spot:
    """A seat and what is taken of it.

    Attributes:
        vacated, vacated_mpx: what of it is of streams that were asked to leave.
        members: how many of its streams are in each group.
    """

    seat: Seat
    shelf: _Shelf
    node: _Area
    used: int
    used_mpx: float
    vacated: int
    vacated_mpx: float
    members: Counter[str]

    @property
    def is_open(self) -> bool:
        """Whether a slot is left, whatever the decoder says."""
        return self.used < self.seat.slots

    @property
    def share(self) -> float:
        """How full it is, 0 to 1, by the scarcer resource."""
        slots = self.used / self.seat.slots
        capacity = self.seat.capacity_mpx
        return max(slots, self.used_mpx / capacity) if capacity else slots

    def fits(self, candidate: Candidate) -> bool:
        """Tell whether the decoder has room."""
        return _decodes(candidate, self.seat, self.used, self.used_mpx)


@dataclass(slots=True, eq=False)
class _Shelf:
    """The seats of one pool, one zone and one degree of trust.

    Attributes:
        trust: sound, suspect or silent.
        area: the zone, whatever the trust.
        queues: by groups whose streams keep apart; () for streams at large.
        too_large_mpx: the smallest stream for which no decoder of the shelf had room.
    """

    pool: str
    trust: int
    zone: str
    area: _Area
    spots: list[_Spot] = field(default_factory=list)
    queues: dict[tuple[str, ...], _Queue] = field(default_factory=dict)
    too_large_mpx: float = float("inf")


class _Queue:
    """Seats in the order of a key that is computed anew when a seat comes to the front."""

    def __init__(self, spots: Iterable[_Spot], key: Callable[[_Spot], Key]) -> None:
        self._key = key
        self._heap = [(key(spot), spot.seat.uid, spot) for spot in spots if spot.is_open]
        heapq.heapify(self._heap)

    def put(self, spot: _Spot) -> None:
        """Take note that a seat may have become a better one."""
        heapq.heappush(self._heap, (self._key(spot), spot.seat.uid, spot))

    def first(self, fits: Callable[[_Spot], bool]) -> _Spot | None:
        """Return the best seat that fits; it stays where it is."""
        skipped = []
        found = None
        while self._heap:
            key, _, spot = entry = self._heap[0]
            present = self._key(spot) if spot.is_open else None
            if present == key and fits(spot):
                found = spot
                break
            if present is not None and present > key:
                heapq.heapreplace(self._heap, (present, spot.seat.uid, spot))
                continue
            # One that became better stands further in front already, see `put`; a full one is wanted no more.
            heapq.heappop(self._heap)
            if present == key:
                skipped.append(entry)
        for entry in skipped:
            heapq.heappush(self._heap, entry)
        return found


class Room:
    """Seats, and what is taken of them.

    Args:
        seats: ready pods that take streams, with distinct uids.
        rules: how pools want their streams placed; one without rules wants the ordinary.
    """

    def __init__(self, seats: Iterable[Seat], rules: Mapping[str, PoolRules] | None = None) -> None:
        self._rules = rules or {}
        self._shelves: dict[str, dict[int, dict[str, _Shelf]]] = defaultdict(lambda: defaultdict(dict))
        self._spots: dict[str, _Spot] = {}
        self._by_pool: dict[str, dict[str, _Spot]] = defaultdict(dict)
        self._areas: dict[tuple[str, str, str], _Area] = defaultdict(_Area)
        self._mates: dict[str, dict[str, _Spot]] = defaultdict(dict)
        for seat in sorted(seats, key=lambda seat: seat.pod):
            self._add(seat)

    def pools(self) -> frozenset[str]:
        """Return the names of the pools that have seats, free or not."""
        return frozenset(self._by_pool)

    def seats_of(self, pool: str) -> Iterable[Seat]:
        """Return the seats of a pool, free or not, by name."""
        return [spot.seat for spot in self._by_pool[pool].values()] if pool in self._by_pool else ()

    def has_free_slot(self, seat: Seat) -> bool:
        """Tell whether a seat has a slot left, whatever its decoder says."""
        return self._spots[seat.uid].is_open

    def take(self, candidate: Candidate, is_allowed: Callable[[Seat], bool] | None = None) -> Seat | None:
        """Give the candidate the best seat it may have.

        Args:
            candidate: the stream.
            is_allowed: what else must be true of the seat.
        """
        for pool in candidate.pools:
            for trust, zones in sorted(self._shelves.get(pool, {}).items()):
                if trust == _SILENT and candidate.waits_for is not None:
                    continue
                for shelves in self._by_rank(candidate, pool, zones):
                    spot = self._best(candidate, shelves, is_allowed)
                    if spot is not None:
                        self._occupy(spot, candidate)
                        return spot.seat
        return None

    def will_fit(self, candidate: Candidate, seat: Seat, without: tuple[int, float] = (0, 0.0)) -> bool:
        """Tell whether a candidate will fit when those who were asked to leave a seat have left.

        Args:
            candidate: the stream.
            seat: the seat.
            without: number and megapixels per second of further streams that could be asked.
        """
        spot = self._spots[seat.uid]
        used = spot.used - spot.vacated - without[0]
        used_mpx = spot.used_mpx - spot.vacated_mpx - without[1]
        is_in_zone = not candidate.required_zones or seat.zone in candidate.required_zones
        return is_in_zone and used < seat.slots and _decodes(candidate, seat, used, used_mpx)

    def reserve(self, candidate: Candidate, seat: Seat, vacated: tuple[int, float] = (0, 0.0)) -> None:
        """Keep a seat for a candidate that gets it when `vacated`, and all who were asked before, have left."""
        spot = self._spots[seat.uid]
        spot.vacated += vacated[0]
        spot.vacated_mpx += vacated[1]
        self._occupy(spot, candidate)

    # -- choosing --------------------------------------------------------------------------------------------------

    def _by_rank(self, candidate: Candidate, pool: str, zones: Mapping[str, _Shelf]) -> Iterable[list[_Shelf]]:
        """Return the shelves a candidate may take from, those of the zones it likes equally together."""
        preferred = candidate.preferred_zones or self._rules_of(pool).preferred_zones
        required = candidate.required_zones
        allowed = [shelf for zone, shelf in zones.items() if not required or zone in required]
        if not preferred:
            return [allowed]
        liked = [[zones[zone]] for zone in preferred if zone in zones and (not required or zone in required)]
        return [*liked, [shelf for shelf in allowed if shelf.zone not in preferred]]

    def _best(
        self, candidate: Candidate, shelves: list[_Shelf], is_allowed: Callable[[Seat], bool] | None
    ) -> _Spot | None:
        """Return the best seat of shelves that are liked equally."""
        hopeful = [shelf for shelf in shelves if candidate.cost_mpx < shelf.too_large_mpx]
        if not hopeful:
            return None

        def fits(spot: _Spot) -> bool:
            return spot.fits(candidate) and (is_allowed is None or is_allowed(spot.seat))

        rules = self._rules_of(hopeful[0].pool)
        affinity = candidate.group_affinity or rules.group_affinity
        if affinity == PREFER_SAME_POD and (mate := self._with_its_groups(candidate, hopeful, fits)):
            return mate
        apart = candidate.groups if affinity == PREFER_SPREAD else ()
        found: list[_Spot] = []
        for shelf in hopeful:
            first = _queue(shelf, apart, rules).first(fits)
            if first is not None:
                found.append(first)
            elif is_allowed is None:
                shelf.too_large_mpx = candidate.cost_mpx  # whoever comes later need not look, unless it is smaller
        return found[0] if len(found) == 1 else min(found, key=lambda s: _among_zones(s, apart, rules), default=None)

    def _with_its_groups(
        self, candidate: Candidate, shelves: list[_Shelf], fits: Callable[[_Spot], bool]
    ) -> _Spot | None:
        """Return the seat with the most streams of a candidate's groups, of equal ones the fullest."""
        near = {uid: spot for group in candidate.groups for uid, spot in self._mates[group].items()}
        fitting = [spot for spot in near.values() if spot.is_open and spot.shelf in shelves and fits(spot)]
        return min(fitting, key=lambda s: (-_members(s.members, candidate.groups), -s.share, s.seat.pod), default=None)

    # -- keeping the books -----------------------------------------------------------------------------------------

    def _add(self, seat: Seat) -> None:
        shelf = self._shelf_of(seat)
        # Where the node is not known, the pod has one of its own.
        node = self._areas[seat.pool, "node", seat.node or seat.uid]
        spot = _Spot(seat, shelf, node, seat.used, seat.used_mpx, seat.leaving, seat.leaving_mpx, Counter(seat.groups))
        self._spots[seat.uid] = self._by_pool[seat.pool][seat.uid] = spot
        shelf.spots.append(spot)
        for area in (shelf.area, node):
            area.used += seat.used
            area.slots += seat.slots
            area.members.update(seat.groups)
        for group in seat.groups:
            self._mates[group][seat.uid] = spot

    def _occupy(self, spot: _Spot, candidate: Candidate) -> None:
        spot.used += 1
        spot.used_mpx += candidate.cost_mpx
        for area in (spot.shelf.area, spot.node):
            area.used += 1
            area.members.update(candidate.groups)
        spot.members.update(candidate.groups)
        for group in candidate.groups:
            self._mates[group][spot.seat.uid] = spot
            if not spot.is_open:
                del self._mates[group][spot.seat.uid]  # the other thousands need not look at it
        if self._rules_of(spot.seat.pool).strategy == PACK and spot.is_open:
            for queue in spot.shelf.queues.values():
                queue.put(spot)

    def _shelf_of(self, seat: Seat) -> _Shelf:
        shelves = self._shelves[seat.pool][_trust(seat)]
        if seat.zone not in shelves:
            area = self._areas[seat.pool, "zone", seat.zone]
            shelves[seat.zone] = _Shelf(seat.pool, _trust(seat), seat.zone, area)
        return shelves[seat.zone]

    def _rules_of(self, pool: str) -> PoolRules:
        return self._rules.get(pool, _ORDINARY)


def _queue(shelf: _Shelf, apart: tuple[str, ...], rules: PoolRules) -> _Queue:
    """Return the queue of a shelf for streams that keep apart from those of some groups; () for streams at large."""
    if apart not in shelf.queues:
        order = _packed if rules.strategy == PACK else _spread

        def key(spot: _Spot) -> Key:
            return _members(spot.node.members, apart), _members(spot.members, apart), *order(spot)

        shelf.queues[apart] = _Queue(shelf.spots, key if apart else order)
    return shelf.queues[apart]


def _among_zones(spot: _Spot, apart: tuple[str, ...], rules: PoolRules) -> Key:
    """Order the best seats of some zones: as within a zone, with the zones where they matter."""
    area = spot.shelf.area
    near = (_members(members, apart) for members in (area.members, spot.node.members, spot.members))
    return *near, *(_packed(spot) if rules.strategy == PACK else (spot.share, area.share, *_spread(spot)))


def _spread(spot: _Spot) -> Key:
    """Order the emptiest pod first, of equal ones that of the emptiest node."""
    return spot.share, spot.node.share, spot.seat.pod


def _packed(spot: _Spot) -> Key:
    """Order the fullest pod first."""
    return -spot.share, spot.seat.pod


def _members(members: Mapping[str, int], groups: tuple[str, ...]) -> int:
    return sum(members[group] for group in groups)


def _trust(seat: Seat) -> int:
    return _SILENT if seat.is_silent else _SUSPECT if seat.is_suspect else _SOUND


def _decodes(candidate: Candidate, seat: Seat, used: int, used_mpx: float) -> bool:
    """Tell whether the decoder has room; an idle one takes a stream of any size, for late is better than never."""
    if seat.capacity_mpx is None:
        return True
    return used_mpx + candidate.cost_mpx <= seat.capacity_mpx or (used == 0 and seat.capacity_mpx > 0)
