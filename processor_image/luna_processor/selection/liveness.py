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
    def frame_count(self) -> int:
        """First or last frames that are checked: one at least, since none would confirm nobody."""
        return max(1, self.count)

    @property
    def can_confirm(self) -> bool:
        """Whether the best scores there are would exceed the threshold."""
        return sum(max(0.0, weight) for weight in self.weights.values()) > self.threshold


class _Scores:
    """The scores of one check, of as many frames as count; their mean is kept, not they, where there is no bound.

    Args:
        policy: says which frames count.
    """

    def __init__(self, policy: LivenessPolicy) -> None:
        self._policy = policy
        self._last: deque[float] = deque(maxlen=policy.frame_count)
        self._total, self._count = 0.0, 0

    def add(self, score: float) -> None:
        """Take in the score of the next frame, 0 to 1."""
        if self._policy.mode == ALL_FRAMES:
            self._total, self._count = self._total + score, self._count + 1
        elif self._policy.mode == LAST_FRAMES or len(self) < self._policy.frame_count:
            self._last.append(score)

    def absorb(self, other: _Scores) -> None:
        """Take over the scores of another track of the same person."""
        self._total, self._count = self._total + other._total, self._count + other._count
        for score in other._last:
            self.add(score)

    def __len__(self) -> int:
        return self._count + len(self._last)

    @property
    def mean(self) -> float:
        """Of the frames that count; 0 of none."""
        return (self._total + sum(self._last)) / max(1, len(self))


class LivenessRecord:
    """The checks of one track."""

    def __init__(self, policy: LivenessPolicy) -> None:
        self._policy = policy
        self._scores = {check: _Scores(policy) for check in policy.weights}

    def wanted(self, background_count: int) -> tuple[Check, ...]:
        """Return the checks that are to be made of the present frame.

        Args:
            background_count: frames of the stream that were seen before.
        """
        is_background_known = background_count >= self._policy.background_count
        return tuple(
            check
            for check, scores in self._scores.items()
            if (self._policy.mode != FIRST_FRAMES or len(scores) < self._policy.frame_count)
            and (check != "mask" or is_background_known)
        )

    def add(self, check: Check, score: float) -> None:
        """Take in the score of a check, 0 to 1."""
        self._scores[check].add(score)

    def absorb(self, other: LivenessRecord) -> None:
        """Take over the checks of another track of the same person."""
        for check, scores in other._scores.items():
            self._scores[check].absorb(scores)

    @property
    def is_decided(self) -> bool:
        """Whether as many frames were checked as are wanted; with all frames, whether any was."""
        needed = 1 if self._policy.mode == ALL_FRAMES else self._policy.frame_count
        return all(len(scores) >= needed for scores in self._scores.values())

    @property
    def is_alive(self) -> bool:
        """Whether the checks made so far show a person; a check that was not made counts as 0."""
        total = sum(self._policy.weights[check] * scores.mean for check, scores in self._scores.items())
        return total > self._policy.threshold
