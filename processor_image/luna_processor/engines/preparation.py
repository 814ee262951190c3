"""How a frame in the memory of a GPU becomes the input of a network: which part, which colours, which size, in numbers.

The CPU does the same with swscale, Pillow and numpy (`detector`). Here stand the figures that a library for GPUs is
given to come to the same picture; nothing here computes on pixels.

Frames of a hardware decoder are NV12: a plane of brightness, and one of half its width and height with two colour
differences per pixel. Both may be wider than the picture (their pitch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from luna_processor.engines.models import ModelSpec
from luna_processor.errors import EngineFailed
from luna_processor.vision.detections import FloatArray
from luna_processor.vision.view import Picture, PixelRect, Rotation, View

THUMBNAIL_SIDE = 96
"""Pixels of the longer side of what comes back to the host, to notice cuts of the video."""

Matrix = Literal["bt601", "bt709", "bt2020"]
_LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""Of red and blue. Source: ITU-R BT.601-7, BT.709-6, BT.2020-2."""


class Plane(Protocol):
    """A plane in device memory (or a numpy array): uint8 (rows, pitch, channels)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, pixels per row with the padding, channels."""


@dataclass(frozen=True, slots=True)
class Colours:
    """What the numbers of a frame mean."""

    matrix: Matrix = "bt601"
    is_full_range: bool = False
    """Whether brightness is 0 to 255 and not 16 to 235."""


@dataclass(frozen=True, slots=True, eq=False)
class DevicePlanes:
    """A frame in device memory, as it was decoded."""

    luma: Plane
    chroma: Plane
    width: int
    """Pixels, not upright; without the padding."""
    height: int
    colours: Colours
    quarter_turns: int = 0
    """Clockwise, to make it upright."""


@runtime_checkable
class DeviceFrame(Protocol):
    """A frame that may lie in the memory of a GPU."""

    @property
    def planes(self) -> DevicePlanes | None:
        """Where, if it does."""


def planes_of(frame: object) -> DevicePlanes | None:
    """Return where a frame lies on a device; None for one of the host."""
    return frame.planes if isinstance(frame, DeviceFrame) else None


@dataclass(slots=True, eq=False)
class DevicePicture:
    """What a detector searches, still to be made of a frame in device memory."""

    planes: DevicePlanes
    cut: PixelRect
    """Of the frame as it was decoded."""
    quarter_turns: int
    """Clockwise, after cutting."""
    width: int
    """Pixels of the picture, upright, without borders."""
    height: int
    input_width: int
    """Pixels of the network's input: the picture is its upper left corner."""
    input_height: int
    thumbnail: Picture | None = None
    """Small, uint8 (h, w, 3), RGB; there once the picture was searched."""

    @property
    def shape(self) -> tuple[str | int, ...]:
        """What pictures of one batch have in common."""
        return ("device", self.quarter_turns % 2, self.input_height, self.input_width)


SearchedPicture = Picture | DevicePicture
"""What a detector searches: made on the host, uint8 (H, W, 3), or still a frame on the device."""


def thumbnail_of(picture: SearchedPicture) -> Picture | None:
    """Return a picture of the host of what was searched, as small as it came; None if nothing did."""
    return picture.thumbnail if isinstance(picture, DevicePicture) else picture


def picture_size(picture: SearchedPicture) -> tuple[int, int]:
    """Return width and height, without borders."""
    if isinstance(picture, DevicePicture):
        return picture.width, picture.height
    return picture.shape[1], picture.shape[0]


NetworkInput = FloatArray | DevicePicture
"""One picture for a network: made on the host, or still a frame on the device."""


def host_arrays(batch: Sequence[NetworkInput]) -> Sequence[FloatArray]:
    """Return pictures of which none is on a device.

    Raises:
        EngineFailed: if one is: whoever decodes on a GPU has to compute there, too.
    """
    arrays = [item for item in batch if not isinstance(item, DevicePicture)]
    if len(arrays) < len(batch):
        raise EngineFailed("a frame lies in the memory of a GPU, but the models run on the CPU")
    return arrays


def device_picture(
    planes: DevicePlanes, view: View, size: tuple[int, int], input_size: tuple[int, int]
) -> DevicePicture:
    """Return how the view of a frame becomes a picture.

    Args:
        planes: of the frame.
        view: of the upright frame.
        size: width and height of the picture, without borders.
        input_size: width and height of the network's input.
    """
    turn: Rotation = _ROTATIONS[planes.quarter_turns % 4]
    upright = View(PixelRect(0, 0, planes.width, planes.height), turn, planes.width, planes.height)
    left, top, right, bottom = (
        round(float(side))
        for side in upright.to_frame(
            np.array([view.cut.left, view.cut.top, view.cut.right, view.cut.bottom], np.float32)
        )
    )
    quarter_turns = (planes.quarter_turns + view.rotation // 90) % 4
    return DevicePicture(planes, PixelRect(left, top, right, bottom), quarter_turns, *size, *input_size)


_ROTATIONS: tuple[Rotation, ...] = (0, 90, 180, 270)


def rgb_transform(colours: Colours) -> tuple[FloatArray, FloatArray]:
    """Return the matrix (3, 3) and offset (3,) that turn Y, Cb, Cr of 0 to 255 into R, G, B of 0 to 255."""
    red, blue = _LUMA_WEIGHTS[colours.matrix]
    green = 1 - red - blue
    to_rgb = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
            [1, 2 * (1 - blue), 0],
        ]
    )
    luma_scale, chroma_scale, black = (1.0, 1.0, 0.0) if colours.is_full_range else (255 / 219, 255 / 224, 16.0)
    matrix = to_rgb * np.array([luma_scale, chroma_scale, chroma_scale])
    return matrix.astype(np.float32), (-matrix @ np.array([black, 128.0, 128.0])).astype(np.float32)


@dataclass(frozen=True, slots=True)
class InputForm:
    """How a network takes pictures: what the manifest says, in the words of those who normalise."""

    mean: tuple[float, ...]
    """In the order of the network's channels."""
    deviation: tuple[float, ...]
    is_blue_first: bool
    is_channels_last: bool
    border: float


def input_form(model: ModelSpec) -> InputForm:
    """Return how a model takes pictures."""
    form = model.picture
    return InputForm(form.mean, form.deviation, form.colour == "bgr", model.is_channels_last, form.border)


@dataclass(frozen=True, slots=True)
class Placement:
    """The figures of one picture for a library that resizes first, and then transposes and mirrors."""

    start: tuple[float, float]
    """Row and column of the upper left corner in the frame."""
    end: tuple[float, float]
    size: tuple[int, int]
    """Rows and columns after resizing, before turning."""
    is_transposed: bool
    mirrors_rows: bool
    """Whether the order within each row is turned round, after transposing."""
    mirrors_columns: bool


def placement(picture: DevicePicture) -> Placement:
    """Return how a picture is cut, resized and turned; a quarter turn clockwise transposes, then mirrors each row."""
    turns, cut = picture.quarter_turns % 4, picture.cut
    is_transposed = turns % 2 == 1
    size = (picture.width, picture.height) if is_transposed else (picture.height, picture.width)
    return Placement(
        start=(cut.top, cut.left),
        end=(cut.bottom, cut.right),
        size=size,
        is_transposed=is_transposed,
        mirrors_rows=turns in (1, 2),
        mirrors_columns=turns in (2, 3),
    )
