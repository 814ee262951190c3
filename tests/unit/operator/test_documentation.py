"""Every reason and metric of the operator stands in its page."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from luna_operator import notes, pool_status
from luna_operator.metrics import Metrics
from luna_streams import conditions
from support.repository import ROOT

PAGE = (ROOT / "docs" / "operator.md").read_text()


def constants(module_file: str) -> set[str]:
    """Return the texts of the module's constants, reasons and types of conditions."""
    tree = ast.parse(Path(module_file).read_text())
    values = [node.value for node in tree.body if isinstance(node, ast.AnnAssign)]
    return {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}


@pytest.mark.parametrize("reason", sorted(constants(pool_status.__file__) | constants(notes.__file__)))
def test_a_reason_is_documented(reason: str) -> None:
    assert f"`{reason}`" in PAGE


def test_the_reasons_of_waiting_are_documented_as_events() -> None:
    for reason in (conditions.ASSIGNED, conditions.NO_POOL_SELECTS, conditions.NO_FREE_SLOT, conditions.NO_READY_POD):
        assert f"`{reason}`" in PAGE


def test_a_metric_is_documented() -> None:
    for metric in Metrics().registry.collect():
        assert metric.name in PAGE
