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

from luna_operator.seats import PREFER_SAME_POD, PREFER_SPREAD, Candidate, PoolRules, Seat

_SOUND, _SUSPECT, _SILENT = range(3)

Key = tuple[float | str, ...]
"""What seats are ordered by, the best first."""
_Place = tuple[str, str, str]
"""A zone or a node as a pool sees it: name of the pool, "zone" or "node", name."""


class _Queue:
    """Seats in the order of a key that is computed anew when a seat comes to the front."""

    def __init__(self, seats: Iterable[Seat], key: Callable[[Seat], Key], is_open: Callable[[Seat], bool]) -> None:
        self._key = key
        self._is_open = is_open
        self._heap = [(key(seat), seat.uid, seat) for seat in seats if is_open(seat)]
        heapq.heapify(self._heap)

    def put(self, seat: Seat) -> None:
        """Take note that a seat may have become a better one."""
        heapq.heappush(self._heap, (self._key(seat), seat.uid, seat))

    def first(self, fits: Callable[[Seat], bool]) -> tuple[Key, Seat] | None:
        """Return the best seat that fits, and its key; it stays where it is."""
        skipped = []
        found = None
        while self._heap and found is None:
            key, _, seat = entry = self._heap[0]
            present = self._key(seat) if self._is_open(seat) else None
            if present == key and fits(seat):
                found = key, seat
                break
            heapq.heappop(self._heap)
            if present == key:
                skipped.append(entry)
            elif present is not None and present > key:
                heapq.heappush(self._heap, (present, seat.uid, seat))
            # One that became better stands further in front already, see `put`; a full one is wanted no more.
        for entry in skipped:
            heapq.heappush(self._heap, entry)
        return found


@dataclass(slots=True)
class _Shelf:
    """The seats of one pool, one zone and one degree of trust.

    Attributes:
        trust: sound, suspect or silent.
        queues: by groups whose streams keep apart; () for streams at large.
        too_large_mpx: the smallest stream for which no decoder of the shelf had room.
    """

    pool: str
    trust: int
    zone: str
    seats: list[Seat] = field(default_factory=list)
    queues: dict[tuple[str, ...], _Queue] = field(default_factory=dict)
    too_large_mpx: float = float("inf")


