"""An event as bytes and back, for the spool: whatever fields `ShotEvent` and its parts have.

The first byte is the version of the form. A field that is added with a default can be read from older bytes, one that
is taken away is passed over; what changes the meaning of a field needs a new version.
"""

from __future__ import annotations

from typing import Any, Final, get_origin

import msgspec
import numpy as np
from pydantic import BaseModel, ValidationError

from luna_processor.delivery.events import ShotEvent

_VERSION: Final = b"\x01"


class UnreadableEvent(Exception):
    """The bytes are no event, or one of a form that this version does not know."""


def encode(event: ShotEvent) -> bytes:
    """Return an event as bytes: a version, then MessagePack with a map per part."""
    return _VERSION + _encoder.encode(event)


def decode(data: bytes) -> ShotEvent:
    """Return the event that `encode` was given.

    Raises:
        UnreadableEvent: if the bytes are not from there.
    """
    if data[:1] != _VERSION:
        raise UnreadableEvent("written by another version")
    try:
        return _decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, ValidationError, ValueError) as e:
        raise UnreadableEvent(f"not an event: {type(e).__name__}") from e  # its text may hold what the event held


def _write_foreign(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, value.tobytes()]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise NotImplementedError(f"an event holds a {type(value).__name__}, which cannot be stored")


def _read_foreign(kind: Any, value: Any) -> Any:
    if get_origin(kind) is np.ndarray:
        dtype, shape, data = value
        return np.frombuffer(data, dtype).reshape(shape)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_validate(value)
    raise NotImplementedError(f"an event holds a {kind}, which cannot be stored")


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_write_foreign)
_decoder: Final = msgspec.msgpack.Decoder(ShotEvent, dec_hook=_read_foreign)
