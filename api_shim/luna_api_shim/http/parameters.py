"""The parameters of the REST API: one declaration reads a parameter and describes it in the OpenAPI document.

An operation lists the parameters it takes (`operations`); `queries.Query` reads those and no others. A kind of value is
made by one function from one set of bounds, so its schema and what is refused cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, TypeVar

from luna_streams.naming import is_uuid

T = TypeVar("T")

_INTEGER: Final = re.compile(r"-?[0-9]{1,100}")
# A plus sign that a client did not encode arrives as a space.
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d+)?)([Zz]|[+\- ]\d\d:\d\d)?", re.ASCII)
_NO_TEXT: Final = frozenset("\0\ufffd")
"""What no text holds: NUL, and what stands for bytes that are no UTF-8."""
_LOG_FIELDS: Final = ("stream_id", "status", "error", "video_info", "log_time", "version", "preview")


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[T]):
    """A kind of value.

    Attributes:
        schema: of OpenAPI.
        parse: takes the values under one name, at least one, None if that is as good as none;
            ValueError for what the schema does not allow.
        default: what no value means, if that is a value.
    """

    schema: Mapping[str, Any]
    parse: Callable[[Sequence[str]], T | None]
    default: T | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Parameter(Generic[T]):
    """A parameter of one or more operations.

    Attributes:
        explode: how the document writes an array; both forms are read.
    """

    name: str
    kind: Kind[T]
    description: str
    place: Literal["query", "header", "path"] = "query"
    is_required: bool = False
    example: object = None
    explode: bool = False

    def to_openapi(self) -> dict[str, Any]:
        """Return the Parameter object of OpenAPI."""
        told: dict[str, Any] = {"name": self.name, "in": self.place, "description": self.description}
        told["schema"] = dict(self.kind.schema)
        if self.is_required:
            told["required"] = True
        if self.kind.schema["type"] == "array" and not self.explode:
            told["explode"] = False
        if self.example is not None:
            told["example"] = self.example
        return told


# --- kinds of values --------------------------------------------------------------------------------------------------


def text(*, max_length: int | None = None, pattern: str | None = None, choices: Sequence[str] = ()) -> Kind[str]:
    """Return a kind of text."""
    schema: dict[str, Any] = {"type": "string"}
    schema |= {"maxLength": max_length} if max_length is not None else {}
    schema |= {"pattern": f"^{pattern}$"} if pattern is not None else {}
    schema |= {"enum": list(choices)} if choices else {}
    form = re.compile(pattern or ".*", re.DOTALL)

    def parse(values: Sequence[str]) -> str:
        value = values[-1]
        is_long = max_length is not None and len(value) > max_length
        if (
            is_long
            or not _NO_TEXT.isdisjoint(value)
            or (choices and value not in choices)
            or form.fullmatch(value) is None
        ):
            raise ValueError
        return value

    return Kind(schema, parse)


def integer(
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    choices: Sequence[int] = (),
    default: int | None = None,
) -> Kind[int]:
    """Return a kind of whole numbers."""
    schema: dict[str, Any] = {"type": "integer"}
    schema |= {"default": default} if default is not None else {}
    schema |= {"minimum": minimum} if minimum is not None else {}
    schema |= {"maximum": maximum} if maximum is not None else {}
    schema |= {"enum": list(choices)} if choices else {}

    def parse(values: Sequence[str]) -> int:
        if _INTEGER.fullmatch(values[-1]) is None:
            raise ValueError
        value = int(values[-1])
        is_outside = (minimum is not None and value < minimum) or (maximum is not None and value > maximum)
        if is_outside or (choices and value not in choices):
            raise ValueError
        return value

    return Kind(schema, parse, default)


def array(items: Kind[str], default: Sequence[str] = ()) -> Kind[frozenset[str]]:
    """Return a kind of arrays: separated by commas, as repeated keys, or both."""
    schema: dict[str, Any] = {"type": "array", "items": dict(items.schema)}
    schema |= {"default": list(default)} if default else {}

    absent = frozenset(default) if default else None

    def parse(values: Sequence[str]) -> frozenset[str] | None:
        parts = [part for value in values for part in value.split(",")]
        if parts == [""] and not _is_allowed(items, ""):
            return absent  # how an array without items is written
        return frozenset(part for part in parts if items.parse((part,)) is not None)

    return Kind(schema, parse, absent)


def _is_allowed(kind: Kind[str], value: str) -> bool:
    try:
        return kind.parse((value,)) is not None
    except ValueError:
        return False


def _uuid(values: Sequence[str]) -> str:
    if not is_uuid(values[-1]):
        raise ValueError
    return values[-1]


def _time(values: Sequence[str]) -> datetime:
    """Read RFC 3339; a time without an offset is taken for UTC, a leap second for the one before it."""
    match = _TIME.fullmatch(values[-1])
    if match is None:
        raise ValueError
    whole, dot, fraction = match[2].partition(".")
    if whole.endswith(":60"):
        whole, dot, fraction = f"{whole[:-2]}59", ".", "999999"
    offset = (match[3] or "Z").replace(" ", "+").upper()
    try:
        # Python holds no more than microseconds.
        return datetime.fromisoformat(f"{match[1]}T{whole}{dot}{fraction[:6]}{offset}").astimezone(UTC)
    except OverflowError as e:
        raise ValueError from e


UUID_PATTERN: Final = "^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$"
UUID: Final = Kind({"type": "string", "format": "uuid", "pattern": UUID_PATTERN}, _uuid)
TIME: Final = Kind({"type": "string", "format": "date-time"}, _time)
NAME: Final = text(max_length=128)
NEW_GROUP_NAME: Final = text(pattern=r"[a-zA-Z0-9_\-]{1,128}")

# --- the parameters ---------------------------------------------------------------------------------------------------

_STREAM: Final = "ae09126e-70a6-49c7-923f-df2320f08639"
_ANOTHER: Final = "68b363eb-600a-4e72-afb3-8c4196e385ce"
_JSON: Final = "application/json"

ACCOUNT_ID: Final = Parameter(
    "account_id", UUID, "Only what belongs to this account.", example="8950722f-3fd4-4223-b48f-03f95f0e8dfb"
)
STREAM_IDS: Final = Parameter(
    "stream_ids", array(UUID), "Only streams with one of these ids.", example=[_STREAM, _ANOTHER]
)
NAMES: Final = Parameter("names", array(NAME), "Only streams with one of these names.", example=["gate", "lobby"])
REFERENCE: Final = Parameter(
    "reference",
    text(max_length=512),
    "Only streams with exactly this reference, user and password included.",
)
STATUSES: Final = Parameter(
    "statuses",
    array(text()),
    "Only what has one of these statuses. A status that does not exist finds nothing.",
    example=["pending", "pause"],
)
GROUP_NAME: Final = Parameter("group_name", NEW_GROUP_NAME, "Only streams in the group of this name.", example="doors")
GROUP_NAMES: Final = Parameter(
    "group_names", array(NEW_GROUP_NAME), "Only groups with one of these names.", example=["doors"], explode=True
)
GROUP_IDS: Final = Parameter("group_ids", array(UUID), "Only groups with one of these ids.", example=[_ANOTHER])
CREATE_TIME_GTE: Final = Parameter(
    "create_time__gte", TIME, "Only streams created at this time (RFC 3339) or later.", example="2026-03-01T00:00:00Z"
)
CREATE_TIME_LT: Final = Parameter(
    "create_time__lt", TIME, "Only streams created before this time (RFC 3339).", example="2026-04-01T00:00:00Z"
)
STREAM_ID_GTE: Final = Parameter(
    "stream_id__gte", UUID, "Only streams whose id is this one or a greater one.", example=_STREAM
)
STREAM_ID_LT: Final = Parameter("stream_id__lt", UUID, "Only streams whose id is less than this one.", example=_STREAM)
ORDER: Final = Parameter(
    "order",
    text(choices=("asc", "desc")),
    "`asc` lists the oldest first, `desc` the newest. Without it the oldest come first.",
)
PAGE: Final = Parameter("page", integer(minimum=1, default=1), "Number of the page, from 1.")
PAGE_SIZE: Final = Parameter("page_size", integer(minimum=1, maximum=1000, default=10), "Items on a page.")
LIMIT: Final = Parameter(
    "limit", integer(minimum=1), "How many streams the answer may hold.", is_required=True, example=10
)
QUEUE_GROUP_IDS: Final = Parameter(
    "group_ids", array(UUID), "Only streams in a group with one of these ids.", example=[_ANOTHER]
)
QUEUE_GROUP_NAMES: Final = Parameter(
    "group_names", array(NEW_GROUP_NAME), "Only streams in a group with one of these names.", explode=True
)
LOG_TIME_GTE: Final = Parameter(
    "log_time__gte", TIME, "Only entries of this time (RFC 3339) or later.", example="2026-03-01T00:00:00Z"
)
LOG_TIME_LT: Final = Parameter(
    "log_time__lt", TIME, "Only entries from before this time (RFC 3339).", example="2026-04-01T00:00:00Z"
)
LOG_TARGETS: Final = Parameter(
    "targets",
    array(text(choices=_LOG_FIELDS), default=_LOG_FIELDS),
    "Which fields of an entry are answered.",
    explode=True,
)
INCLUDE_LUNA_SERVICES: Final = Parameter(
    "include_luna_services", integer(choices=(0, 1), default=0), "1 asks the services this one depends on, too."
)

STREAM_ID: Final = Parameter("stream_id", UUID, "Id of the stream.", "path", is_required=True, example=_STREAM)
GROUP_ID: Final = Parameter("group_id", UUID, "Id of the group.", "path", is_required=True, example=_ANOTHER)

REQUEST_ID: Final = Parameter(
    "Luna-Request-Id",
    text(pattern="[0-9]{10},[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"),
    "Names the request in logs; it is sent back. Without it one is made of the time and a UUID. "
    "Other printable texts of up to 128 characters are taken, too.",
    "header",
    example="1774857600,5d2f8c0e-9f4b-4c53-8d0b-3f8a4f1b7a10",
)
CONTENT_TYPE: Final = Parameter("Content-Type", text(choices=(_JSON,)), "The body is JSON in UTF-8.", "header")
ACCEPT_DOCUMENT: Final = Parameter(
    "Accept",
    text(choices=("application/x-yaml", "text/html")),
    "The form that is wanted; without a preference it is YAML.",
    "header",
)
ACCEPT_CONFIG: Final = Parameter(
    "Accept", text(choices=(_JSON, "text/plain")), "The form that is wanted; JSON without it.", "header"
)
ACCEPT_MANUAL: Final = Parameter(
    "Accept", text(choices=(_JSON, "application/msgpack")), "Without effect: the answer is always HTML.", "header"
)
