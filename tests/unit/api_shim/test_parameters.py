"""The kinds of values that parameters have, at their edges."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.datastructures import QueryParams

from luna_api_shim.errors import BadQuery
from luna_api_shim.http.parameters import (
    CREATE_TIME_GTE,
    GROUP_NAMES,
    LIMIT,
    LOG_TARGETS,
    NAMES,
    PAGE,
    PAGE_SIZE,
    REFERENCE,
    STREAM_IDS,
    Parameter,
)
from luna_api_shim.http.queries import Query, page_of
from support.builders import HANDLER


def read(parameter: Parameter[Any], text: str) -> object:
    return Query(QueryParams(f"{parameter.name}={text}"), (parameter,)).get(parameter)


@pytest.mark.parametrize("parameter", [STREAM_IDS, GROUP_NAMES])
def test_an_empty_array_of_what_cannot_be_empty_is_as_good_as_none(parameter: Parameter[Any]) -> None:
    assert read(parameter, "") is None
    for text in (",", "a b", f"{HANDLER},", f",{HANDLER}"):
        with pytest.raises(BadQuery):
            read(parameter, text)


def test_an_empty_choice_of_fields_is_the_default() -> None:
    assert read(LOG_TARGETS, "") == read(LOG_TARGETS, "stream_id,status,error,video_info,log_time,version,preview")


def test_an_empty_name_is_a_name() -> None:
    assert read(NAMES, "") == {""}
    assert read(NAMES, "a,") == {"a", ""}


@pytest.mark.parametrize("parameter", [NAMES, REFERENCE])
@pytest.mark.parametrize("text", ["%00", "a%00b", "%ff", "%ed%a0%80"])
def test_what_is_no_text_is_refused(parameter: Parameter[Any], text: str) -> None:
    with pytest.raises(BadQuery):
        read(parameter, text)


def test_a_number_may_be_very_large() -> None:
    assert read(LIMIT, "9" * 100) == int("9" * 100)
    page = page_of(Query(QueryParams(f"page={'9' * 100}&page_size=1000"), (PAGE, PAGE_SIZE)))
    assert [][page.offset : page.offset + page.size] == []


@pytest.mark.parametrize("text", ["9" * 101, "-1", "0", "+1", " 1", "1.0", "1e3", "٣", "", "１"])  # noqa: RUF001
def test_a_number_is_made_of_digits(text: str) -> None:
    with pytest.raises(BadQuery):
        read(PAGE, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999999, UTC)),
        ("2021-09-21T19:11:41.1234567891234Z", datetime(2021, 9, 21, 19, 11, 41, 123456, UTC)),
        ("2021-09-21 19:11:41z", datetime(2021, 9, 21, 19, 11, 41, 0, UTC)),
    ],
)
def test_every_time_of_rfc_3339_is_one(text: str, expected: datetime) -> None:
    assert read(CREATE_TIME_GTE, text) == expected


@pytest.mark.parametrize(
    "text", ["2021-09-21T19:11:61Z", "2021-02-30T00:00:00Z", "2021-09-21T19:11:41,5Z", "٢021-09-21T19:11:41Z"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        read(CREATE_TIME_GTE, text)
