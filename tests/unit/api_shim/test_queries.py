"""Query strings: both forms of arrays, bounds, times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from luna_api_shim.errors import BadQuery, QueryIncomplete
from luna_api_shim.http.parameters import (
    ACCOUNT_ID,
    CREATE_TIME_GTE,
    LIMIT,
    NAMES,
    ORDER,
    PAGE,
    PAGE_SIZE,
    Parameter,
)
from luna_api_shim.http.queries import Query, is_newest_first, page_of
from luna_api_shim.routes.processing import wait_of

TIME = CREATE_TIME_GTE.name


def query(text: str, *declared: Parameter[Any]) -> Query:
    return Query(QueryParams(text), declared)


@pytest.mark.parametrize("text", ["names=a,b", "names=a&names=b", "names=a&names=b,a", "names=a%2Cb"])
def test_arrays_come_with_commas_or_as_repeated_keys(text: str) -> None:
    assert query(text, NAMES).get(NAMES) == frozenset("ab")


def test_an_absent_array_asks_for_nothing() -> None:
    assert query("", NAMES).get(NAMES) is None


def test_a_parameter_that_the_operation_does_not_declare_cannot_be_read() -> None:
    with pytest.raises(LookupError, match="does not declare the parameter names"):
        query("names=a", LIMIT).get(NAMES)


def test_a_parameter_that_may_be_absent_cannot_be_relied_on() -> None:
    with pytest.raises(LookupError, match="the parameter account_id may be absent"):
        query("", ACCOUNT_ID).require(ACCOUNT_ID)


@pytest.mark.parametrize("text", ["x", "", "1.0", "1e3", " 1", "0x1", "\u0661", "9" * 30, "0", "1001", "true"])
def test_integers_are_plain_and_within_bounds(text: str) -> None:
    with pytest.raises(BadQuery, match="Bad query parameters 'page_size'"):
        query(f"page_size={text}", PAGE_SIZE).get(PAGE_SIZE)


def test_a_page_far_away_is_still_a_page() -> None:
    page = page_of(query(f"page={'9' * 18}&page_size=1000", PAGE, PAGE_SIZE))
    assert [][page.offset : page.offset + page.size] == []
    page = page_of(query("", PAGE, PAGE_SIZE))
    assert (page.number, page.size) == (1, 10)


@pytest.mark.parametrize(("text", "newest_first"), [("", False), ("order=asc", False), ("order=desc", True)])
def test_the_newest_come_first_only_when_that_is_asked_for(text: str, newest_first: bool) -> None:
    assert is_newest_first(query(text, ORDER)) == newest_first


def test_a_required_integer_must_be_there() -> None:
    with pytest.raises(QueryIncomplete, match="Required parameters 'limit' not found"):
        query("", LIMIT).require(LIMIT)


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
    assert query(f"{TIME}={text}", CREATE_TIME_GTE).get(CREATE_TIME_GTE) == expected


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
        query(f"{TIME}={text}", CREATE_TIME_GTE).get(CREATE_TIME_GTE)


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(timezone(timedelta(hours=3)))))
def test_every_time_python_writes_is_read_back(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return
    asked = Query(QueryParams({TIME: moment.isoformat()}), (CREATE_TIME_GTE,))
    assert asked.get(CREATE_TIME_GTE) == expected


@settings(deadline=None)
@given(st.text(max_size=80), st.sampled_from([ACCOUNT_ID, CREATE_TIME_GTE, LIMIT, NAMES, ORDER]))
def test_no_text_is_worse_than_a_refusal(text: str, parameter: Parameter[Any]) -> None:
    try:
        Query(QueryParams({parameter.name: text}), (parameter,)).get(parameter)
    except BadQuery:
        return


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
