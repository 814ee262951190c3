"""Which replica leads, by a Lease: the leader alone hears workers; the others learn its address from the Lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from luna_kube import LEASES, KubeClient, Leadership, LeaseSettings, Outlook, Reflector, leadership
from luna_kube.leadership import LeadershipLost, now_s

log = logging.getLogger(__name__)

_SEPARATOR = "@"


def identity_of(replica: str, origin: str) -> str:
    """Return the holder's name in the Lease: who it is, and where the others reach it."""
    return f"{replica}{_SEPARATOR}{origin}"


def origin_of(identity: str) -> str | None:
    """Return the address of a holder; None if nobody holds the Lease."""
    return identity.partition(_SEPARATOR)[2] or None


class Election:
    """One replica's part in the election.

    Args:
        client: open client.
        settings: of the Lease; the identity is made by `identity_of`.

    Attributes:
        outlook: what is known of the Lease.
    """

    def __init__(self, client: KubeClient, settings: LeaseSettings) -> None:
        self._client = client
        self._settings = settings
        self._leases = Reflector(client, LEASES.within(settings.namespace), fields=f"metadata.name={settings.name}")
        self._leadership: Leadership | None = None
        self._is_retiring = asyncio.Event()
        self.outlook = Outlook()

    @property
    def hears(self) -> bool:
        """Whether the API server has answered this replica within the time that a Lease lasts."""
        return now_s() - self.outlook.heard_at < self._settings.duration_s

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads for sure: false as soon as another one may, whatever still runs here."""
        return self._leadership is not None and not self._leadership.has_ended

    @property
    def leader_origin(self) -> str | None:
        """Where the leader is, as far as known; None while nobody leads or it is this replica."""
        lease = self._leases.get(self._settings.namespace, self._settings.name)
        holder = (lease or {}).get("spec", {}).get("holderIdentity") or ""
        return None if holder == self._settings.identity else origin_of(holder)

    @property
    def secret(self) -> str | None:
        """What only replicas know: the Lease's uid, a random one that whoever may not read Leases cannot see."""
        lease = self._leases.get(self._settings.namespace, self._settings.name)
        return str(lease["metadata"]["uid"]) if lease else None

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Stand for election, lead, stand again; after `retire` only follow who leads; until cancelled.

        Args:
            lead: runs as long as this replica leads; is cancelled when that ends.
        """
        async with self._leases.running():
            standing = asyncio.create_task(self._stand(lead), name="candidate")
            retiring = asyncio.create_task(self._is_retiring.wait(), name="retirement")
            try:
                await asyncio.wait({standing, retiring}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                retiring.cancel()
                standing.cancel()
                await asyncio.wait({standing, retiring})
            if not standing.cancelled():
                standing.result()  # raises what made it crash
            await asyncio.Event().wait()

    def retire(self) -> None:
        """Give the Lease back, so that another replica leads at once, and stand no more."""
        self._is_retiring.set()

    async def _stand(self, lead: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                async with self._term():
                    await lead()
            except LeadershipLost as e:
                log.warning("%s", e)

    @asynccontextmanager
    async def _term(self) -> AsyncIterator[Leadership]:
        async with leadership(self._client, self._settings, self.outlook) as term:
            self._leadership = term
            try:
                yield term
            finally:
                self._leadership = None
