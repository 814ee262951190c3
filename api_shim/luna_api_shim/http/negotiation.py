"""Which of the forms a resource has a client wants, by its Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luna_api_shim.errors import UnsupportedMediaType


@dataclass(frozen=True, slots=True)
class _Range:
    """One media range: a type, `text/*` or `*/*`, and how much it is wanted, 0 (not at all) to 1."""

    pattern: str
    quality: float

    def fit(self, media_type: str) -> int:
        """Return how closely the range names a type: 0 not at all, 3 by its full name."""
        if self.pattern == media_type:
            return 3
        if self.pattern == media_type.partition("/")[0] + "/*":
            return 2
        return 1 if self.pattern == "*/*" else 0


def choose(accept: str | None, offered: Sequence[str]) -> str:
    """Return the media type to answer in.

    Args:
        accept: the header; without one anything goes.
        offered: what the resource has, lower case; of those that are wanted alike the first is taken.

    Raises:
        UnsupportedMediaType: the client wants none of them.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = tuple(_ranges(accept))
    best = max(offered, key=lambda media_type: _quality(ranges, media_type))  # the first of equals
    if _quality(ranges, best) <= 0:
        raise UnsupportedMediaType
    return best


def _quality(ranges: Sequence[_Range], media_type: str) -> float:
    """Return how much a type is wanted; what names it most closely counts."""
    fitting = [item for item in ranges if item.fit(media_type)]
    return max(fitting, key=lambda item: (item.fit(media_type), item.quality)).quality if fitting else 0.0


def _ranges(accept: str) -> Iterator[_Range]:
    """Yield the ranges; parameters other than q are not looked at, and what cannot be read is passed over."""
    for part in accept.lower().split(","):
        pattern, *parameters = (item.strip() for item in part.split(";"))
        qualities = [
            value.strip() for name, _, value in (item.partition("=") for item in parameters) if name.strip() == "q"
        ]
        try:
            quality = float(qualities[0]) if qualities else 1.0
        except ValueError:
            continue
        if 0 <= quality <= 1:
            yield _Range(pattern, quality)
