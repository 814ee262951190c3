"""The request examples that this project keeps are those of the API document."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support import api_document
from support.documented_examples import (
    GROUP_PATCH,
    NEW_GROUP,
    PATCH,
    TOKEN,
    command_line_sample,
    new_streams,
)


def with_short_tokens(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: TOKEN if name == "token" else with_short_tokens(child) for name, child in value.items()}
    return [with_short_tokens(child) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize("api", [1, 2])
def test_the_examples_of_new_streams_are_the_documented_ones(api: int) -> None:
    documented = api_document.request_examples(f"/{api}/streams", "post")
    assert with_short_tokens(documented) == new_streams(api)


def test_the_sample_for_the_command_line_is_the_documented_one() -> None:
    source = api_document.original()["paths"]["/2/streams"]["post"]["x-codeSamples"][0]["source"]
    body = source[source.index("'{") + 1 : source.rindex("'")]
    assert with_short_tokens(yaml.safe_load(body)) == command_line_sample()


def test_the_examples_of_schemas_are_the_documented_ones() -> None:
    schemas = api_document.original()["components"]["schemas"]
    names = ("stream_to_be_patched", "create_group", "update_group")
    assert [schemas[name]["example"] for name in names] == [PATCH, NEW_GROUP, GROUP_PATCH]
