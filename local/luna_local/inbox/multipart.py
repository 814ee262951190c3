"""multipart/form-data as LUNA's clients send it: images with or without a file name, and JSON fields.

Web frameworks tell files from fields by their file name and decode the others as text, which destroys an image that
has none. Here the bytes of every part are kept. The body is in memory already and its size bounded by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from luna_local.inbox.errors import bad_body

_MAX_PARTS = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its name, the sender's file name ("" if none), its content type ("" if none), its bytes."""

    name: str
    filename: str
    content_type: str
    data: bytes


@dataclass(slots=True)
class _Collector:
    parts: list[Part] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    name: bytes = b""
    value: bytes = b""
    data: bytearray = field(default_factory=bytearray)

    def begin(self) -> None:
        if len(self.parts) >= _MAX_PARTS:
            raise bad_body(f"more than {_MAX_PARTS} parts")
        self.headers, self.data = {}, bytearray()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        self.headers[self.name.decode("latin-1").lower()] = self.value.decode("utf-8", "replace")
        self.name = self.value = b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.data += data[start:end]

    def end(self) -> None:
        _, options = parse_options_header(self.headers.get("content-disposition", ""))
        self.parts.append(
            Part(
                name=options.get(b"name", b"").decode("utf-8", "replace"),
                filename=options.get(b"filename", b"").decode("utf-8", "replace"),
                content_type=self.headers.get("content-type", "").partition(";")[0].strip().lower(),
                data=bytes(self.data),
            )
        )


def parse_multipart(content_type: str, body: bytes) -> list[Part]:
    """Take a multipart body apart.

    Args:
        content_type: the request's header, with the boundary.
        body: the whole body.

    Raises:
        InboxError: if it is not well formed, or cut off.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise bad_body("multipart/form-data without a boundary")
    collector = _Collector()
    is_complete = False

    def on_end() -> None:
        nonlocal is_complete
        is_complete = True

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": collector.begin,
            "on_header_field": collector.header_name,
            "on_header_value": collector.header_value,
            "on_header_end": collector.header_end,
            "on_part_data": collector.part_data,
            "on_part_end": collector.end,
            "on_end": on_end,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as e:
        raise bad_body(f"malformed multipart/form-data ({e})") from e
    if not is_complete:
        raise bad_body("the multipart body is cut off")
    return collector.parts
