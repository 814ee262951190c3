"""Pictures as they are delivered: decoded once, to know that they are what they claim to be."""

from __future__ import annotations

import asyncio
import io
import warnings
from dataclasses import dataclass

from PIL import Image

from luna_local.inbox.errors import not_an_image

# What LUNA PLATFORM takes; fewer decoders than Pillow has, since the bytes come from outside.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM")
_MAX_PIXELS = 64_000_000
_SUFFIXES = {"JPEG": "jpg", "TIFF": "tif"}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that decodes.

    Attributes:
        name: what the sender called it.
        data: its bytes, as they came.
        content_type: what it really is, whatever the sender said.
        suffix: of a file that holds it.
    """

    name: str
    data: bytes
    content_type: str
    suffix: str
    width: int
    height: int


async def decoded(name: str, data: bytes) -> Picture:
    """Decode an image, off the event loop.

    Raises:
        InboxError: if it is not a whole image of a known format.
    """
    return await asyncio.to_thread(_decode, name, data)


def _decode(name: str, data: bytes) -> Picture:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata; whether it decodes is what counts
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise not_an_image(f"{name!r} ({image.width}x{image.height}, too large)")
                image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        raise not_an_image(repr(name)) from e
    kind = image.format or ""
    suffix = _SUFFIXES.get(kind, kind.lower())
    return Picture(name, data, Image.MIME[kind], suffix, image.width, image.height)
