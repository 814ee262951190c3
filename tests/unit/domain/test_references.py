"""References as text: user info is found wherever people put it, and only network schemes are known."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from luna_streams.references import (
    SCHEMES,
    has_user_info,
    is_url,
    join_reference,
    split_reference,
    without_credentials,
)
from luna_streams.stream import Reference, SecretKeyRef
from support.builders import some_data
from support.strategies import plain_names, references, urls_without_user, user_infos

ANY_REFERENCE: TypeAdapter[str] = TypeAdapter(Reference)
blanks = st.text(" \t\r\n\x00\x1f\u00a0\u200b\u3000\ufeff'\"<#?", min_size=1, max_size=3)
any_text = references | st.text() | st.text("a:/@#?[]1", max_size=30).map("rtsp://{}".format)


@given(any_text)
def test_split_and_join_are_inverse(reference: str) -> None:
    assert join_reference(*split_reference(reference)) == reference


@given(any_text)
def test_nothing_is_left_that_would_be_user_info(reference: str) -> None:
    bare, _ = split_reference(reference)
    assert not has_user_info(bare)


@given(user_infos, urls_without_user)
def test_user_info_never_stays_in_the_reference(user_info: str, url: str) -> None:
    # A bare / ? # ends the host, so it is seen as part of a password only behind `user:` and something that is no
    # port, and without an @, which would have ended the user info before.
    assume(re.fullmatch(r"[^/?#]*|[^/?#:@\[\]]*:[0-9]*[^0-9/?#@][^@]*", user_info))
    scheme, rest = url.split("://", 1)
    bare, found = split_reference(f"{scheme}://{user_info}@{rest}")
    assert found is not None
    assert found.get_secret_value().startswith(user_info)
    assert bare == url or "@" in rest


@pytest.mark.parametrize(
    ("reference", "bare", "user_info"),
    [
        pytest.param("rtsp://u:p@h/x", "rtsp://h/x", "u:p", id="plain"),
        pytest.param("rtsp://u@h/x", "rtsp://h/x", "u", id="user-alone"),
        pytest.param("rtsp://u:p@ss@h/x", "rtsp://h/x", "u:p@ss", id="at-in-password"),
        pytest.param("rtsp://u:p:q%40@h", "rtsp://h", "u:p:q%40", id="colon-and-percent"),
        pytest.param("rtsp://u:p@[::1]:554/x", "rtsp://[::1]:554/x", "u:p", id="ipv6"),
        pytest.param("rtsp://@h/x", "rtsp://h/x", "", id="empty"),
        pytest.param("rtsp://u:p@", "rtsp://", "u:p", id="no-host"),
        pytest.param("http:///x@y", "http:///x@y", None, id="no-host-at-in-path"),
        pytest.param("rtsp://u:p#1@h/x", "rtsp://h/x", "u:p#1", id="bare-hash-in-password"),
        pytest.param("rtsp://u:p/q@h/x@y", "rtsp://h/x@y", "u:p/q", id="bare-slash-in-password"),
        pytest.param("rtsp://u:p?q@r@h/x", "rtsp://h/x", "u:p?q@r", id="bare-question-mark-and-at"),
        pytest.param("rtsp://h:554/x@y", "rtsp://h:554/x@y", None, id="port-and-at-in-path"),
        pytest.param("rtsp://[::1]:554/x@y", "rtsp://[::1]:554/x@y", None, id="ipv6-and-at-in-path"),
        pytest.param("http://h?user=a:b@c", "http://h?user=a:b@c", None, id="at-in-query"),
        pytest.param("/media/u:p@h.mp4", "/media/u:p@h.mp4", None, id="a-file"),
        pytest.param(" rtsp://u:p@h/x", " rtsp://h/x", "u:p", id="behind-a-blank"),
        pytest.param("\n\u00a0rtsp://u:p/1@h\t", "\n\u00a0rtsp://h\t", "u:p/1", id="between-blanks"),
        pytest.param("", "", None, id="nothing"),
    ],
)
def test_user_info_is_told_from_the_rest(reference: str, bare: str, user_info: str | None) -> None:
    found_bare, found = split_reference(reference)
    assert (found_bare, found.get_secret_value() if found else (None if found is None else "")) == (bare, user_info)


@pytest.mark.parametrize("scheme", [*SCHEMES, "RTSP"])
def test_a_known_scheme_is_accepted(scheme: str) -> None:
    assert ANY_REFERENCE.validate_python(f"{scheme}://host/x") == f"{scheme}://host/x"


@given(blanks, urls_without_user, user_infos)
def test_what_stands_before_a_scheme_hides_nothing_and_is_refused(before: str, url: str, user_info: str) -> None:
    scheme, rest = url.split("://", 1)
    assume(has_user_info(f"{scheme}://{user_info}@{rest}"))
    assert has_user_info(f"{before}{scheme}://{user_info}@{rest}")
    with pytest.raises(ValidationError, match="with nothing before it"):
        ANY_REFERENCE.validate_python(before + url)


@given(plain_names)
def test_devices_files_and_folders_are_accepted(name: str) -> None:
    assert ANY_REFERENCE.validate_python(name) == name


@pytest.mark.parametrize(
    "reference",
    [
        "rtmp://host/live",
        "srt://host:5000",
        "concat:/etc/passwd|/etc/shadow",
        "exec:/bin/sh",
        "file:/etc/passwd",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "data:text/plain,abc",
        "pipe:0",
        "crypto+file:/x",
        "subfile,,start,1,end,2,,:/etc/passwd",
        "tee:a|b",
        "unix:/run/x",
        "gopher://host",
        "rtsp:host",
        "host:554/live",
        " file:/etc/passwd",
        "\n\x1fpipe:0",
        "\tsubfile,,start,1,end,2,,:/etc/passwd",
    ],
)
def test_a_scheme_that_does_something_else_is_refused(reference: str) -> None:
    with pytest.raises(ValidationError, match="unknown scheme; permitted: rtsp, rtsps, "):
        ANY_REFERENCE.validate_python(reference)


def test_a_url_needs_a_scheme() -> None:
    assert is_url("rtsp://h")
    assert not is_url("/dev/video0")


def test_data_refuses_user_info_without_repeating_it() -> None:
    with pytest.raises(ValidationError, match="they belong into a Secret") as refusal:
        some_data(type="tcp", reference="rtsp://admin:hunter2@camera/live")
    assert "hunter2" not in str(refusal.value)


def test_user_info_has_no_place_in_the_name_of_a_file() -> None:
    with pytest.raises(ValidationError, match="needs a reference that is a URL"):
        some_data(reference="/media/clip.mp4", reference_from=SecretKeyRef(name="s", key="reference"))


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("cannot open rtsp://admin:hunter2@cam:554/live: 401", "cannot open rtsp://cam:554/live: 401"),
        ("'HTTP://u:hunt/er2@h/x' and udp://239.0.0.1:1234", "'HTTP://h/x' and udp://239.0.0.1:1234"),
        ("nothing to hide, mail a@b, 12:30", "nothing to hide, mail a@b, 12:30"),
        ("rtsp://hunter2@hunter2@h", "rtsp://h"),
        ("...1rtsp://a:hunter2@h", "...1rtsp://h"),
        ("401 for Authorization: Bearer abc.def, gave up", "401 for Authorization: Bearer ***, gave up"),
        ("401 for usr:hunt:er2@cam:554/live and 'a:hunter2@[::1]'", "401 for ***@cam:554/live and '***@[::1]'"),
        ("GET /live?user=a&password=hunter2&x=1", "GET /live?user=a&password=***&x=1"),
        ("Authorization: Basic aHVudGVyMg==", "Authorization: Basic ***"),
        ("rtsp://cam:554/live@main at 12:30:05, ask a@b", "rtsp://cam:554/live@main at 12:30:05, ask a@b"),
        ("the token eyJ0eXAi.eyJ0b2tl.kDL5-_x is expired", "the token *** is expired"),
    ],
)
def test_what_people_read_quotes_no_credentials(told: str, kept: str) -> None:
    assert without_credentials(told) == kept


def test_a_long_text_costs_little() -> None:
    for text in ("a" * 10**5, "a:" * 10**5, "a:b " * 10**5, "a://" * 10**5, "eyJ" * 10**5, "bearer " * 10**5):
        assert len(without_credentials(text)) <= 2 * len(text)
