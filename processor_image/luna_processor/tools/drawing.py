"""Draw what was found into a picture (Pillow): boxes with numbers and scores, regions, the best shots just sent."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from luna_processor.tools.placement import Canvas, Rect, label_rect
from luna_processor.vision.detections import FloatArray
from luna_processor.vision.view import Picture

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (0, 170, 170),
    (240, 50, 230), (170, 110, 40), (128, 0, 0), (0, 0, 128), (128, 128, 0), (0, 100, 60),
)  # fmt: skip
"""Easily told apart, and white letters are readable on all of them. Source: Trubetskoy's list of distinct colours."""
UNCONFIRMED: Colour = (160, 160, 160)
REGION: Colour = (255, 255, 255)
DROI: Colour = (255, 225, 25)
_BLACK: Colour = (0, 0, 0)
_WHITE: Colour = (255, 255, 255)
_DIMMED = 0.45
"""Brightness of what lies outside the region of interest."""
_LETTERS = 1 / 40
"""Height of letters in parts of the picture's shorter side."""
_SMALLEST_LETTERS_PX = 11
_THUMBNAIL = 1 / 5
"""Height of a best shot in parts of the picture's height."""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A box with its label."""

    box_xyxy: FloatArray
    """Pixels of the frame."""
    colour: Colour
    text: str = ""
    is_strong: bool = False
    """Drawn thicker: a best shot was taken here."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of the frame that means something."""

    box_xyxy: FloatArray
    """Pixels of the frame."""
    colour: Colour
    text: str
    dims_outside: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """A best shot that was just sent."""

    picture: Image.Image
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """Everything that is drawn into one picture."""

    headline: str
    regions: Sequence[Region]
    marks: Sequence[Mark]
    thumbnails: Sequence[Thumbnail]


class Artist:
    """Draws annotations; keeps the letters for one size of pictures.

    Args:
        canvas: of the pictures.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        side = min(canvas.width, canvas.height)
        self._font = ImageFont.load_default(max(_SMALLEST_LETTERS_PX, round(side * _LETTERS)))
        self._line_px = max(1, round(side / 360))
        self.thumbnail_height_px = max(24, round(canvas.height * _THUMBNAIL))

    def thumbnail(self, jpeg: bytes) -> Image.Image:
        """Return a best shot in the size in which it is shown."""
        picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
        height = self.thumbnail_height_px
        return picture.resize((max(1, round(picture.width * height / picture.height)), height))

    def draw(self, picture_rgb: Picture, annotation: Annotation) -> Picture:
        """Return the picture (H, W, 3), of the size of the canvas, with the annotation in it."""
        image = Image.fromarray(np.ascontiguousarray(picture_rgb))
        for region in annotation.regions:
            image = self._draw_region(image, region)
        draw = ImageDraw.Draw(image)
        labels = [self._draw_headline(draw, annotation.headline)]
        self._draw_thumbnails(image, draw, annotation.thumbnails)
        for mark in annotation.marks:
            self._draw_box(draw, mark)
        for mark in annotation.marks:  # after all boxes, so that no line crosses a label
            if mark.text:
                labels.append(self._draw_label(draw, mark, labels))
        return np.asarray(image)

    def _draw_region(self, image: Image.Image, region: Region) -> Image.Image:
        rect = self._canvas.place(region.box_xyxy)
        box = round(rect.left), round(rect.top), round(rect.right), round(rect.bottom)
        if region.dims_outside:
            dimmed = image.point(lambda value: value * _DIMMED)
            dimmed.paste(image.crop(box), box[:2])
            image = dimmed
        draw = ImageDraw.Draw(image)
        draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=region.colour, width=self._line_px)
        width, height = self._size(region.text)
        # At the lower left corner: labels of boxes mostly stand at upper ones.
        self._write(draw, Rect(rect.left, rect.bottom - height, rect.left + width, rect.bottom), region.text, _BLACK)
        return image

    def _draw_headline(self, draw: ImageDraw.ImageDraw, text: str) -> Rect:
        width, height = self._size(text)
        rect = Rect(0, 0, width, height)
        self._write(draw, rect, text, _BLACK)
        return rect

    def _draw_thumbnails(self, image: Image.Image, draw: ImageDraw.ImageDraw, thumbnails: Sequence[Thumbnail]) -> None:
        """Put the best shots side by side into the lower right corner, as many as there is room for."""
        right = self._canvas.width
        for thumbnail in thumbnails:
            width, height = self._size(thumbnail.text)
            left, top = right - max(width, thumbnail.picture.width), self._canvas.height - thumbnail.picture.height
            if left < 0:
                return
            image.paste(thumbnail.picture, (round(left), round(top)))
            draw.rectangle(
                (left, top, left + thumbnail.picture.width - 1, self._canvas.height - 1),
                outline=thumbnail.colour,
                width=2 * self._line_px,
            )
            self._write(draw, Rect(left, top - height, left + width, top), thumbnail.text, thumbnail.colour)
            right = round(left) - 2 * self._line_px

    def _draw_box(self, draw: ImageDraw.ImageDraw, mark: Mark) -> None:
        rect = self._canvas.place(mark.box_xyxy)
        line_px = self._line_px * (3 if mark.is_strong else 1) + (1 if mark.text else 0)
        right, bottom = max(rect.left, rect.right - 1), max(rect.top, rect.bottom - 1)
        draw.rectangle((rect.left, rect.top, right, bottom), outline=mark.colour, width=line_px)

    def _draw_label(self, draw: ImageDraw.ImageDraw, mark: Mark, taken: Sequence[Rect]) -> Rect:
        rect = label_rect(self._canvas.place(mark.box_xyxy), self._size(mark.text), self._canvas, taken)
        self._write(draw, rect, mark.text, mark.colour)
        return rect

    def _write(self, draw: ImageDraw.ImageDraw, rect: Rect, text: str, background: Colour) -> None:
        draw.rectangle((rect.left, rect.top, rect.right, rect.bottom), fill=background)
        padding = self._line_px + 1
        draw.text((rect.left + padding, rect.top + padding), text, fill=_WHITE, font=self._font, anchor="la")

    def _size(self, text: str) -> tuple[float, float]:
        """Return the size of a label, the same height for all texts."""
        ascent, descent = self._font.getmetrics() if isinstance(self._font, ImageFont.FreeTypeFont) else (11, 0)
        padding = 2 * (self._line_px + 1)
        return self._font.getlength(text) + padding, ascent + descent + padding


def colour_of(number: int | None) -> Colour:
    """Return the colour of a track; None for one that is not confirmed."""
    return UNCONFIRMED if number is None else PALETTE[(number - 1) % len(PALETTE)]
