"""Whether workers may be told to go on while nobody leads: for a change of leader, and while the API server is away.

A worker stops when its reports are not answered for a while (`worker_patience`, 10 s). If nobody but a leader answered
them, every change of leader would come close to that, and an API server that is away for a minute would stop all.

The rule that makes it safe to answer for the leader: a stream is given away only by a leader, and by a new one not
before its term is one obsoleting period (20 s) old. So whoever knows of a moment at which nobody led may let workers
go on, as long as they would stop by themselves within one period of that moment:

    now + worker_patience + margin <= moment at which nobody led + obsoleting_period

Such moments are known from the Lease (`Outlook.vacant_at`): it was free, or not renewed for so long that its term is
over. Without the API server, from the other replicas: if none of them led when it was asked a moment ago, the leader of
the last term may go on answering. If one of them cannot be asked, it may be leading, on the other side of a network
that is cut. Then this replica falls silent, and its workers stop before their streams are given away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from luna_api_shim.replicas.peers import Peers
from luna_kube import Outlook
from luna_kube.leadership import now_s

_MARGIN_S: Final = 0.5
"""How long the answer may be on its way."""


@dataclass(frozen=True, slots=True)
class Times:
    """The times of the rule, in seconds.

    Attributes:
        obsoleting_period: silence after which a new leader gives streams away.
        worker_patience: silence after which workers stop.
        longest_outage: for how long the word of the other replicas is enough.
    """

    obsoleting_period: float
    worker_patience: float
    longest_outage: float


class Interregnum:
    """Applies the rule.

    Args:
        outlook: what this replica knows of the Lease.
        peers: what it knows of the others.
        clock: see `now_s`.
    """

    def __init__(self, outlook: Outlook, peers: Peers, times: Times, clock: Callable[[], float] = now_s) -> None:
        self._outlook = outlook
        self._peers = peers
        self._times = times
        self._clock = clock

    def may_reassure(self) -> bool:
        """Tell whether a worker may be let go on now."""
        times = self._times
        stops_at = self._clock() + times.worker_patience + _MARGIN_S
        return any(stops_at <= moment + times.obsoleting_period for moment in self._vacancies())

    def _vacancies(self) -> Iterator[float]:
        """Yield moments at which nobody led."""
        by_lease = self._outlook.vacant_at
        if by_lease is None:
            return
        yield by_lease
        is_short = self._clock() - by_lease <= self._times.longest_outage
        if self._outlook.led_last and is_short and (by_word := self._peers.vacant_at) is not None:
            yield by_word
