"""What every model of the domain has in common: immutability, strictness, two spellings, shared value types.

A field has one Python name in snake_case, which is also its name in the LUNA REST API, and a camelCase alias,
which is its name in the custom resource. One class therefore serves both wire formats: `from_rest`/`to_rest` use the
names, `from_resource`/`to_resource` the aliases, and neither accepts the other's spelling.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from luna_streams.references import without_user_info

INT32_MAX = 2**31 - 1


class Model(BaseModel):
    """A frozen value that refuses unknown fields, NaN and infinity."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=False,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # what was refused may hold a password
        use_attribute_docstrings=True,
    )

    @classmethod
    def from_resource(cls, value: object) -> Self:
        """Parse the camelCase form that a custom resource holds.

        Raises:
            pydantic.ValidationError: if a field is unknown, missing or out of bounds.
        """
        return cls.model_validate(value, by_alias=True, by_name=False)

    def to_resource(self) -> dict[str, Any]:
        """Return the camelCase form as JSON values; unset optional fields are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_rest(cls, body: bytes | str) -> Self:
        """Parse the snake_case form of the REST API from JSON text, without coercing types.

        Raises:
            pydantic.ValidationError: if a field is unknown, missing, of the wrong type or out of bounds.
        """
        return cls.model_validate_json(body, by_alias=False, by_name=True, strict=True)

    @classmethod
    def from_peer(cls, value: object) -> Self:
        """Parse the snake_case form leniently: unknown fields of a newer or foreign server are ignored."""
        return cls.model_validate(value, by_alias=False, by_name=True, extra="ignore")

    def to_rest(self) -> dict[str, Any]:
        """Return the snake_case form as JSON values."""
        return self.model_dump(mode="json")


def _aware(value: datetime) -> datetime:
    """Read a time without an offset as UTC, and keep every time in UTC."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("datetime_range", "the time lies outside of the years 1 to 9999 in UTC") from None


Time = Annotated[datetime, AfterValidator(_aware)]
"""A moment; RFC 3339 on the wire, UTC in memory."""

Uuid = Annotated[str, StringConstraints(pattern=r"^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$")]
"""A UUID in the only spelling that the API document allows: lower case with hyphens."""

PlatformUrl = Annotated[str, StringConstraints(max_length=1024), AfterValidator(without_user_info)]
"""A URL of LUNA PLATFORM, without user info."""

WebhookUrl = Annotated[
    str, StringConstraints(max_length=1024, pattern=r"^https?://[^\s/?#]+[^\s]*$"), AfterValidator(without_user_info)
]
"""An address that events are posted to, without user info."""

Zone = Annotated[str, StringConstraints(min_length=1, max_length=63)]
"""Value of the node label topology.kubernetes.io/zone."""

GroupName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_\-]{1,128}$")]
StreamName = Annotated[str, StringConstraints(max_length=128)]
Int32 = Annotated[int, Field(ge=-INT32_MAX - 1, le=INT32_MAX)]
"""An integer that the document leaves without bounds; every reader of it holds 32 bits."""


def _clamped(value: int) -> int:
    return max(-INT32_MAX - 1, min(value, INT32_MAX))


Clamped32 = Annotated[
    int, AfterValidator(_clamped), Field(json_schema_extra={"minimum": -INT32_MAX - 1, "maximum": INT32_MAX})
]
"""A figure that somebody measured: what 32 bits do not hold is cut, since a report is worth more than its last bit."""


def _no_boolean(value: object) -> object:
    """Refuse true and false where a number is asked for; Python would take them for 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


NotBoolean = BeforeValidator(_no_boolean)
"""Put beside a Literal of integers."""
