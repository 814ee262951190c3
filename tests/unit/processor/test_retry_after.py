"""How long a server asks to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.delivery.retry_after import parse_retry_after

NOW = datetime(2024, 4, 5, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0),
        ("7", 7),
        (" 120 ", 120),
        ("-3", 0),
        ("1.5", 0),
        ("soon", 0),
        ("9" * 5000, 0),
        ("Fri, 05 Apr 2024 12:00:30 GMT", 30),
        ("Fri, 05 Apr 2024 12:00:30 -0000", 30),
        ("Friday, 05-Apr-24 12:00:30 GMT", 30),
        ("Fri Apr  5 12:00:30 2024", 30),
        ("Fri, 05 Apr 2024 11:59:00 GMT", 0),
    ],
)
def test_seconds_and_dates_are_understood_and_nothing_else(header: str, seconds: float) -> None:
    assert parse_retry_after(header, NOW) == seconds


@given(st.one_of(st.text(), st.from_regex(r"Fri, \d+ Apr \d+ \d+:\d+:\d+ [+-]\d+", fullmatch=True)))
def test_whatever_is_sent_is_no_error(header: str) -> None:
    assert parse_retry_after(header, NOW) >= 0
