from __future__ import annotations

import pytest

from luna_local.up.board import StreamRow
from luna_local.up.screen import Screen


def a_row(status: str, progress: float | None = None, reason: str = "") -> StreamRow:
    return StreamRow("id-1", "lobby", status, progress, reason)


def lines_of(rows: list[StreamRow], capsys: pytest.CaptureFixture[str], best_shots: int = 0) -> list[str]:
    screen = Screen()
    for row in rows:
        screen.show([row], lambda _: best_shots)
    return capsys.readouterr().out.splitlines()


def test_plain_lines_tell_every_change_of_status_once(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [a_row("pending", reason="no free slot"), a_row("in_progress"), a_row("in_progress"), a_row("done", 1.0)]
    assert lines_of(rows, capsys) == [
        "stream lobby (id-1): pending (no free slot)",
        "stream lobby (id-1): in_progress",
        "stream lobby (id-1): done",
    ]


def test_progress_is_told_now_and_then_only(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [a_row("in_progress", share / 100) for share in range(50)]
    assert lines_of(rows, capsys) == ["stream lobby (id-1): in_progress (0%)"]


@pytest.mark.parametrize(("count", "text"), [(1, "(1 best shot)"), (2, "(2 best shots)")])
def test_best_shots_are_counted(capsys: pytest.CaptureFixture[str], count: int, text: str) -> None:
    assert lines_of([a_row("done")], capsys, count) == [f"stream lobby (id-1): done {text}"]


def test_what_came_from_outside_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    row = StreamRow("id-1", "[bold]lobby[/bold]", "failure", None, "[red]")
    assert lines_of([row], capsys) == ["stream [bold]lobby[/bold] (id-1): failure ([red])"]


def test_a_terminal_shows_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)
    screen = Screen()
    with screen.watching():
        screen.show([a_row("in_progress", 0.5), a_row("failure", reason="[no] such file")], lambda _: 3)
    shown = capsys.readouterr().out
    assert "in_progress" in shown
    assert "━" in shown
    assert "[no] such file" in shown
