"""schemathesis against a running shim: requests made of an API document, answers held against it, all checks.

By our own document, and by the original where there is a copy of it; `support.fuzzed_documents` names what is changed
in them. The requests are the same in every run. `make fuzz` makes more of them: LUNA_FUZZ_EXAMPLES for each operation,
and those at every bound of every field besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import ormsgpack
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, settings
from pydantic_core import PydanticCustomError
from schemathesis.config import SchemathesisConfig
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import negative_data_rejection

from luna_api_shim.previews.urls import problem_of
from luna_streams.references import has_user_info, with_known_scheme
from support import api_document
from support.apiservers import ApiServer
from support.fuzzed_documents import original_document, own_document
from support.served_shims import a_served_shim

Case = schemathesis.Case[Any]
EXAMPLES: Final = int(os.environ.get("LUNA_FUZZ_EXAMPLES", "4"))
IS_LONG: Final = EXAMPLES >= 50

pytestmark = pytest.mark.timeout(max(180, 5 * EXAMPLES))

CONFIG: Final = {
    "generation": {"allow-x00": False},  # refused everywhere, which no schema says; tests of their own hold it
    "phases": {"coverage": {"enabled": IS_LONG}, "stateful": {"max-steps": 8}},
}
MANY: Final = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)

own = from_dict(own_document(), config=SchemathesisConfig.from_dict(CONFIG))
original = from_dict(original_document(), config=SchemathesisConfig.from_dict(CONFIG)) if api_document.where() else None


@schemathesis.deserializer("application/msgpack")
def _msgpack(_context: object, response: schemathesis.Response) -> object:
    return ormsgpack.unpackb(response.content)


@pytest.fixture(scope="module")
def shim_url(embedded_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_served_shim(embedded_api, tmp_path_factory.mktemp("shim")) as url:
        yield url


def is_fair(case: Case) -> bool:
    """Tell whether a body is within the rules that a schema does not say."""
    return all(map(_is_fair_text, _texts(case.body)))


def _texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text of a body with the name of its field."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _texts(child, str(key))
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child, name)


def _is_fair_text(field: tuple[str, str]) -> bool:
    name, text = field
    if "\0" in text or (name in ("origin", "frame_store") and has_user_info(text)):
        return False
    if name == "url":
        return problem_of(text) is None
    if name == "reference":
        try:
            with_known_scheme(text)
        except PydanticCustomError:
            return False
    return True


def is_ambiguous(case: Case) -> bool:
    """Tell whether a query that was made wrong may be right all the same.

    A query is text: items of an array that should be texts and are not become texts, and [""] looks like [].
    """
    query = case.query or {}
    ids = (query.get(name) for name in ("stream_ids", "group_ids", "group_names", "targets"))
    return "names" in query or "statuses" in query or any(value in ("", [""]) for value in ids)


def hold(case: Case, shim_url: str) -> None:
    """Send a request and hold its answer against the document."""
    assume(is_fair(case))
    excluded: list[schemathesis.CheckFunction] = [negative_data_rejection] if is_ambiguous(case) else []
    case.call_and_validate(base_url=shim_url, excluded_checks=excluded)


@own.parametrize()
@MANY
def test_our_document_is_kept(case: Case, shim_url: str) -> None:
    hold(case, shim_url)


if original is not None:

    @original.parametrize()
    @MANY
    def test_the_original_document_is_kept(case: Case, shim_url: str) -> None:
        hold(case, shim_url)

else:

    def test_the_original_document_is_kept() -> None:
        api_document.original()  # says what is missing, and skips


def test_what_one_operation_answers_another_takes(shim_url: str) -> None:
    """Follow the links between operations: what was created is read, changed, replaced, deleted, and then gone."""
    own.config.update(base_url=shim_url)
    machine = own.as_state_machine()

    class Links(machine):  # type: ignore[misc, valid-type]
        def before_call(self, case: Case) -> None:
            assume(is_fair(case) and not is_ambiguous(case))
            super().before_call(case)

    Links.run(settings=settings(MANY, stateful_step_count=8))