class Room:
    """Seats, and what is taken of them.

    Args:
        seats: ready pods that take streams, with distinct uids.
        rules: how pools want their streams placed; one without rules wants the ordinary.
    """

    def __init__(self, seats: Iterable[Seat], rules: Mapping[str, PoolRules] | None = None) -> None:
        self._rules = rules or {}
        self._shelves: dict[str, dict[int, dict[str, _Shelf]]] = defaultdict(lambda: defaultdict(dict))
        self._seats: dict[str, dict[str, Seat]] = defaultdict(dict)
        self._used: dict[str, int] = {}
        self._used_mpx: dict[str, float] = {}
        self._vacated: dict[str, tuple[int, float]] = {}
        self._load: Counter[_Place] = Counter()
        self._slots: Counter[_Place] = Counter()
        self._on_pod: dict[str, Counter[str]] = defaultdict(Counter)
        self._near: dict[str, Counter[_Place]] = defaultdict(Counter)
        for seat in sorted(seats, key=lambda seat: seat.pod):
            self._add(seat)

    def pools(self) -> frozenset[str]:
        """Return the names of the pools that have seats, free or not."""
        return frozenset(self._seats)

    def seats_of(self, pool: str) -> Iterable[Seat]:
        """Return the seats of a pool, free or not, by name."""
        return self._seats[pool].values() if pool in self._seats else ()

    def has_free_slot(self, seat: Seat) -> bool:
        """Tell whether a seat has a slot left, whatever its decoder says."""
        return self._used[seat.uid] < seat.slots

    def preferred_zones(self, candidate: Candidate, pool: str) -> tuple[str, ...]:
        """Return the zones a stream prefers in a pool."""
        return candidate.preferred_zones or self._rules_of(pool).preferred_zones

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
                    seat = self._best(candidate, shelves, is_allowed)
                    if seat is not None:
                        self._occupy(seat, candidate)
                        return seat
        return None

    def will_fit(self, candidate: Candidate, seat: Seat, without: tuple[int, float] = (0, 0.0)) -> bool:
        """Tell whether a candidate will fit when those who were asked to leave a seat have left.

        Args:
            candidate: the stream.
            seat: the seat.
            without: number and megapixels per second of further streams that could be asked.
        """
        number, mpx = self._vacated[seat.uid]
        used = self._used[seat.uid] - number - without[0]
        used_mpx = self._used_mpx[seat.uid] - mpx - without[1]
        return _is_in_zone(candidate, seat) and used < seat.slots and _decodes(candidate, seat, used, used_mpx)

    def reserve(self, candidate: Candidate, seat: Seat, vacated: tuple[int, float] = (0, 0.0)) -> None:
        """Keep a seat for a candidate that gets it when `vacated`, and all who were asked before, have left."""
        number, mpx = self._vacated[seat.uid]
        self._vacated[seat.uid] = number + vacated[0], mpx + vacated[1]
        self._occupy(seat, candidate)

    # -- choosing --------------------------------------------------------------------------------------------------

    def _by_rank(self, candidate: Candidate, pool: str, zones: Mapping[str, _Shelf]) -> Iterable[list[_Shelf]]:
        """Return the shelves a candidate may take from, those of the zones it likes equally together."""
        preferred = self.preferred_zones(candidate, pool)
        required = candidate.required_zones
        allowed = [shelf for zone, shelf in zones.items() if not required or zone in required]
        if not preferred:
            return [allowed]
        liked = [[zones[zone]] for zone in preferred if zone in zones and (not required or zone in required)]
        return [*liked, [shelf for shelf in allowed if shelf.zone not in preferred]]

    def _best(
        self, candidate: Candidate, shelves: list[_Shelf], is_allowed: Callable[[Seat], bool] | None
    ) -> Seat | None:
        """Return the best seat of shelves that are liked equally."""
        hopeful = [shelf for shelf in shelves if candidate.cost_mpx < shelf.too_large_mpx]
        if not hopeful:
            return None

        def fits(seat: Seat) -> bool:
            is_possible = _decodes(candidate, seat, self._used[seat.uid], self._used_mpx[seat.uid])
            return is_possible and (is_allowed is None or is_allowed(seat))

        affinity = candidate.group_affinity or self._rules_of(hopeful[0].pool).group_affinity
        if affinity == PREFER_SAME_POD and candidate.groups:
            mate = self._with_its_groups(candidate, hopeful, fits)
            if mate is not None:
                return mate
        apart = candidate.groups if affinity == PREFER_SPREAD else ()
        found: list[tuple[Key, Seat]] = []
        for shelf in hopeful:
            first = self._queue(shelf, apart).first(fits)
            if first is not None:
                found.append(first)
            elif is_allowed is None:
                shelf.too_large_mpx = candidate.cost_mpx  # whoever comes later need not look, unless it is smaller
        return min(found, key=lambda item: item[0])[1] if found else None

    def _with_its_groups(
        self, candidate: Candidate, shelves: list[_Shelf], fits: Callable[[Seat], bool]
    ) -> Seat | None:
        """Return the seat with the most streams of a candidate's groups, of equal ones the fullest."""
        mates: Counter[str] = Counter()
        for group in candidate.groups:
            mates.update(self._on_pod[group])
        places = {(shelf.trust, shelf.zone) for shelf in shelves}
        seats = self._seats[shelves[0].pool]
        near = [seat for uid in mates if (seat := seats.get(uid)) is not None and self.has_free_slot(seat)]
        near = [seat for seat in near if (_trust(seat), seat.zone) in places and fits(seat)]
        return min(near, key=lambda seat: (-mates[seat.uid], -self._share(seat), seat.pod), default=None)

    def _queue(self, shelf: _Shelf, apart: tuple[str, ...]) -> _Queue:
        if apart not in shelf.queues:
            order = self._packed if self._rules_of(shelf.pool).strategy == "Pack" else self._spread

            def key(seat: Seat) -> Key:
                return (*self._kept_apart(seat, apart), *order(seat)) if apart else order(seat)

            shelf.queues[apart] = _Queue(shelf.seats, key, self.has_free_slot)
        return shelf.queues[apart]

    def _spread(self, seat: Seat) -> Key:
        """Order the emptiest pod first, of equal ones that of the emptiest zone, then of the emptiest node."""
        return self._share(seat), *(self._load[place] / self._slots[place] for place in _places(seat)), seat.pod

    def _packed(self, seat: Seat) -> Key:
        """Order the fullest pod first."""
        return -self._share(seat), seat.pod

    def _kept_apart(self, seat: Seat, groups: tuple[str, ...]) -> Key:
        """Order the zone, then the node, then the pod with the fewest streams of the groups first."""
        near = (sum(self._near[group][place] for group in groups) for place in _places(seat))
        return *near, sum(self._on_pod[group][seat.uid] for group in groups)

    def _share(self, seat: Seat) -> float:
        """Return how full a seat is, 0 to 1, by its scarcer resource."""
        slots = self._used[seat.uid] / seat.slots
        return max(slots, self._used_mpx[seat.uid] / seat.capacity_mpx) if seat.capacity_mpx else slots

    # -- keeping the books -----------------------------------------------------------------------------------------

    def _add(self, seat: Seat) -> None:
        self._seats[seat.pool][seat.uid] = seat
        self._used[seat.uid], self._used_mpx[seat.uid] = seat.used, seat.used_mpx
        self._vacated[seat.uid] = seat.leaving, seat.leaving_mpx
        self._shelf_of(seat).seats.append(seat)
        for place in _places(seat):
            self._load[place] += seat.used
            self._slots[place] += seat.slots
        for group, number in seat.groups.items():
            self._count(seat, group, number)

    def _occupy(self, seat: Seat, candidate: Candidate) -> None:
        self._used[seat.uid] += 1
        self._used_mpx[seat.uid] += candidate.cost_mpx
        for place in _places(seat):
            self._load[place] += 1
        for group in candidate.groups:
            self._count(seat, group, 1)
        if self._rules_of(seat.pool).strategy == "Pack" and self.has_free_slot(seat):
            for queue in self._shelf_of(seat).queues.values():
                queue.put(seat)

    def _count(self, seat: Seat, group: str, number: int) -> None:
        self._on_pod[group][seat.uid] += number
        for place in _places(seat):
            self._near[group][place] += number

    def _shelf_of(self, seat: Seat) -> _Shelf:
        shelves = self._shelves[seat.pool][_trust(seat)]
        if seat.zone not in shelves:
            shelves[seat.zone] = _Shelf(seat.pool, _trust(seat), seat.zone)
        return shelves[seat.zone]

    def _rules_of(self, pool: str) -> PoolRules:
        return self._rules.get(pool) or PoolRules()


def _trust(seat: Seat) -> int:
    return _SILENT if seat.is_silent else _SUSPECT if seat.is_suspect else _SOUND


def _places(seat: Seat) -> tuple[_Place, _Place]:
    """Name the zone and the node of a seat, per pool; where the node is not known, the pod is its own."""
    return (seat.pool, "zone", seat.zone), (seat.pool, "node", seat.node or seat.uid)


def _is_in_zone(candidate: Candidate, seat: Seat) -> bool:
    return not candidate.required_zones or seat.zone in candidate.required_zones


def _decodes(candidate: Candidate, seat: Seat, used: int, used_mpx: float) -> bool:
    """Tell whether the decoder has room; an idle one takes a stream of any size, for late is better than never."""
    if seat.capacity_mpx is None:
        return True
    return used_mpx + candidate.cost_mpx <= seat.capacity_mpx or (used == 0 and seat.capacity_mpx > 0)
