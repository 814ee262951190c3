"""Drop frames whose head yaw does not go with its neighbours': a turning head, or a measurement gone wrong."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_DEVIATION_DEGREES = 15.0
"""A yaw further from the mean than this goes with nothing; the document says "significantly different"."""


@dataclass(frozen=True, slots=True)
class YawPolicy:
    """The documented parameters."""

    count: int = 1
    """Frames that are compared; 1 compares none."""
    collects_first: bool = False
    """Whether nothing is judged before `count` frames were gathered."""

    @property
    def compares(self) -> bool:
        """Whether yaws have to be measured for comparison at all."""
        return self.count > 1


class YawWindow:
    """The last yaws of one track."""

    def __init__(self, policy: YawPolicy) -> None:
        self._policy = policy
        self._yaws: deque[tuple[int, float]] = deque(maxlen=max(1, policy.count))
        self._was_full = False

    def add(self, frame_number: int, yaw: float) -> None:
        """Take in the yaw of a frame, degrees."""
        self._yaws.append((frame_number, yaw))
        self._was_full = self._was_full or len(self._yaws) == self._policy.count

    def absorb(self, other: YawWindow) -> None:
        """Take over the yaws of another track of the same head."""
        for frame_number, yaw in other._yaws:
            self.add(frame_number, yaw)

    @property
    def is_collecting(self) -> bool:
        """Whether nothing can be judged yet."""
        return self._policy.collects_first and not self._was_full

    def outliers(self) -> frozenset[int]:
        """Return the frames of the window whose yaw is far from the mean."""
        if not self._policy.compares or len(self._yaws) < 2:
            return frozenset()
        mean = sum(yaw for _, yaw in self._yaws) / len(self._yaws)
        return frozenset(frame for frame, yaw in self._yaws if abs(yaw - mean) > MAX_DEVIATION_DEGREES)
