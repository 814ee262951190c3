"""Our OpenAPI document against that of LUNA Streams 1.1.18: each difference is explained, each explanation needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from luna_api_shim.app import API_VERSION, ROUTES
from luna_api_shim.openapi.original import served_document
from support.documented_schemas import Schema, document
from support.openapi_structure import Difference, differences, structure

ALLOWED = Path(__file__).with_name("openapi_differences.yaml")


@dataclass(frozen=True)
class Explanation:
    """An entry of the list of differences."""

    place: str
    word: str
    reason: str
    theirs: Any = None
    ours: Any = None

    def explains(self, difference: Difference) -> bool:
        pattern = re.escape(self.place).replace(r"\*", ".*")
        absent = False if self.word == "presence" else None
        return (
            re.fullmatch(pattern, difference.place) is not None
            and difference.word == self.word
            and difference.theirs == (absent if self.theirs is None else self.theirs)
            and difference.ours == (absent if self.ours is None else self.ours)
        )


EXPLANATIONS = [Explanation(**entry) for entry in yaml.safe_load(ALLOWED.read_text())]


@cache
def ours() -> Schema:
    return served_document(ROUTES, API_VERSION)


@cache
def found() -> tuple[Difference, ...]:
    return tuple(differences(document(), ours()))


def test_every_difference_is_explained() -> None:
    unexplained = [str(one) for one in found() if not any(it.explains(one) for it in EXPLANATIONS)]
    assert unexplained == []


def test_every_explanation_explains_something() -> None:
    document()
    idle = [it for it in EXPLANATIONS if not any(it.explains(one) for one in found())]
    assert idle == []


def test_both_have_the_55_operations() -> None:
    for one in (document(), ours()):
        operations = [place for place in structure(one) if " | " not in place]
        assert len(operations) == 55


def test_every_explanation_has_a_reason() -> None:
    assert all(len(it.reason.split()) >= 4 or it.reason.startswith("as ") for it in EXPLANATIONS)


# --- the comparison itself --------------------------------------------------------------------------------------------


def an_api(field: Schema, **parameter: Any) -> Schema:
    """Return a document of one operation with one parameter and one field of an answer."""
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1}} | parameter
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}}
    operation = {"operationId": "a", "parameters": [limit], "responses": {"200": {"content": content}}}
    answer = {"type": "object", "properties": {"field": field}, "required": ["field"]}
    return {"paths": {"/a": {"get": operation}}, "components": {"schemas": {"Answer": answer}}}


FIELD = {"type": "string", "maxLength": 5}


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        (an_api(FIELD | {"maxLength": 6}), "GET /a | 200 application/json | field | maxLength: theirs 5, ours 6"),
        (
            an_api(FIELD | {"type": "integer"}),
            "GET /a | 200 application/json | field | type: theirs 'string', ours 'integer'",
        ),
        (an_api(FIELD | {"enum": ["a"]}), "GET /a | 200 application/json | field | enum: theirs None, ours ['a']"),
        (an_api(FIELD | {"default": "a"}), "GET /a | 200 application/json | field | default: theirs None, ours 'a'"),
        (an_api(FIELD, required=True), "GET /a | query limit | required: theirs False, ours True"),
        (an_api(FIELD, schema={"type": "integer", "minimum": 0}), "GET /a | query limit | minimum: theirs 1, ours 0"),
        (
            an_api({"allOf": [FIELD], "nullable": True}),
            "GET /a | 200 application/json | field | nullable: theirs None, ours True",
        ),
    ],
)
def test_a_difference_is_told_in_a_line(ours: Schema, told: str) -> None:
    assert [str(one) for one in differences(an_api(FIELD), ours)] == [told]


def test_a_place_that_only_one_has_is_told_once() -> None:
    other = an_api({"type": "object", "properties": {"deep": FIELD}}, name="count")
    assert [str(one) for one in differences(an_api(FIELD), other) if one.word == "presence"] == [
        "GET /a | 200 application/json | field.deep | presence: theirs False, ours True",
        "GET /a | query count | presence: theirs False, ours True",
        "GET /a | query limit | presence: theirs True, ours False",
    ]


def test_the_same_in_other_words_is_no_difference() -> None:
    referred = an_api({"$ref": "#/components/schemas/Field"})
    referred["components"]["schemas"]["Field"] = {"allOf": [{"type": "string"}, {"maxLength": 5}]}
    assert differences(an_api(FIELD), referred) == []
