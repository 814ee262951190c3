"""A constant-velocity Kalman filter for a box, in seconds.

Centre x, centre y, width and height are four independent filters of position and velocity: with the noise below their
covariances never mix, so a 2x2 covariance per side is all there is, and no matrix is inverted.
All noise is relative to the size of the box, since a near face moves and jitters more pixels than a far one.
Source: the measurement noise follows SORT and ByteTrack (Zhang et al. 2022), whose process noise per frame is restated
per second, so that dropped frames and variable frame rates need no special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from luna_processor.detections import FloatArray

Vector = npt.NDArray[np.float64]
"""(4,): centre x, centre y, width, height."""

MEASUREMENT_NOISE = 0.05
"""Standard deviation of a detected side, in box sizes."""
ACCELERATION_NOISE = 2.0
"""Change of speed within a second, in box sizes per second: a head that starts to walk."""
INITIAL_SPEED = 3.0
"""Speed that a new box may have, in box sizes per second."""
_MIN_SIDE_PX = 1.0


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
        """Geometric mean of the sides, pixels."""
        return _size(self.position)


def start(box_xyxy: FloatArray) -> BoxState:
    """Return the state after the first detection: the place is known, the speed is not."""
    position = _to_centre(box_xyxy)
    size = _size(position)
    return BoxState(
        position=position,
        velocity=np.zeros(4),
        position_variance=np.full(4, (MEASUREMENT_NOISE * size) ** 2),
        covariance=np.zeros(4),
        velocity_variance=np.full(4, (INITIAL_SPEED * size) ** 2),
    )


def predict(state: BoxState, elapsed_s: float) -> BoxState:
    """Return the state `elapsed_s` later, without a detection (white-noise acceleration)."""
    intensity = (ACCELERATION_NOISE * state.size) ** 2
    grown_covariance = state.covariance + elapsed_s * state.velocity_variance
    position = state.position + elapsed_s * state.velocity
    position[2:] = np.maximum(position[2:], _MIN_SIDE_PX)
    return BoxState(
        position=position,
        velocity=state.velocity,
        position_variance=(
            state.position_variance + elapsed_s * (state.covariance + grown_covariance) + intensity * elapsed_s**3 / 3
        ),
        covariance=grown_covariance + intensity * elapsed_s**2 / 2,
        velocity_variance=state.velocity_variance + intensity * elapsed_s,
    )


def correct(state: BoxState, box_xyxy: FloatArray) -> BoxState:
    """Return the state after a detection at the moment of `state`."""
    measured = _to_centre(box_xyxy)
    innovation_variance = state.position_variance + (MEASUREMENT_NOISE * _size(measured)) ** 2
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


def hold_size(state: BoxState) -> BoxState:
    """Return the state with a box that no longer grows or shrinks: for a track that is out of sight.

    Extrapolated sizes run away within a second and then fit anything or nothing; places do not.
    """
    velocity = state.velocity.copy()
    velocity[2:] = 0
    return BoxState(state.position, velocity, state.position_variance, state.covariance, state.velocity_variance)


def _to_centre(box_xyxy: FloatArray) -> Vector:
    corners = box_xyxy.astype(np.float64)
    sides = np.maximum(corners[2:] - corners[:2], _MIN_SIDE_PX)
    return np.concatenate([(corners[:2] + corners[2:]) / 2, sides])


def _size(position: Vector) -> float:
    return float(np.sqrt(max(position[2], _MIN_SIDE_PX) * max(position[3], _MIN_SIDE_PX)))
