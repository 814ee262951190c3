"""Which of several pictures of one source is read: HLS offers variants, an MPEG transport stream may carry programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """One video of a source that has several."""

    index: int
    """Of the stream within the source."""
    width: int
    """Pixels; 0 if it could not be found out."""
    height: int
    bit_rate: int
    """Bits per second; 0 if the source does not say."""
    codec: str


def choose_variant(variants: Sequence[Variant], preferred_width: int) -> Variant:
    """Return the variant whose width is nearest to the preferred one.

    Of two that are equally near, the wider is taken, of two of one width, that of the higher bit rate, and then the
    one that the source names first. Those of unknown width are taken only where there is nothing else.

    Args:
        variants: at least one, in the order of the source.
        preferred_width: pixels.
    """
    known = [variant for variant in variants if variant.width > 0] or list(variants)
    return min(known, key=lambda variant: (abs(variant.width - preferred_width), -variant.width, -variant.bit_rate))
