"""Is a face a person's, and not a photo's? The rule that weighs checks of several frames; pure.

What a check looks at is the business of models that the user supplies; each gives a score from 0 (a photo) to 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Check = Literal["mask", "flying_faces"]
"""mask compares with the background, flying_faces looks at the surroundings of the face."""
FIRST_FRAMES: Literal[0] = 0
LAST_FRAMES: Literal[1] = 1
ALL_FRAMES: Literal[2] = 2


@dataclass(frozen=True, slots=True)
class LivenessPolicy:
    """The documented parameters."""

    weights: Mapping[Check, float]
    """Of the checks that are switched on."""
    mode: Literal[0, 1, 2]
    """Frames that are checked: the first, the last before sending, all."""
    count: int
    """How many first or last ones."""
    threshold: float
    """The weighted sum must exceed it."""
    background_count: int = 0
    """Frames of the stream that must have been seen before the mask check means anything."""

    @property
    def can_confirm(self) -> bool:
        """Whether the best scores there are would exceed the threshold."""
        return sum(max(0.0, weight) for weight in self.weights.values()) > self.threshold


class LivenessRecord:
    """The checks of one track."""

    def __init__(self, policy: LivenessPolicy) -> None:
        self._policy = policy
        self._is_bounded = policy.mode != ALL_FRAMES
        self._count = max(1, policy.count)
        kept = self._count if policy.mode == LAST_FRAMES else None
        self._scores: dict[Check, deque[float]] = {check: deque(maxlen=kept) for check in policy.weights}

    def wanted(self, background_count: int) -> tuple[Check, ...]:
        """Return the checks that are to be made of the present frame.

        Args:
            background_count: frames of the stream that were seen before.
        """
        is_background_known = background_count >= self._policy.background_count
        return tuple(
            check
            for check, scores in self._scores.items()
            if (self._policy.mode != FIRST_FRAMES or len(scores) < self._count)
            and (check != "mask" or is_background_known)
        )

    def add(self, check: Check, score: float) -> None:
        """Take in the score of a check, 0 to 1."""
        self._scores[check].append(score)

    def absorb(self, other: LivenessRecord) -> None:
        """Take over the checks of another track of the same person."""
        for check, scores in other._scores.items():
            self._scores[check].extend(scores)

    @property
    def is_decided(self) -> bool:
        """Whether as many frames were checked as are wanted; with all frames, whether any was."""
        needed = self._count if self._is_bounded else 1
        return all(len(scores) >= needed for scores in self._scores.values())

    @property
    def is_alive(self) -> bool:
        """Whether the checks made so far show a person; a check that was not made counts as 0."""
        total = sum(
            self._policy.weights[check] * (sum(scores) / len(scores))
            for check, scores in self._scores.items()
            if scores
        )
        return total > self._policy.threshold
