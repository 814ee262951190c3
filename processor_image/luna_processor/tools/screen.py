"""What a person sees of the tools: lines, a progress bar on a terminal, tables (rich)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

Fact = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an analysis has come."""

    position_s: float
    total_s: float | None
    """None where nobody knows."""
    text: str


class Screen:
    """Results go to standard output, progress and complaints to standard error.

    Args:
        command: named before each complaint.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self._out = Console(highlight=False, soft_wrap=True)
        self._error = Console(stderr=True, highlight=False, soft_wrap=True)

    def start_logging(self, level: str) -> None:
        """Show what the pipeline logs, above the progress bar."""
        handler = RichHandler(console=self._error, show_path=False, show_time=False, markup=False)
        logging.basicConfig(level=level.upper(), handlers=[handler], format="%(message)s", force=True)

    def say(self, text: str) -> None:
        """Write a line."""
        with _forgiving():
            self._out.print(Text(text))

    def complain(self, text: str) -> None:
        """Write one line about what went wrong."""
        self._error.print(Text(f"{self._command}: {' '.join(text.split())}"))

    def table(self, title: str, facts: Sequence[Fact]) -> None:
        """Write names and values side by side."""
        width = max((len(name) for name, _ in facts), default=0)
        with _forgiving():
            self._out.print(Text(title, style="bold"))
            for name, value in facts:
                self._out.print(Text.assemble((name.ljust(width + 2), "cyan"), value))

    @contextlib.contextmanager
    def progress(self) -> Iterator[Bar]:
        """Show a progress bar for the length of the block, if there is a terminal."""
        progress = Progress(
            TextColumn("analysing"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._error,
            disable=not self._error.is_terminal,
            transient=True,
        )
        with progress:
            yield Bar(progress)


class Bar:
    """A progress bar.

    Args:
        progress: it stands in.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, text="")

    def show(self, standing: Standing) -> None:
        """Bring it up to date."""
        self._progress.update(
            self._task, total=standing.total_s, completed=max(0.0, standing.position_s), text=standing.text
        )


@contextlib.contextmanager
def _forgiving() -> Iterator[None]:
    """Go on when whoever read the output has gone (`| head`), also when Python flushes at its end."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
