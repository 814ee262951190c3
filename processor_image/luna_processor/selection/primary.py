"""The primary track of an access gate: only the nearest face counts, and it is sent as soon as it is near enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

CLEARLY_LARGER = 1.1
"""Another face must be larger by this factor to take over: two people side by side must not alternate."""
HOLD_S = 0.5
"""Its turn lasts so long after it was last seen: the next in line is not let in because the first one blinked away."""


@dataclass(frozen=True, slots=True)
class PrimaryPolicy:
    """Documented sizes: heights of a face in pixels of the frame, inclusive."""

    min_height_px: float
    """Smaller faces are nobody's business."""
    proper_height_px: float
    """From here on the shots are sent at once."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """Whose turn it was when it was last seen."""

    track_id: str
    height_px: float
    seen_s: float


class PrimaryTrack:
    """Knows whose turn it is, frame by frame; one per analytics and stream."""

    def __init__(self, policy: PrimaryPolicy) -> None:
        self._policy = policy
        self._last: _Turn | None = None

    def choose(self, heights_px: Mapping[str, float], now_s: float) -> str | None:
        """Return the track whose face counts in this frame, if one does.

        It is the largest; it stays the same one while no other is clearly larger, also while it is out of sight for a
        moment.

        Args:
            heights_px: of the faces that are seen, by track.
            now_s: time of the frame.
        """
        near = {track_id: height for track_id, height in heights_px.items() if height >= self._policy.min_height_px}
        if not near:
            return None
        largest = max(near, key=lambda track_id: (near[track_id], track_id))
        rival_px = self._height_px(heights_px, now_s)
        if rival_px < self._policy.min_height_px or near[largest] >= rival_px * CLEARLY_LARGER:
            self._last = _Turn(largest, near[largest], now_s)
        elif self._last is not None and self._last.track_id in near:
            self._last = _Turn(self._last.track_id, rival_px, now_s)
        else:
            return None
        return self._last.track_id

    def _height_px(self, heights_px: Mapping[str, float], now_s: float) -> float:
        """Return the height of whose turn it is; 0 where it is nobody's any more."""
        last = self._last
        if last is None:
            return 0.0
        is_held = 0 <= now_s - last.seen_s < HOLD_S
        return heights_px.get(last.track_id, last.height_px if is_held else 0.0)

    def merge(self, track_id: str, into: str) -> None:
        """Two tracks turned out to be one."""
        if self._last is not None and self._last.track_id == track_id:
            self._last = replace(self._last, track_id=into)

    def end(self, track_id: str) -> None:
        """A track is over: whose turn it was will not come back."""
        if self._last is not None and self._last.track_id == track_id:
            self._last = None

    def is_proper(self, height_px: float) -> bool:
        """Return whether a face is near enough to be sent at once."""
        return height_px >= self._policy.proper_height_px
