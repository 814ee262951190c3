"""Which frames are searched for faces and bodies, and which only carry the tracks on: a pure rule; one per connection.

Searching is nearly all that a frame costs, and who stands still need not be found 25 times a second. So every n-th
frame is searched, and besides those in which somebody could be lost or who is not sure yet: whom `Following` calls
doubtful, and what follows a cut of the video.
Source: FaceStream's detector-step. It looks again for known faces in between, which costs a network for each; what the
filter of the tracker predicts is good enough for half a second.
"""

from __future__ import annotations

MAX_BLIND_S = 0.5
"""A frame that is later than this after the last search is searched in any case: cameras of few pictures a second."""


class SearchRhythm:
    """Says of each frame whether it is searched.

    Args:
        every: every n-th frame of the source, dropped ones counted; 1 is each.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._last: tuple[int, float] | None = None

    def is_due(self, frame_number: int, pts_s: float, *, is_doubtful: bool) -> bool:
        """Return whether a frame is to be searched, and take it that it will be.

        Args:
            frame_number: position in the source.
            pts_s: its time.
            is_doubtful: whether something in the picture cannot wait.
        """
        if self._last is not None and not is_doubtful:
            number, last_s = self._last
            # Numbers and times that run backwards are those of another recording: nothing is known of it.
            if 0 <= frame_number - number < self._every and 0 <= pts_s - last_s < MAX_BLIND_S:
                return False
        self._last = frame_number, pts_s
        return True
