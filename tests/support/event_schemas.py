"""What receivers of events ask of a request, as JSON Schemas.

Sources: LUNA PLATFORM's `events` (query and detections), `stream_events` before and since API 6.27, CloudEvents 1.0.2
(JSON event format, context attributes). Pictures of msgpack bodies have the type `bytes`.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.validators import extend

Schema = dict[str, Any]

_BINARY = Draft202012Validator.TYPE_CHECKER.redefine("bytes", lambda _checker, value: isinstance(value, bytes))
_Validator = extend(Draft202012Validator, type_checker=_BINARY)

_TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
_UUID = "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"
_PLACE: Schema = {"type": "string", "maxLength": 36}
_PLACES = dict.fromkeys(("city", "area", "district", "street", "house_number"), _PLACE)
_DEGREES: Schema = {"type": "number", "minimum": -180, "maximum": 180}


def closed(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object that has these fields and no others."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def listed(item: Schema) -> Schema:
    """Return the schema of a list of one item or more."""
    return {"type": "array", "minItems": 1, "items": item}


BOX = closed(
    {"x": {"type": "integer"}, "y": {"type": "integer"}}
    | {key: {"type": "integer", "minimum": 0} for key in ("width", "height")}
)
ANGLES = closed(dict.fromkeys(("yaw", "pitch", "roll"), _DEGREES))
SCORE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
DETECTIONS: dict[str, Schema] = {
    "face_detection_data": listed(closed({"bounding_box": BOX, "score": SCORE, "angles": ANGLES})),
    "body_detection_data": listed(closed({"bounding_box": BOX, "score": SCORE})),
}
LOCATION = closed({}, _PLACES | {"geo_position": closed({"longitude": _DEGREES, "latitude": _DEGREES})})

HEADERS: Schema = {
    "type": "object",
    "properties": {
        "Luna-Request-Id": {"type": "string", "pattern": rf"^\d{{10}},{_UUID}$"},
        "Luna-Event-Time": _TIME,
        "Luna-Account-Id": {"type": "string", "pattern": rf"^{_UUID}$"},
        "Authorization": {"type": "string", "pattern": r"^Bearer [\x20-\x7e]+$"},
        "Content-Type": {"const": "application/msgpack"},
    },
    "required": ["Luna-Request-Id", "Luna-Event-Time"],
    "oneOf": [{"required": ["Luna-Account-Id"]}, {"required": ["Authorization"]}],
    "additionalProperties": False,
}
QUERY = closed(
    {
        "image_type": {"enum": ["0", "1", "2"]},
        "aggregate_attributes": {"enum": ["0", "1"]},
        "source": {"type": "string", "maxLength": 128},
        "track_id": {"type": "string", "minLength": 1},
        "stream_id": {"type": "string", "pattern": rf"^{_UUID}$"},
    },
    _PLACES | {key: {"type": "string", "pattern": r"^-?[\d.]+(e-?\d+)?$"} for key in ("longitude", "latitude")},
)
META = closed(
    {
        "detections": listed(
            closed(
                {
                    "filename": {"type": "string", "pattern": r"^(face|body|human)_\d+\.jpg$"},
                    "detect_time": _TIME,
                    "detect_ts": {"type": ["number", "null"], "minimum": 0},
                    "image_origin": {"type": ["string", "null"], "format": "uri"},
                },
                DETECTIONS,
            )
        )
    }
)


def _stream_events(detections: dict[str, Schema]) -> Schema:
    source_data = closed(
        {
            "source": {"type": "string", "maxLength": 128},
            "stream_id": {"type": "string", "pattern": rf"^{_UUID}$"},
            "track_id": {"type": "string", "minLength": 1},
            "event_time": _TIME,
        },
        {"location": LOCATION},
    )
    source = closed(
        {
            "filename": {"type": "string"},
            "source_type": {"enum": [0, 1, 2]},
            "body": {"type": "bytes"},
            "detect_time": _TIME,
        },
        {
            "detect_ts": {"type": "number", "minimum": 0},
            "image_origin": {"type": "string", "format": "uri"},
            "source_data": source_data,
            **detections,
        },
    )
    event = closed(
        {"aggregate_attributes": {"enum": [0, 1]}, "source_data": source_data, "sources": listed(source)},
    )
    return closed({"events": listed(event)})


STREAM_EVENTS = _stream_events(DETECTIONS)
STREAM_EVENTS_6_18 = _stream_events({"face_bounding_boxes": listed(BOX), "body_bounding_boxes": listed(BOX)})

CLOUD_EVENT: Schema = {
    "type": "object",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "type": {"type": "string", "minLength": 1},
        "datacontenttype": {"const": "application/json"},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time", "minLength": 1},
        "data": {},
    },
    "required": ["specversion", "id", "source", "type"],
    "propertyNames": {"pattern": "^[a-z0-9]{1,20}$"},
    "additionalProperties": {"type": ["string", "boolean", "integer"]},
}
SHOT_DATA = closed(
    {
        "stream_id": {"type": "string"},
        "track_id": {"type": "string"},
        "account_id": {"type": "string"},
        "source": {"type": "string", "maxLength": 128},
        "location": LOCATION,
        "shots": listed(
            closed(
                {
                    "filename": {"type": "string"},
                    "content_type": {"const": "image/jpeg"},
                    "image_base64": {"type": "string", "contentEncoding": "base64"},
                    "detect_time": _TIME,
                    "detect_ts": {"type": ["number", "null"]},
                    "image_origin": {"type": ["string", "null"], "format": "uri"},
                },
                DETECTIONS,
            )
        ),
    }
)


def check(value: object, schema: Schema) -> None:
    """Validate a value.

    Raises:
        jsonschema.ValidationError: if it is not as the schema says.
    """
    _Validator(schema, format_checker=FormatChecker()).validate(value)
