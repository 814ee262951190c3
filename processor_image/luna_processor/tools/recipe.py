"""From what a person asks for (a source, flags, a file with a stream's parameters) to a stream as a worker takes it.

A file may hold a Stream manifest, a body of REST v2, or the `data` of either; what an analysis without a server does
not need (account, event handler) may be left out. Flags go before the file.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import ValidationError

from luna_processor.errors import StartupError
from luna_streams.credentials import Credentials
from luna_streams.references import split_reference, without_credentials
from luna_streams.rest.submission import QueuedStream, Submission
from luna_streams.stream import MODE_BODIES, MODE_FACES, MODE_HUMANS, SourceType, StreamSpec

Transport = Literal["tcp", "udp"]
MODES: Final = {"faces": MODE_FACES, "bodies": MODE_BODIES, "humans": MODE_HUMANS}
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""Account and handler of a stream that names none."""
_OF_REST_ONLY: Final = ("status", "group_name", "group_id")
_LARGEST_FILE: Final = 1_000_000
_UDP = re.compile(r"udp://", re.IGNORECASE)
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*://")
_REGION = re.compile(r"(\d+(?:\.\d+)?),(\d+(?:\.\d+)?),(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)(%?)")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says about the stream; None where it says nothing."""

    source: str | None = None
    transport: Transport | None = None
    mask: str | None = None
    mode: str | None = None
    roi: str | None = None
    droi: str | None = None
    rotation: int | None = None
    preferred_width: int | None = None


def source_type(reference: str, transport: Transport | None, mask: str | None) -> SourceType:
    """Return the type of the stream for a source: what to write into `type`."""
    if _URL.match(reference) or reference.startswith("/dev/"):
        return transport or ("udp" if _UDP.match(reference) else "tcp")
    return "images" if mask is not None else "videofile"


def shown(reference: str) -> str:
    """Return a reference for people: no user, no password."""
    return without_credentials(split_reference(reference)[0])


def read_document(path: Path) -> Mapping[str, Any]:
    """Return what a YAML or JSON file holds.

    Raises:
        StartupError: if it cannot be read, or is no mapping.
    """
    try:
        text = path.read_bytes()[:_LARGEST_FILE].decode()
        document = yaml.safe_load(text)
    except OSError as e:
        raise StartupError(f"{path} cannot be read: {e.strerror}") from e
    except (yaml.YAMLError, ValueError, RecursionError) as e:  # a month 13 is a ValueError, and bytes that are no text
        where = getattr(e, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise StartupError(f"{path} is neither YAML nor JSON{line}") from e
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise StartupError(f"{path} holds no stream: neither a manifest, nor a body of REST v2, nor its data")
    return document


def to_stream(document: Mapping[str, Any], wishes: Wishes) -> QueuedStream:
    """Return the stream to analyse.

    Args:
        document: of `read_document`; empty if there is none.
        wishes: of the command line, which go before.

    Raises:
        StartupError: in one line, what is wrong with which parameter.
    """
    fields = _spec_fields(document)
    data = fields["data"]
    reference, user_info = split_reference(_reference(data, wishes))
    data["reference"] = reference
    if wishes.source is not None:
        # Another source than the file's: what is said there of its form does not hold for it.
        data.pop("mask", None)
        data["type"] = source_type(reference, wishes.transport, wishes.mask)
    data.setdefault("type", source_type(reference, wishes.transport, data.get("mask")))
    data |= _data_wishes(wishes)
    if data["type"] not in ("tcp", "udp"):
        data.pop("endless", None)
    data["analytics"] = [_analytics(item, wishes) for item in _list(data.get("analytics") or [{}])]
    try:
        spec = StreamSpec.model_validate(fields)
    except ValidationError as e:
        raise StartupError(_first_fault(e)) from e
    submission = Submission(spec=spec, credentials=Credentials(user_info=user_info))
    return QueuedStream(stream_id=str(uuid.uuid4()), version=1, submission=submission)


def _spec_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a spec, whichever form they came in; both spellings are understood."""
    if "kind" in document or "apiVersion" in document:
        if document.get("kind") != "Stream" or not isinstance(document.get("spec"), dict):
            raise StartupError("the manifest is not one of a Stream")
        fields = dict(document["spec"])
    elif "data" in document:
        fields = {key: value for key, value in document.items() if key not in _OF_REST_ONLY}
        if "policies" in fields:
            raise StartupError("this is a body of REST v1; give it as one of v2, or only its data")
        if "name" in fields:
            fields["display_name"] = fields.pop("name")
    else:
        fields = {"data": document}
    if not isinstance(fields.get("data"), Mapping):
        raise StartupError("data: a mapping is expected")
    fields["data"] = dict(fields["data"])
    if "accountId" not in fields:
        fields.setdefault("account_id", NOBODY)
    return fields


def _reference(data: dict[str, Any], wishes: Wishes) -> str:
    hidden = [data.pop(key) for key in ("referenceFrom", "reference_from") if key in data]
    reference = wishes.source if wishes.source is not None else data.get("reference")
    if not isinstance(reference, str) or not reference:
        raise StartupError("no source: name a file or URL")
    if hidden and wishes.source is None:
        raise StartupError("referenceFrom names a Secret, which cannot be read here: give the URL with its password")
    return reference


def _data_wishes(wishes: Wishes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if wishes.mask is not None:
        found["mask"] = wishes.mask
    if wishes.roi is not None:
        found["roi"] = region(wishes.roi, "--roi")
    if wishes.rotation is not None:
        found["rotation"] = wishes.rotation
    if wishes.preferred_width is not None:
        found["preferred_program_stream_frame_width"] = wishes.preferred_width
    return found


def region(text: str, flag: str) -> dict[str, Any]:
    """Return `X,Y,WIDTH,HEIGHT` as a region of the API, in pixels or with % at the end in parts of the frame.

    Raises:
        StartupError: if it is not of that form.
    """
    found = _REGION.fullmatch(text.replace(" ", ""))
    if found is None:
        raise StartupError(f"{flag} is X,Y,WIDTH,HEIGHT in pixels, or with % at the end, not '{text}'")
    sides = dict(zip(("x", "y", "width", "height"), map(float, found.groups()[:4]), strict=True))
    return {"mode": "percent", **sides} if found[5] else {"mode": "abs", **sides}


def _analytics(item: object, wishes: Wishes) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise StartupError("data.analytics: a list of mappings is expected")
    fields = dict(item)
    if wishes.mode is not None:
        fields["mode"] = MODES[wishes.mode]
    if wishes.droi is not None:
        fields["droi"] = region(wishes.droi, "--droi")
    given = fields.pop("eventHandler", None) or fields.pop("event_handler", None) or {}
    if not isinstance(given, Mapping):
        raise StartupError("data.analytics.event_handler: a mapping is expected")
    # Nothing is sent, so nobody is to be authorized; a token would only be in the way.
    handler = {key: value for key, value in given.items() if key != "authorization"}
    if "url" not in handler and "handlerId" not in handler:
        handler.setdefault("handler_id", NOBODY)
    return fields | {"event_handler": handler}


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise StartupError("data.analytics: a list of mappings is expected")
    return value


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])
