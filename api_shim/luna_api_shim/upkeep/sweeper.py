"""Finds Secrets that a crash left behind: the leader looks at those the REST API made and that are of no use.

Nothing hangs on how soon: no spec names such a Secret, and one with an owner goes with its stream at the latest.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from pydantic import ValidationError

from luna_api_shim.storage.catalogue import Catalogue
from luna_api_shim.storage.records import utc_now
from luna_api_shim.storage.vault import MadeSecret, Vault
from luna_kube import STREAMS, ApiError, KubeClient, NotFound
from luna_streams.credentials import secret_names
from luna_streams.stream import Stream

log = logging.getLogger(__name__)

_LOOK_S: Final = 60.0
GRACE: Final = timedelta(minutes=5)
"""A Secret is made before the spec that names it; no request takes this long."""
GRACE_WITHOUT_STREAM: Final = timedelta(days=1)
"""Who restores a backup gets Secrets first and streams last, perhaps hours later; nobody needs the room."""


class Fate(Enum):
    """What is to be done about a Secret."""

    KEEP = auto()
    ADOPT = auto()
    DELETE = auto()


def fate(secret: MadeSecret, stream: Stream | None, now: datetime) -> Fate:
    """Tell what is to be done about a Secret.

    Args:
        secret: that the REST API made.
        stream: the one it was made for, as it is now; None if there is none.
        now: present time.
    """
    if now - secret.create_time < (GRACE_WITHOUT_STREAM if stream is None else GRACE):
        return Fate.KEEP
    if stream is None or secret.name not in secret_names(stream.spec.data):
        return Fate.DELETE
    return Fate.KEEP if secret.owner_uid == stream.uid else Fate.ADOPT


class Sweeper:
    """Looks after the Secrets that the REST API made.

    Args:
        client: open client: what is deleted is decided on what the API server says, not on a copy.
        vault: knows the Secrets.
        catalogue: tells which of them are in order.
    """

    def __init__(self, client: KubeClient, vault: Vault, catalogue: Catalogue) -> None:
        self._client = client
        self._vault = vault
        self._catalogue = catalogue

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while True:
            await self.sweep(utc_now())
            await asyncio.sleep(_LOOK_S)

    async def sweep(self, now: datetime) -> None:
        """Look once; what cannot be done now is left to the next look."""
        for secret in list(self._vault.made()):
            entry = self._catalogue.at((secret.namespace, secret.stream))
            if fate(secret, None if entry is None else entry.stream, now) is not Fate.KEEP:
                try:
                    await self._settle(secret, now)
                except (ApiError, ValidationError) as e:
                    log.warning("Secret %s/%s: cannot be looked after yet: %s", secret.namespace, secret.name, e)

    async def _settle(self, secret: MadeSecret, now: datetime) -> None:
        stream = await self._stream_of(secret)
        match fate(secret, stream, now):
            case Fate.DELETE:
                log.info("Secret %s/%s belongs to nothing: deleted", secret.namespace, secret.name)
                await self._vault.delete(secret)
            case Fate.ADOPT if stream is not None:
                await self._vault.adopt(stream)

    async def _stream_of(self, secret: MadeSecret) -> Stream | None:
        try:
            return Stream.from_object(await self._client.get(STREAMS.at(secret.namespace, secret.stream)))
        except NotFound:
            return None
