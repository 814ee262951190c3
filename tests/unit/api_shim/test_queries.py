"""Query strings: both forms of arrays, bounds, times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from luna_api_shim.errors import BadQuery, QueryIncomplete
from luna_api_shim.queries import Query, is_name, page_of
from luna_api_shim.routes.processing import wait_of


def query(text: str) -> Query:
    return Query(QueryParams(text))


@pytest.mark.parametrize("text", ["names=a,b", "names=a&names=b", "names=a&names=b,a", "names=a%2Cb"])
def test_arrays_come_with_commas_or_as_repeated_keys(text: str) -> None:
    assert query(text).texts("names", is_name) == frozenset("ab")


def test_an_absent_array_asks_for_nothing_and_an_empty_one_for_the_empty_text() -> None:
    assert query("").texts("names", is_name) is None
    assert query("names=").texts("names", is_name) == frozenset([""])


@pytest.mark.parametrize("text", ["x", "", "1.0", "1e3", " 1", "0x1", "\u0661", "9" * 30, "0", "1001", "true"])
def test_integers_are_plain_and_within_bounds(text: str) -> None:
    with pytest.raises(BadQuery, match="Bad query parameters 'page_size'"):
        query(f"page_size={text}").integer("page_size", low=1, high=1000)


def test_a_page_far_away_is_still_a_page() -> None:
    page = page_of(query(f"page={'9' * 18}&page_size=1000"))
    assert [][page.offset : page.offset + page.size] == []
    assert (page_of(query("")).number, page_of(query("")).size) == (1, 10)


def test_a_required_integer_must_be_there() -> None:
    with pytest.raises(QueryIncomplete, match="Required parameters 'limit' not found"):
        query("").required_integer("limit", low=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-09-21T19:11:41.674Z", datetime(2021, 9, 21, 19, 11, 41, 674000, UTC)),
        ("2021-09-21t19:11:41z", datetime(2021, 9, 21, 19, 11, 41, 0, UTC)),
        ("2021-09-21T19:11:41.123456789Z", datetime(2021, 9, 21, 19, 11, 41, 123456, UTC)),
        ("2021-09-21T19:11:41%2B03:00", datetime(2021, 9, 21, 16, 11, 41, 0, UTC)),
        ("2021-09-21T19:11:41+03:00", datetime(2021, 9, 21, 16, 11, 41, 0, UTC)),
        ("2021-09-21T19:11:41-03:00", datetime(2021, 9, 21, 22, 11, 41, 0, UTC)),
        ("2021-09-21T19:11:41", datetime(2021, 9, 21, 19, 11, 41, 0, UTC)),
    ],
)
def test_times_are_read_as_rfc_3339(text: str, expected: datetime) -> None:
    assert query(f"t={text}").time("t") == expected


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2021-09-21",
        "1632251501",
        "2021-13-01T00:00:00Z",
        "2021-09-21T25:00:00Z",
        "0001-01-01T00:00:00%2B23:00",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        query(f"t={text}").time("t")


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(timezone(timedelta(hours=3)))))
def test_every_time_python_writes_is_read_back(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return
    assert Query(QueryParams({"t": moment.isoformat()})).time("t") == expected


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_text_is_worse_than_a_refusal(text: str) -> None:
    asked = Query(QueryParams({"a": text}))
    for read in (lambda: asked.time("a"), lambda: asked.integer("a", low=1), lambda: asked.uuid("a")):
        try:
            read()
        except BadQuery:
            continue


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=2.5", 2.5),
        ('Wait="7"', 7),
        ("wait=3; foo, bar", 3),
        ("handling=lenient,wait = 4", 4),
        ("", 0),
        ("wait", 0),
        ("wait=-1", 0),
        ("await=5", 0),
        ("wait=1e9", 0),
    ],
)
def test_the_wait_a_worker_prefers_is_found(header: str, seconds: float) -> None:
    assert wait_of(header) == seconds
