"""What goes wrong with many streams at once, again and again, said in one line when it begins."""

from __future__ import annotations

import logging
from collections.abc import Set

from luna_kube import ApiError


class Troubles:
    """What cannot be written in rounds that come again and again.

    Args:
        log: gets the lines.
        what: of a stream, for example `cannot be looked after yet`.
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._failures: dict[str, ApiError] = {}
        self._known: Set[str] = frozenset()

    def note(self, stream_id: str, error: ApiError) -> None:
        """Remember what went wrong with a stream in this round."""
        self._failures[stream_id] = error

    def tell(self) -> None:
        """End a round: say what is wrong, but not what was in the last one too."""
        failed, self._failures = self._failures, {}
        if news := [stream_id for stream_id in failed if stream_id not in self._known]:
            first = news[0]
            self._log.warning("stream %s %s, and %d more: %s", first, self._what, len(news) - 1, failed[first])
        self._known = failed.keys()
