"""Names for tracks and events: random for live sources, derived for sources that can be read again.

A file whose worker was killed is read again from its start, perhaps elsewhere, and the same best shots are found. Under
derived names they are known again: by the spool, which sends none twice, and by whoever receives them. So a name says
where in the source something was found, and nothing about when or where the processor ran.

A run that was finished is another matter: who starts a stream again wants its events again. Its number, which the spool
counts, is part of the names.

Source of the form: Luna-Request-Id is `<seconds since 1970, ten digits>,<uuid>`; uuid5 of RFC 9562.
"""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Final, Protocol

from luna_processor.delivery.events import new_request_id
from luna_processor.streams.plan import StreamPlan

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "lunastreams.dev")


class Identities(Protocol):
    """Names what one connection of a stream finds."""

    def begin_frame(self, number: int) -> None:
        """Say which frame is analysed from now on; the number is its position in the source."""

    def track_id(self) -> str:
        """Return the name of a track that begins in this frame."""

    def request_id(self, analytics: int, track_id: str, kind: str) -> str:
        """Return the Luna-Request-Id of the next event of a track.

        Args:
            analytics: which of the stream's, from 0: each sends its own events.
            track_id: as it was named.
            kind: of the best shot: face, body or human.
        """


class RandomIdentities:
    """For live sources, which never show the same picture again."""

    def begin_frame(self, number: int) -> None:
        """Do nothing: no name depends on a frame."""

    def track_id(self) -> str:
        """Return a name that was never used."""
        return str(uuid.uuid4())

    def request_id(self, analytics: int, track_id: str, kind: str) -> str:
        """Return a name that was never used, with the present time."""
        return new_request_id(datetime.now(UTC))


class DerivedIdentities:
    """For files: the same names whenever the same run is repeated.

    A track is named by the frame it begins in and its place among those that begin there, not by counting all tracks:
    should one picture be seen otherwise by another processor, other tracks keep their names.

    Args:
        run: what tells this run of this stream from all others.
        since: a moment that is the same in every repetition; it is the time part of request ids.
    """

    def __init__(self, run: str, since: datetime) -> None:
        self._run = uuid.uuid5(_NAMESPACE, run)
        self._since_s = int(since.timestamp())
        self._frame = 0
        self._begun_in_frame = 0
        self._sent: Counter[tuple[int, str, str]] = Counter()

    def begin_frame(self, number: int) -> None:
        """Say which frame is analysed from now on."""
        self._frame, self._begun_in_frame = number, 0

    def track_id(self) -> str:
        """Return the name of the next track that begins in this frame."""
        self._begun_in_frame += 1
        return str(uuid.uuid5(self._run, f"track {self._frame} {self._begun_in_frame}"))

    def request_id(self, analytics: int, track_id: str, kind: str) -> str:
        """Return the name of the next event of this kind about the track."""
        key = (analytics, track_id, kind)
        self._sent[key] += 1
        return f"{self._since_s:010d},{uuid.uuid5(self._run, f'event {analytics} {track_id} {kind} {self._sent[key]}')}"


_UNKNOWN: Final = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
"""Where a server does not tell when a stream was made: the first time of ten digits."""


def identities_of(plan: StreamPlan) -> Identities:
    """Return what names the tracks and events of a stream; a source is read once from its start per run, or live."""
    if plan.source.is_live:
        return RandomIdentities()
    return DerivedIdentities(f"{plan.stream_id} {plan.version} {plan.run_number}", plan.created_at or _UNKNOWN)
