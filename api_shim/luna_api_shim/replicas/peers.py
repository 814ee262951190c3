"""What replicas tell each other directly, so that an API server that is away stops no worker.

Three times in the life of a Lease (every two seconds) a replica greets the leader and everybody it knows, and hears in
return whether they lead, whether they hear the API server, and whom they know. So the leader gets to know all replicas,
and, when nobody hears the API server any more, can tell whether that is so for all of them or only for itself.

Only those are named to others who spoke a moment ago themselves: else two replicas would remind each other for ever of
one that is dead, and wait for its word when the API server is away.

A greeting from somebody who does not know the Lease's uid is answered, but nobody is remembered for it: a replica must
not be made to call addresses that strangers name.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from luna_api_shim.certificates import trusted
from luna_api_shim.concurrency import for_each
from luna_api_shim.replicas.election import Election
from luna_kube.leadership import now_s

log = logging.getLogger(__name__)

PATH: Final = "/replicas/greeting"
REPLICA_HEADER: Final = "Luna-Forwarded"
"""In what one replica sends to another: what only replicas know."""
_FIRST_S: Final = 0.2
_FORGOTTEN_S: Final = 30.0
_MOST_PEERS: Final = 32


class Greeting(BaseModel):
    """What a replica says of itself.

    Attributes:
        origin: where it is reached.
        leads: whether it leads.
        hears: whether it hears the API server.
        leaves: whether it is about to end.
        knows: the origins of the others it knows; only told among replicas.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # other releases may say more

    origin: str
    leads: bool
    hears: bool
    leaves: bool = False
    knows: tuple[str, ...] = ()


@dataclass(slots=True)
class _Peer:
    """What is known of another replica; times are seconds of `now_s`.

    Attributes:
        met_at: when it last spoke itself, or was first heard of.
        has_spoken: whether it ever spoke itself.
        asked_at: when it was asked what it said last; None if it never answered.
    """

    met_at: float
    has_spoken: bool = False
    asked_at: float | None = None
    leads: bool = False
    hears: bool = False


class Peers:
    """The other replicas.

    Args:
        origin: where this one is reached.
        election: whether this one leads, who else does, and the secret.
        lease_s: how long a Lease lasts; what somebody said is believed for that long.
        clock: see `now_s`.

    Attributes:
        is_leaving: whether this replica is about to end.
    """

    def __init__(self, origin: str, election: Election, *, lease_s: float, clock: Callable[[], float] = now_s) -> None:
        self.is_leaving = False
        self._origin = origin
        self._election = election
        self._lease_s = lease_s
        self._clock = clock
        self._known: dict[str, _Peer] = {}

    # -- what they say -------------------------------------------------------------------------------------------------

    @property
    def leader_origin(self) -> str | None:
        """Where the replica is that says that it leads."""
        return next((origin for origin, peer in self._known.items() if peer.leads and self._is_fresh(peer)), None)

    @property
    def does_any_hear(self) -> bool:
        """Whether another replica hears the API server."""
        return any(peer.hears for peer in self._known.values() if self._is_fresh(peer))

    @property
    def vacant_at(self) -> float | None:
        """The latest time at which none of them led; None if one does, or has not said.

        Only a replica that led until now knows all others that could.
        """
        if any(peer.asked_at is None or peer.leads for peer in self._known.values()):
            return None
        return min((peer.asked_at for peer in self._known.values() if peer.asked_at is not None), default=self._clock())

    def _is_fresh(self, peer: _Peer) -> bool:
        return peer.asked_at is not None and self._clock() - peer.asked_at < self._lease_s

    # -- greeting ------------------------------------------------------------------------------------------------------

    def answer(self, greeting: Greeting, *, is_trusted: bool) -> Greeting:
        """Take a greeting; return ours.

        Args:
            greeting: of another replica, or of anybody.
            is_trusted: whether it knew the secret.
        """
        if is_trusted and greeting.leaves:
            self._known.pop(greeting.origin, None)
        elif is_trusted:
            self._hear_of((greeting.origin, *greeting.knows))
            if greeting.origin in self._known:
                self._known[greeting.origin].met_at = self._clock()
                self._known[greeting.origin].has_spoken = True
        return self._greeting(knows=is_trusted)

    async def run(self) -> None:
        """Greet again and again, until cancelled."""
        async with httpx.AsyncClient(timeout=self._lease_s / 3, verify=trusted(), trust_env=False) as http:
            while True:
                await self.greet(http)
                # The leader has to know a new replica before the API server can be lost.
                every_s = self._lease_s / 3 if self._known or self._election.is_leader else _FIRST_S
                await asyncio.sleep(every_s * random.uniform(0.8, 1.2))  # noqa: S311  jitter

    async def greet(self, http: httpx.AsyncClient) -> None:
        """Greet everybody once."""
        self._forget()
        leader = self._election.leader_origin
        origins = set(self._known) | ({leader} if leader else set())
        await for_each(origins - {self._origin}, lambda origin: self._greet(http, origin), limit=_MOST_PEERS)

    async def _greet(self, http: httpx.AsyncClient, origin: str) -> None:
        asked_at, secret = self._clock(), self._election.secret
        body = self._greeting(knows=secret is not None).model_dump(mode="json")
        try:
            answer = await http.post(origin + PATH, json=body, headers={REPLICA_HEADER: secret} if secret else {})
            told = Greeting.model_validate_json(answer.content)
        except (httpx.HTTPError, httpx.InvalidURL, ValidationError) as e:
            log.debug("replica %s does not answer: %s", origin, type(e).__name__)
            return
        if told.leaves:
            self._known.pop(origin, None)
            return
        self._hear_of(told.knows)
        self._known[origin] = _Peer(self._clock(), True, asked_at, told.leads, told.hears)

    def _greeting(self, *, knows: bool) -> Greeting:
        return Greeting(
            origin=self._origin,
            leads=self._election.is_leader,
            hears=self._election.hears,
            leaves=self.is_leaving,
            knows=tuple(self._speaking()) if knows else (),
        )

    def _speaking(self) -> Iterator[str]:
        """Yield the origins of those who spoke a moment ago."""
        since = self._clock() - self._lease_s
        return (origin for origin, peer in self._known.items() if peer.has_spoken and peer.met_at >= since)

    def _hear_of(self, origins: Iterable[str]) -> None:
        for origin in origins:
            if origin not in (self._origin, *self._known) and len(self._known) < _MOST_PEERS:
                self._known[origin] = _Peer(self._clock())

    def _forget(self) -> None:
        """Forget who is gone; not while the API server is away, when silence may mean that only the way is cut."""
        if self._election.hears:
            oldest = self._clock() - _FORGOTTEN_S
            self._known = {origin: peer for origin, peer in self._known.items() if peer.met_at >= oldest}
