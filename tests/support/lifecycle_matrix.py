"""What may follow what in the log of a stream, as the LUNA Streams Development Manual has it.

Public copies of the manual have lost cells of its matrix; those are marked as our choice.
"""

from __future__ import annotations

from typing import Final

# `+` documented, `o` our choice for a cell that no public copy has, `.` never. In_progress twice in a row is documented
# as feedback, which adds no entry. `none` is: no such stream; a stream that is cancelled or replaced by a manifest
# that says so is ours, REST cannot say it.
MAY_FOLLOW: Final = """
from          none  pending  in_progress  done  restart  pause  cancel  failure  handler_lost
none          .     +        .            .     .        +      o       .        .
pending       +     +        +            .     .        +      +       .        .
in_progress   +     +        .            +     .        +      +       +        +
done          +     +        .            .     .        +      o       .        .
restart       .     +        .            .     .        .      .       .        .
pause         +     +        .            .     .        +      +       .        .
cancel        +     +        .            .     .        +      +       .        .
failure       +     +        .            .     +        +      o       .        .
handler_lost  .     .        .            .     +        .      .       .        .
"""


def may_follow() -> dict[tuple[str, str], str]:
    """Return the mark of every cell; `none` stands for: there is no such stream."""
    head, *rows = (line.split() for line in MAY_FOLLOW.strip().splitlines())
    return {(row[0], column): cell for row in rows for column, cell in zip(head[1:], row[1:], strict=True)}


def is_allowed(first: str, second: str) -> bool:
    """Tell whether a status may follow another in the log."""
    return may_follow()[first, second] != "."
