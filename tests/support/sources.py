"""Builders for tests of sources."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luna_processor.streams.health import HealthPolicy
from luna_processor.streams.plan import SourcePlan
from luna_streams.references import split_reference
from luna_streams.stream import SourceType


def a_source_plan(kind: SourceType, reference: object, **changes: Any) -> SourcePlan:
    """Return what a stream of this type asks of its source, with the document's defaults."""
    plan = SourcePlan(
        kind=kind,
        reference=str(reference),
        shown_as=split_reference(str(reference))[0],
        is_endless=kind in ("tcp", "udp"),
        pace_fps=0,
        timeout_s=5.0,
        health=HealthPolicy(),
        preferred_width=800,
    )
    return replace(plan, **changes)
