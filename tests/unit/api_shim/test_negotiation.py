"""Which form of a resource a client wants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_api_shim.errors import UnsupportedMediaType
from luna_api_shim.http.negotiation import choose

JSON, TEXT = "application/json", "text/plain"
OFFERED = (JSON, TEXT)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        (JSON, JSON),
        (TEXT, TEXT),
        ("text/plain; charset=utf-8", TEXT),
        ("TEXT/PLAIN", TEXT),
        ("text/*", TEXT),
        ("text/plain, application/json", JSON),
        ("application/json;q=0.5, text/plain", TEXT),
        ("application/json;q=0, */*", TEXT),
        ("*/*;q=0.1, text/plain;q=0.2", TEXT),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("text/html, text/plain;q=nonsense, text/plain;q=0.3", TEXT),
    ],
)
def test_what_is_wanted_most_is_chosen(accept: str | None, chosen: str) -> None:
    assert choose(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/x-yaml", "application/json;q=0", "*/*;q=nan", "*/*;q=7", "nonsense", ",;,", "*"],
)
def test_a_client_that_wants_nothing_of_it_is_told(accept: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        choose(accept, OFFERED)


@given(st.text(st.sampled_from("a/*,;q=01.- tex\x00é"), max_size=40))
def test_whatever_a_client_sends_there_is_a_choice_or_a_refusal(accept: str) -> None:
    try:
        assert choose(accept, OFFERED) in OFFERED
    except UnsupportedMediaType:
        return
