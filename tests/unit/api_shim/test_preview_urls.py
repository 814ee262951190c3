"""Preview URLs that workers report: judged as pydantic v1 judges URLs, but for users and passwords in them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_api_shim.previews.urls import problem_of
from luna_streams.policies import PreviewUrl

EXTRA = "URL invalid, extra characters found after valid URL: "
NO_HOST = "URL host invalid"
NO_SCHEME = "invalid or missing URL scheme"
NO_USER = "URL userinfo not permitted"

AS_PYDANTIC_V1: list[tuple[str, str | None]] = [
    ("http://10.0.0.7:34569/live", None),
    ("HTTP://h/x", None),
    ("https://face-stream_1.example.org./live?x=1#y", None),
    ("http://[::1]:34569/live", None),
    ("http://localhost/live@2", None),
    ("http://h:0/", None),
    ("http://:34569/live", NO_HOST),
    ("http:///live", NO_HOST),
    ("http://", NO_HOST),
    ("http://-host/live", NO_HOST),
    ("http://a..b/", NO_HOST),
    ("http://h\\x/", NO_HOST),
    ("http://host name/live", EXTRA + "' name/live'"),
    ("http://h/a b", EXTRA + "' b'"),
    ("http://h/\tx", EXTRA + "'\\tx'"),
    ("http://h?x y", EXTRA + "' y'"),
    ("http://h#x#y", EXTRA + "'#y'"),
    ("http://h:", EXTRA + "':'"),
    ("http://h:abc/x", EXTRA + "':abc/x'"),
    ("http://h:-1/x", EXTRA + "':-1/x'"),
    ("http://[::1/live", EXTRA + "'::1/live'"),
    ("http://h/a\u00a0b", EXTRA + "'\\xa0b'"),
    ("http://host:99999/live", "URL port invalid, port cannot exceed 65535"),
    ("//host/live", NO_SCHEME),
    ("http:h", NO_SCHEME),
    ("abc", NO_SCHEME),
    ("ftp://host/live", "URL scheme not permitted"),
    ("", "ensure this value has at least 1 characters"),
]
STRICTER: list[tuple[str, str | None]] = [
    ("http://10.0.0.999/live", NO_HOST),
    ("http://h/x\x00y", EXTRA + "'\\x00y'"),
    ("http://u:hunter2@127.0.0.1:1/frame", NO_USER),
    ("http://u@h", NO_USER),
    ("http://u:hunter2 @h/x", NO_USER),
    ("http://u:hunt/er2@h/x", NO_USER),
    ("http://u:hunter2@/x", NO_USER),
]


@pytest.mark.parametrize(("url", "problem"), AS_PYDANTIC_V1 + STRICTER)
def test_a_url_is_absolute_has_a_possible_host_and_no_user(url: str, problem: str | None) -> None:
    assert problem_of(url) == problem


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic v1 does not run on this Python")
@pytest.mark.parametrize(("url", "problem"), AS_PYDANTIC_V1)
def test_the_words_are_those_of_pydantic_v1(url: str, problem: str | None) -> None:
    from pydantic.v1 import AnyHttpUrl, ValidationError, parse_obj_as

    if problem is None:
        assert parse_obj_as(AnyHttpUrl, url) == url
        return
    with pytest.raises(ValidationError) as refusal:
        parse_obj_as(AnyHttpUrl, url)
    assert [error["msg"] for error in refusal.value.errors()] == [problem]


@pytest.mark.parametrize("url", ["http://h/x rtsp://u:hunter2@h", "http://h/x y?token=hunter2"])
def test_what_is_too_much_is_quoted_without_credentials(url: str) -> None:
    problem = problem_of(url)
    assert problem is not None
    assert problem.startswith(EXTRA)
    assert "hunter2" not in problem


def test_blanks_around_a_url_are_left_out() -> None:
    assert PreviewUrl(url=" http://h/x\n").url == "http://h/x"


@settings(deadline=None)
@given(st.text(max_size=256) | st.text("htp:/@[].1a?# ", max_size=30).map("http://{}".format))
def test_no_preview_url_is_worse_than_wrong(url: str) -> None:
    problem_of(url)
