"""What a pool's podTemplate may not change, because the operator and the shim rely on it. Pure.

What makes no pod at all is left to the API server, whose answer stands in the pool's condition just so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from luna_operator.facts import CAPACITY_VARIABLE, CONTAINER

Json = dict[str, Any]

PORT_VARIABLE: Final = "LUNA_PROCESSOR_PORT"
TOKEN_VARIABLE: Final = "LUNA_PROCESSOR_TOKEN_FILE"  # noqa: S105  a name, not a token

_FIXED: Final[Mapping[str, str]] = {
    CAPACITY_VARIABLE: "set slotsPerPod instead",
    PORT_VARIABLE: "probes, previews and network policies expect the port as it is",
    TOKEN_VARIABLE: "by that token the shim knows the pod, and gives it its streams",
    "POD_NAME": "it is the name of the pod",
}
"""Variables of the processor's container, and why they stay as they are."""


def objection(override: Json, spec: Json) -> str:
    """Say why no pod is made with this override, in one sentence that says what to do; "" if one can be.

    Args:
        override: spec of the podTemplate.
        spec: of the pod, as it is with the override merged in.
    """
    return next(_objections(override, spec), "")


def _objections(override: Json, spec: Json) -> Iterator[str]:
    containers = _maps(spec.get("containers"))
    processor = next((item for item in containers if item.get("name") == CONTAINER), None)
    if processor is None:
        yield f"podTemplate.spec.containers takes away the container {CONTAINER}: it must stay."
        return
    for other in containers:
        if not other.get("image"):
            yield (
                f"podTemplate.spec.containers: {other.get('name')} has no image; to change the processor's container, "
                f"name it {CONTAINER}."
            )
    yield from _touched_variables(override)
    if spec.get("restartPolicy") != "Always":
        yield "podTemplate.spec.restartPolicy must be Always: a processor that ends is started again in its pod."


def _touched_variables(override: Json) -> Iterator[str]:
    for container in _maps(override.get("containers")):
        if container.get("name") != CONTAINER:
            continue
        for variable in _maps(container.get("env")):
            name = variable.get("name")
            if isinstance(name, str) and (why := _FIXED.get(name)):
                yield f"podTemplate.spec.containers: the variable {name} cannot be changed: {why}."


def _maps(value: object) -> list[Json]:
    """Return the maps of a list; users write anything, also what the API server refuses later."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
