from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_local.inbox.errors import InboxError
from luna_local.inbox.multipart import Part, parse_multipart

TYPE = "multipart/form-data; boundary=xyz"


def body_of(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(b"--xyz\r\n%s\r\n\r\n%s\r\n" % (head.encode(), data) for head, data in parts) + b"--xyz--\r\n"


def test_parts_keep_name_file_name_type_and_bytes() -> None:
    body = body_of(
        ('Content-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg', b"\xff\xd8\r\n"),
        ('content-disposition: form-data; name="meta"', b"{}"),
    )
    assert parse_multipart(TYPE, body) == [
        Part("image", "a.jpg", "image/jpeg", b"\xff\xd8\r\n"),
        Part("meta", "", "", b"{}"),
    ]


@given(st.binary())
def test_bytes_without_a_file_name_survive(data: bytes) -> None:
    head = 'Content-Disposition: form-data; name="image"\r\nContent-Type: image/jpeg'
    if b"--xyz" not in data:
        (part,) = parse_multipart(TYPE, body_of((head, data)))
        assert part.data == data


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", body_of(("A: b", b""))),
        (TYPE, b"no parts at all"),
        (TYPE, body_of(('Content-Disposition: form-data; name="a"', b"1"))[:-12]),
        (TYPE, body_of(*[('Content-Disposition: form-data; name="a"', b"1")] * 1001)),
    ],
    ids=["no boundary", "malformed", "cut off", "too many parts"],
)
def test_a_body_that_cannot_be_taken_apart_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(InboxError) as refused:
        parse_multipart(content_type, body)
    assert (refused.value.status, refused.value.code) == (400, 12046)
