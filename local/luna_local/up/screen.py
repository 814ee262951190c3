"""What a person sees of `up`: lines, and on a terminal a table of streams that keeps itself true."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from luna_local.up.board import StreamRow

CountBestShots = Callable[[str], int]

# More would not fit on a screen; the REST API and kubectl list them all.
_MAX_ROWS = 15
_COLOURS = {"in_progress": "cyan", "done": "green", "failure": "red", "pending": "yellow"}
_PROGRESS_INTERVAL_S = 2.0


class _Forgiving:
    """A text stream whose reader may go away (`| tee` ended, terminal closed): from then on nothing is written.

    Ending in order matters more than the words about it; a write that fails must not cut the end short.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._go_quiet()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._go_quiet()

    def _go_quiet(self) -> None:
        """Lead the stream nowhere, also for what Python itself flushes at exit."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class Screen:
    """Writes for a person: to standard output, errors to standard error."""

    def __init__(self) -> None:
        self._out = Console(file=cast(TextIO, _Forgiving(sys.stdout)), highlight=False, soft_wrap=True)
        self._error = Console(file=cast(TextIO, _Forgiving(sys.stderr)), highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._shown: dict[str, StreamRow] = {}
        self._progress_at: dict[str, float] = {}

    def say(self, text: str) -> None:
        """Write a line."""
        self._out.print(Text(text))

    def complain(self, text: str) -> None:
        """Write a line about what went wrong."""
        self._error.print(Text(f"luna-streams up: {text}"))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Show streams for the length of the block; on a terminal as a table below the lines."""
        if not self._out.is_terminal:
            yield
            return
        with Live(console=self._out, auto_refresh=False, transient=False) as self._live:
            try:
                yield
            finally:
                self._live = None

    def show(self, rows: list[StreamRow], best_shots: CountBestShots) -> None:
        """Show the streams as they are now."""
        if self._live is not None:
            self._live.update(_table(rows, best_shots), refresh=True)
            return
        for row in rows:
            if line := self._news(row, best_shots):
                self.say(line)
        self._shown = {row.stream_id: row for row in rows}
        self._out.file.flush()

    def _news(self, row: StreamRow, best_shots: CountBestShots) -> str:
        """Return a line about a stream if there is something to say."""
        before = self._shown.get(row.stream_id)
        has_progress = before is None or (before.progress != row.progress and self._is_due(row))
        if before is not None and before.status == row.status and not has_progress:
            return ""
        self._progress_at[row.stream_id] = time.monotonic()
        parts = [f"{row.progress:.0%}" if row.progress is not None and row.is_busy else "", row.reason]
        if count := best_shots(row.stream_id):
            parts.append(f"{count} best shot{'s' if count != 1 else ''}")
        details = ", ".join(part for part in parts if part)
        return f"stream {row.name} ({row.stream_id}): {row.status}" + (f" ({details})" if details else "")

    def _is_due(self, row: StreamRow) -> bool:
        return time.monotonic() - self._progress_at.get(row.stream_id, 0.0) >= _PROGRESS_INTERVAL_S


def _table(rows: list[StreamRow], best_shots: CountBestShots) -> Table:
    table = Table(box=None, pad_edge=False, expand=False)
    for title in ("stream", "status", "progress", "best shots", ""):
        table.add_column(title, justify="right" if title == "best shots" else "left")
    # Who is at work comes first; of the others the newest.
    ordered = sorted(reversed(rows), key=lambda row: not row.is_busy)
    for row in ordered[:_MAX_ROWS]:
        bar = ProgressBar(total=1.0, completed=row.progress, width=24) if row.progress is not None else Text("")
        table.add_row(
            Text(row.name, overflow="ellipsis"),
            Text(row.status, style=_COLOURS.get(row.status, "")),
            bar,
            str(best_shots(row.stream_id)),
            Text(row.reason, overflow="ellipsis", style="dim"),
        )
    if len(rows) > _MAX_ROWS:
        table.add_row(Text(f"… and {len(rows) - _MAX_ROWS} more", style="dim"))
    return table
