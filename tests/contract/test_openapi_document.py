"""Our OpenAPI document: it is valid, complete, and what it gives as examples is accepted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator

from luna_api_shim.app import ROUTES
from luna_api_shim.http.replies import ERRORS
from luna_api_shim.http.routing import Resource
from luna_api_shim.openapi.text import as_yaml
from luna_api_shim.operations.declaration import Body, Operation
from support.described_answers import Judge, our_document

NOT_PART_OF_THE_API = {"/readyz", "/livez", "/replicas/greeting", "/{api:api}/docs/dev/{page}"}
OPERATIONS = {
    operation.id: operation
    for route in ROUTES
    if isinstance(route, Resource)
    for operation in route.operations.values()
}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every operation of the document."""
    for methods in our_document()["paths"].values():
        for operation in methods.values():
            yield operation["operationId"], operation


def test_the_document_is_valid_openapi() -> None:
    assert list(OpenAPIV30SpecValidator(our_document()).iter_errors()) == []


def test_the_text_says_what_the_document_says_and_refers_by_ref_alone() -> None:
    text = as_yaml(our_document())
    assert yaml.load(text, yaml.CSafeLoader) == our_document()
    assert re.search(r": [&*]id\d+", text) is None


def test_every_route_is_described_or_known_not_to_be_part_of_the_api() -> None:
    undescribed = {
        route.template
        for route in ROUTES
        if isinstance(route, Resource) and set(route.operations) != (route.methods or set()) - {"HEAD"}
    }
    assert undescribed == NOT_PART_OF_THE_API
    assert all(isinstance(route, Resource) for route in ROUTES)


def test_operations_have_names_of_their_own_and_known_tags() -> None:
    names = [name for name, _ in operations()]
    assert len(names) == len(set(names)) == 55
    tags = {tag["name"] for tag in our_document()["tags"]}
    assert {tag for _, operation in operations() for tag in operation["tags"]} == tags


def test_everything_that_people_read_is_there() -> None:
    for name, operation in operations():
        assert operation["summary"], name
        assert operation["description"].endswith("."), name
    for parameter in our_document()["components"]["parameters"].values():
        assert parameter["description"].endswith("."), parameter["name"]
    for name, schema in our_document()["components"]["schemas"].items():
        assert schema.get("description"), name


def bodies() -> list[Any]:
    """Return one case per example of a body."""
    cases = []
    for operation in OPERATIONS.values():
        for api, examples in ((1, operation.body.examples), (2, operation.body.examples_v2)) if operation.body else ():
            cases += [
                pytest.param(operation.body, api, value, id=f"{operation.id}-v{api}-{name}")
                for name, value in (examples or {}).items()
            ]
    return cases


@pytest.mark.parametrize(("body", "api", "value"), bodies())
def test_every_example_of_a_body_is_accepted(body: Body, api: int, value: dict[str, Any]) -> None:
    model = body.model if isinstance(body.model, type) else body.model[api]  # type: ignore[index]  # 1 or 2
    model.from_rest(json.dumps(value))  # type: ignore[attr-defined]  # bodies are Models


def test_every_example_of_an_answer_is_as_described() -> None:
    judge, seen = Judge(), 0
    for name, operation in operations():
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                examples = [one["value"] for one in content.get("examples", {}).values()]
                for example in examples + ([content["example"]] if "example" in content else []):
                    assert judge.problems(content["schema"], example) == [], name
                    seen += 1
            described = response.get("content", {}).get("application/json", {})
            assert not described or described.keys() & {"example", "examples"} or name.startswith("getConfig"), name
    assert seen > 100


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_error_of_an_operation_is_one_that_the_service_answers(operation: Operation) -> None:
    assert all(type(error) in ERRORS for error in operation.errors)
    if any(parameter.place == "query" for parameter in operation.parameters):
        assert {ERRORS[type(error)].code for error in operation.errors} & {12012}
    if operation.body is not None:
        assert {ERRORS[type(error)].code for error in operation.errors} & {12022}
