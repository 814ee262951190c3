"""Where the document of LUNA Streams says something else than what this service does, the served document says it, too.

`document.build_document` tells exactly what is taken and answered; tests hold a running service against that. Clients
that compare documents, or are generated from one, should find the original. Every place where the two part is named
here, with the reason why the service still does what the exact document says. Behaviour does not follow this table.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.routing import BaseRoute

from luna_api_shim.openapi.document import build_document
from luna_api_shim.openapi.restating import (
    Change,
    Json,
    fields_of,
    forget_unused,
    leave_out,
    operations_of,
    say,
    say_of_answer,
    say_of_header,
    say_of_parameter,
    without_header,
    without_parameters,
)


@dataclass(frozen=True, slots=True)
class Restatement:
    """One thing that the original says otherwise.

    Attributes:
        change: makes a document say it.
        reason: why the exact document does not.
    """

    change: Change
    reason: str


def served_document(routes: Iterable[BaseRoute], version: str) -> Json:
    """Return the document as it is served; the arguments are those of `build_document`."""
    return restated(build_document(routes, version))


def restated(document: Json) -> Json:
    """Return a document that says what the original says."""
    told = copy.deepcopy(document)
    for restatement in RESTATEMENTS:
        restatement.change(told)
    forget_unused(told)
    return told


# --- changes made once ------------------------------------------------------------------------------------------------


def _optional_body(document: Json) -> None:
    for name in ("getStreamsFromQueue*", "postStreamsFeedback*", "linker*"):
        for operation in operations_of(document, name):
            del operation["requestBody"]["required"]


def _one_form_per_kind_of_group(document: Json) -> None:
    schemas = document["components"]["schemas"]
    for api in ("V1", "V2"):
        whole = schemas[f"StreamToBeCreated{api}"]
        names = []
        for kept, other in (("name", "id"), ("id", "name")):
            form = copy.deepcopy(whole)
            del form["properties"][f"group_{other}"]
            form["description"] = f"A new stream, and the {kept} of the group that it joins."
            names.append(f"StreamWithGroup{kept.title()}{api}")
            schemas[names[-1]] = form
        told = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
        schemas[f"StreamToBeCreated{api}"] = {"description": whole["description"], **told}
    document["components"]["schemas"] = dict(sorted(schemas.items()))


def _one_kind_of_region(document: Json) -> None:
    for schema in fields_of(document, ("*.roi", "*.droi")):
        if "anyOf" in schema:
            schema["oneOf"] = schema.pop("anyOf")


def _one_kind_of_handler(document: Json) -> None:
    for schema in fields_of(document, ("AnalyticsV2*.event_handler", "*StreamV?.event_handler", "*V1.event_handler")):
        [reference] = [one["$ref"] for one in schema.pop("oneOf") if "CloudEvents" not in one["$ref"]]
        if "V2" in reference:
            mapping = {"luna_handler": reference}
            schema |= {"oneOf": [{"$ref": reference}], "discriminator": {"propertyName": "type", "mapping": mapping}}
        else:
            schema["$ref"] = reference


def _only_plain_figures(document: Json) -> None:
    for operation in operations_of(document, "metrics"):
        del operation["responses"]["200"]["content"]["application/openmetrics-text"]


def _location_is_a_url(answer: Json) -> None:
    answer["headers"]["Location"]["schema"]["format"] = "url"


def _without_content(answer: Json) -> None:
    del answer["content"], answer["headers"]["Content-Type"]


# --- the table --------------------------------------------------------------------------------------------------------

_REQUEST_ID: Final = {"format": "timestamp,uuid"}

RESTATEMENTS: Final[tuple[Restatement, ...]] = (
    # what is taken and not told
    Restatement(
        without_parameters("getStreamsV2", "order", "stream_id__gte", "stream_id__lt"),
        "clients that move from version 1 to 2 keep what they sent",
    ),
    Restatement(
        without_parameters("countStreams*", "group_name", "stream_id__gte", "stream_id__lt"),
        "a count shall count what a list with the same filters shows",
    ),
    Restatement(
        without_parameters("preview*ProxyV2", "account_id"),
        "an account's streams are out of sight of others in both versions",
    ),
    Restatement(
        leave_out("StreamToBeCreated*.group_*", word="nullable", value=True),
        "clients write null where they have no value; it means the same as leaving the field out",
    ),
    Restatement(leave_out("EventHandlerV1.authorization|*", word="nullable", value=True), "null means: not given"),
    Restatement(leave_out("Healthcheck.timeout", word="nullable", value=True), "null means: not given"),
    Restatement(
        leave_out("FeedbackItem.preview", "FeedbackItem.preview.*", word="nullable", value=True),
        "null means: not given",
    ),
    Restatement(leave_out("FeedbackItem.video_info.*", word="nullable", value=True), "null means: not given"),
    # what is refused and not told
    Restatement(
        leave_out("*", word="additionalProperties", value=False),
        "a misspelt field must not be lost; the error examples of the original refuse it, too",
    ),
    Restatement(leave_out("*", word="format", value="int32"), "stores and workers hold no greater numbers"),
    Restatement(_optional_body, "without a body these are refused (12030)"),
    Restatement(_one_kind_of_region, "a region without mode may fit two forms and is taken all the same"),
    Restatement(_one_form_per_kind_of_group, "both fields may be there: one form says it all"),
    Restatement(
        say_of_parameter("getSpec*", "Accept", lambda accept: accept.update(required=True)),
        "without a preference the answer is YAML; curl and browsers need not be told",
    ),
    # what is answered and not told
    Restatement(
        say("StreamV?.description", "PendingStreamV?.description", "TakenStreamV?.description", maxLength=128),
        "512 characters are taken when a stream is created, and nothing that was taken is cut",
    ),
    Restatement(say_of_answer("preview*Proxy*", "200", _without_content), "pictures are answered, of several types"),
    Restatement(_only_plain_figures, "Prometheus asks for OpenMetrics; whoever does not gets plain text"),
    Restatement(
        say_of_header(
            "Content-Type.plain-openmetrics-text", schema={"type": "string", "enum": ["text/plain; charset=UTF-8"]}
        ),
        "the character set is written as libraries write it, and OpenMetrics has a type of its own",
    ),
    Restatement(
        say_of_header("Content-Type.json-msgpack", schema={"type": "string", "enum": ["application/json"]}),
        "the answer says msgpack where it is msgpack",
    ),
    Restatement(
        say_of_header("Content-Type.json-plain", required=False), "it is sent with every answer that has content"
    ),
    Restatement(
        say_of_answer("createStream*", "201", without_header("Location")), "it is sent, as the original does for groups"
    ),
    Restatement(
        say_of_answer("putStream*", "200", without_header("Content-Type")),
        "it is sent, as with every answer that has content",
    ),
    # words that decide nothing
    Restatement(
        say_of_parameter("*", "Luna-Request-Id", lambda one: one["schema"].update(_REQUEST_ID)),
        "no format that is known; the pattern tells it",
    ),
    Restatement(
        lambda document: document["components"]["headers"]["Luna-Request-Id"]["schema"].update(_REQUEST_ID),
        "as of the request",
    ),
    Restatement(
        say_of_answer("createGroup*", "201", _location_is_a_url),
        "no format that is known, and the header is a path",
    ),
    Restatement(
        say(
            *(f"RoiPercent{mode}.{side}" for mode in ("", "Answer") for side in ("x", "y", "width", "height")),
            "Liveness*.liveness_threshold",
            "Liveness*.livenesses_weights[[]]",
            "Filtering*.mouth_occlusion_threshold",
            "Filtering*.min_body_size_threshold",
            "Healthy.execution_time",
            format="float",
        ),
        "numbers are kept as they were sent, in double precision",
    ),
    Restatement(leave_out("Configuration", word="additionalProperties", value=True), "the settings' sections differ"),
    Restatement(say("ImagesDataV*.mask", minLength=0), "every text fulfils it"),
    Restatement(say("Groups.groups", "Logs.logs", "StreamsV?.streams", minItems=0), "every list fulfils it"),
    Restatement(say("AutorestartState.status", nullable=False), "nothing is null unless it is said"),
    Restatement(
        _one_kind_of_handler, "a webhook is this service's own kind: nobody meets one who has not asked for one"
    ),
    Restatement(say("StreamsDelete.names[[]]", "*Filters.names[[]]", default=""), "an item of a list has no default"),
    Restatement(
        say_of_parameter("getStream*", "names", lambda one: one["schema"]["items"].update(default="")),
        "an item of a list has no default",
    ),
    Restatement(say("StreamPatch.description", default=""), "what a PATCH does not name stays as it is"),
)
