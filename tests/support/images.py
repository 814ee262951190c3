"""Pictures for tests."""

from __future__ import annotations

import io

from PIL import Image


def a_jpeg(width: int = 64, height: int = 48, colour: str = "teal") -> bytes:
    """Return a JPEG of one colour."""
    return an_image("JPEG", width, height, colour)


def an_image(kind: str, width: int = 64, height: int = 48, colour: str = "teal") -> bytes:
    """Return an image of a kind that Pillow can write."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind)
    return file.getvalue()
