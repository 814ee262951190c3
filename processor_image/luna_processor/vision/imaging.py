"""Resize and encode pictures (Pillow)."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from luna_processor.vision.view import Picture


def resize(picture_rgb: Picture, width: int, height: int) -> Picture:
    """Return the picture (H, W, 3) stretched to a size, averaging where it shrinks."""
    image = Image.fromarray(np.ascontiguousarray(picture_rgb))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))


def shrink(picture_rgb: Picture, longest_side: int) -> Picture:
    """Return the picture with its longest side at most this, in proportion."""
    height, width = picture_rgb.shape[:2]
    factor = longest_side / max(height, width)
    if factor >= 1:
        return picture_rgb
    return resize(picture_rgb, max(1, round(width * factor)), max(1, round(height * factor)))


def jpeg(picture_rgb: Picture, quality: int) -> bytes:
    """Return the picture (H, W, 3) as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture_rgb)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
