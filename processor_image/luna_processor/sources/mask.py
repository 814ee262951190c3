"""Names of pictures: a printf pattern, and the files of a folder that it stands for.

A file belongs to the pattern exactly when printf writes its name for some number, so `%04d` does not match `7`. Numbers
may begin anywhere and have gaps. Nothing in the pattern is a wildcard, and it never leaves its folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from luna_processor.errors import UnsuitableStream

_CONVERSION = re.compile(r"%(?:(?P<percent>%)|(?P<zero>0?)(?P<width>\d{0,2})[diu]|(?P<other>.?))")
_HINT = "a mask is a printf pattern of file names with one number in it, for example frame_%04d.jpg"


@dataclass(frozen=True, slots=True)
class Mask:
    """A parsed pattern; make it by `parse_mask`."""

    before: str
    after: str
    fill: str
    """What pads the number: 0 or a blank."""
    min_digits: int

    def name(self, number: int) -> str:
        """Return the name of a picture."""
        return f"{self.before}{str(number).rjust(self.min_digits, self.fill)}{self.after}"

    def numbers(self, names: Iterable[str]) -> list[int]:
        """Return the numbers of those names that fit, in ascending order."""
        shape = re.compile(rf"{re.escape(self.before)} *([0-9]{{1,18}}){re.escape(self.after)}")
        found = [
            int(match[1]) for name in names if (match := shape.fullmatch(name)) and name == self.name(int(match[1]))
        ]
        return sorted(found)


def parse_mask(text: str) -> Mask:
    """Return the pattern that a stream gives.

    Raises:
        UnsuitableStream: if it is none.
    """
    if "/" in text or "\0" in text:
        raise UnsuitableStream(f"mask '{text}' must be a file name without a folder, which belongs into reference")
    parts = [""]
    numbers: list[re.Match[str]] = []
    position = 0
    for match in _CONVERSION.finditer(text):
        parts[-1] += text[position : match.start()]
        position = match.end()
        if match["percent"]:
            parts[-1] += "%"
        elif match["other"] is not None:
            raise UnsuitableStream(f"mask '{text}' cannot be used: {_HINT}")
        else:
            numbers.append(match)
            parts.append("")
    parts[-1] += text[position:]
    if len(numbers) != 1:
        raise UnsuitableStream(f"mask '{text}' has {len(numbers)} numbers: {_HINT}")
    [number] = numbers
    return Mask(parts[0], parts[1], number["zero"] or " ", int(number["width"] or 0))
