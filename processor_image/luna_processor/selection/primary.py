"""The primary track of an access gate: only the nearest face counts, and it is sent as soon as it is near enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CLEARLY_LARGER = 1.1
"""Another face must be larger by this factor to take over: two people side by side must not alternate."""


@dataclass(frozen=True, slots=True)
class PrimaryPolicy:
    """Documented sizes: heights of a face in pixels of the frame, inclusive."""

    min_height_px: float
    """Smaller faces are nobody's business."""
    proper_height_px: float
    """From here on the shots are sent at once."""


class PrimaryTrack:
    """Knows whose turn it is, frame by frame; one per analytics and stream."""

    def __init__(self, policy: PrimaryPolicy) -> None:
        self._policy = policy
        self._track_id: str | None = None

    def choose(self, heights_px: Mapping[str, float]) -> str | None:
        """Return the track whose face counts in this frame.

        It is the largest; it stays the same one while no other is clearly larger.

        Args:
            heights_px: of the faces that are seen, by track.
        """
        near = {track_id: height for track_id, height in heights_px.items() if height >= self._policy.min_height_px}
        if not near:
            return None
        largest = max(near, key=lambda track_id: (near[track_id], track_id))
        present = near.get(self._track_id or "")
        if present is None or near[largest] >= present * CLEARLY_LARGER:
            self._track_id = largest
        return self._track_id

    def is_proper(self, height_px: float) -> bool:
        """Return whether a face is near enough to be sent at once."""
        return height_px >= self._policy.proper_height_px
