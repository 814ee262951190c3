"""A Kalman filter for a box, in seconds: the centre has a constant velocity, the size wanders.

Centre x, centre y, width and height are four independent filters of position and velocity: with the noise below their
covariances never mix, so a 2x2 covariance per side is all there is, and no matrix is inverted. The velocity of the
sizes is zero and stays so: a face that is being covered shrinks fast, and extrapolating that would leave a sliver that
fits nothing when the face comes out again.
All noise is relative to the size of the box, since a near face moves and jitters more pixels than a far one.
Source: as in SORT and ByteTrack (Zhang et al. 2022), whose noise per frame is restated per second, so that dropped
frames and variable frame rates need no special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from luna_processor.vision.detections import FloatArray

Vector = npt.NDArray[np.float64]
"""(4,): centre x, centre y, width, height."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How the boxes of a kind move and are seen: standard deviations, in sizes of the box (its longer side)."""

    acceleration: float
    """Change of speed within a second, in sizes per second."""
    initial_speed: float
    """Speed that a new box may have, in sizes per second."""
    measurement: float
    """Error of a detected side."""
    growth: float = 0.2
    """Change of a side within a second."""


HEADS = Motion(acceleration=2.5, initial_speed=4.0, measurement=0.1)
"""A head is some 25 cm high: walking is five of its heights a second."""
BODIES = Motion(acceleration=1.0, initial_speed=1.0, measurement=0.05)
"""The same walk is less than one height of a body a second. Both were measured with benchmarks/tracking_quality.py."""
_MIN_SIDE_PX = 1.0
_MOVES = np.array([1.0, 1.0, 0.0, 0.0])
"""Which of the four sides have a velocity."""


@dataclass(frozen=True, slots=True)
class BoxState:
    """What is believed about a box at one moment; means in pixels and pixels per second, with their covariance."""

    position: Vector
    velocity: Vector
    position_variance: Vector
    covariance: Vector
    velocity_variance: Vector

    @property
    def box_xyxy(self) -> FloatArray:
        """The box, float32 (4,)."""
        half = np.maximum(self.position[2:], _MIN_SIDE_PX) / 2
        return np.concatenate([self.position[:2] - half, self.position[:2] + half]).astype(np.float32)

    @property
    def size(self) -> float:
        """The longer side, pixels: what is half covered keeps it."""
        return _size(self.position)


def start(box_xyxy: FloatArray, motion: Motion) -> BoxState:
    """Return the state after the first detection: the place is known, the speed is not."""
    position = _to_centre(box_xyxy)
    size = _size(position)
    return BoxState(
        position=position,
        velocity=np.zeros(4),
        position_variance=np.full(4, (motion.measurement * size) ** 2),
        covariance=np.zeros(4),
        velocity_variance=_MOVES * (motion.initial_speed * size) ** 2,
    )


def predict(state: BoxState, motion: Motion, elapsed_s: float) -> BoxState:
    """Return the state `elapsed_s` later, without a detection (white-noise acceleration; random walk of the size)."""
    acceleration = _MOVES * (motion.acceleration * state.size) ** 2
    growth = (1 - _MOVES) * (motion.growth * state.size) ** 2
    grown_covariance = state.covariance + elapsed_s * state.velocity_variance
    return BoxState(
        position=state.position + elapsed_s * state.velocity,
        velocity=state.velocity,
        position_variance=(
            state.position_variance
            + elapsed_s * (state.covariance + grown_covariance)
            + acceleration * elapsed_s**3 / 3
            + growth * elapsed_s
        ),
        covariance=grown_covariance + acceleration * elapsed_s**2 / 2,
        velocity_variance=state.velocity_variance + acceleration * elapsed_s,
    )


def correct(state: BoxState, motion: Motion, box_xyxy: FloatArray) -> BoxState:
    """Return the state after a detection at the moment of `state`."""
    measured = _to_centre(box_xyxy)
    innovation_variance = state.position_variance + (motion.measurement * _size(measured)) ** 2
    gain = state.position_variance / innovation_variance
    velocity_gain = state.covariance / innovation_variance
    residual = measured - state.position
    return BoxState(
        position=state.position + gain * residual,
        velocity=state.velocity + velocity_gain * residual,
        position_variance=(1 - gain) * state.position_variance,
        covariance=(1 - gain) * state.covariance,
        velocity_variance=state.velocity_variance - velocity_gain * state.covariance,
    )


def leap(state: BoxState, elapsed_s: float) -> float:
    """Return how far a box moves within a time, in its sizes."""
    return float(np.hypot(*state.velocity[:2])) * elapsed_s / state.size


def _to_centre(box_xyxy: FloatArray) -> Vector:
    corners = box_xyxy.astype(np.float64)
    sides = np.maximum(corners[2:] - corners[:2], _MIN_SIDE_PX)
    return np.concatenate([(corners[:2] + corners[2:]) / 2, sides])


def _size(position: Vector) -> float:
    return float(max(position[2], position[3], _MIN_SIDE_PX))
