"""The page of parameters: every parameter of the API stands there, and the tests it names are there."""

from __future__ import annotations

from support.parameter_effects import effects
from support.parameters import described, documented, names_of_tests

SHARED_TEST = "unit/processor/test_parameters.py::test_each_parameter_has_its_effect"


def test_every_parameter_of_the_document_is_described_and_no_other() -> None:
    assert set(described()) == documented("1") | documented("2")


def test_every_parameter_names_tests_that_are_there() -> None:
    missing = [
        f"{parameter}: {test}"
        for parameter, (_, tests) in described().items()
        for test in tests or ["(none)"]
        if "::" not in test or test.split("::")[1] not in names_of_tests(test.split("::")[0])
    ]
    assert not missing, "\n".join(missing)


def test_what_the_page_says_of_the_shared_test_is_among_its_cases() -> None:
    cases = {path for effect in effects() for path in (effect.v1, effect.v2) if path}
    missing = [
        parameter
        for parameter, (_, tests) in described().items()
        if SHARED_TEST in tests and not any(parameter == path or parameter.startswith(f"{path}.") for path in cases)
    ]
    assert not missing, "\n".join(missing)


def test_every_value_of_a_case_is_seen_to_matter() -> None:
    """Of two values with the same outcome neither shows that the parameter has an effect; some outcome must differ."""
    same = [e.name for e in effects() if len(e.seen) > 1 and len({repr(seen) for _, seen in e.seen}) == 1]
    assert not same, "\n".join(same)
