"""What the served document takes over from the original: each entry is needed, the whole stays valid."""

from __future__ import annotations

import copy

import pytest
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import OpenAPIV30SpecValidator

from luna_api_shim.app import API_VERSION, ROUTES
from luna_api_shim.openapi.original import RESTATEMENTS, restated, served_document
from support.described_answers import our_document


def test_the_served_document_is_valid_openapi() -> None:
    assert list(OpenAPIV30SpecValidator(served_document(ROUTES, API_VERSION)).iter_errors()) == []


@pytest.mark.parametrize("index", range(len(RESTATEMENTS)))
def test_every_restatement_changes_something(index: int) -> None:
    document = copy.deepcopy(our_document())
    for restatement in RESTATEMENTS[:index]:
        restatement.change(document)
    before = copy.deepcopy(document)
    RESTATEMENTS[index].change(document)
    assert document != before, RESTATEMENTS[index].reason


def test_the_exact_document_stays_as_it_is() -> None:
    document = copy.deepcopy(our_document())
    assert restated(document) != document
    assert document == our_document()


def test_every_example_is_as_the_served_document_says() -> None:
    document = served_document(ROUTES, API_VERSION)
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    seen = 0
    for operation in operations:
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in part.get("content", {}).values():
                validator = OAS30Validator(content["schema"] | {"components": document["components"]})
                examples = [one["value"] for one in content.get("examples", {}).values()]
                for example in examples + ([content["example"]] if "example" in content else []):
                    assert list(validator.iter_errors(example)) == [], operation["operationId"]
                    seen += 1
    assert seen > 200


def test_nothing_is_kept_that_nothing_refers_to() -> None:
    document = served_document(ROUTES, API_VERSION)
    text = str(document)
    unused = [
        name
        for kind, components in document["components"].items()
        for name in components
        if f"'#/components/{kind}/{name}'" not in text
    ]
    assert unused == []


def test_every_component_is_told_in_words() -> None:
    schemas = served_document(ROUTES, API_VERSION)["components"]["schemas"]
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []
