from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luna_api_shim import settings as shim_settings
from luna_local.up.manifests import (
    Addresses,
    custom_resource_definitions,
    default_pool,
    operator_pod,
    shim_pod,
)
from luna_operator import settings as operator_settings
from luna_streams.v1alpha1 import StreamProcessorSpec

ADDRESSES = Addresses(5160, Path("/d/kubeconfig"), "http://127.0.0.1:5162", Path("/d/logs"))


def environment(pod: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a Pod's container; those from fields get a plausible value."""
    (container,) = pod["spec"]["containers"]
    return {each["name"]: each.get("value", "127.64.0.2") for each in container["env"]}


def test_the_shim_understands_the_settings_it_is_given() -> None:
    settings = shim_settings.load({}, environment(shim_pod(ADDRESSES)))
    assert (settings.host, settings.port, settings.all_namespaces) == ("127.0.0.1", 5160, True)


def test_the_operator_understands_the_settings_it_is_given() -> None:
    settings = operator_settings.load(environment(operator_pod(ADDRESSES)))
    assert settings.streams_origin == "http://127.0.0.1:5160"
    assert settings.platform_origin == "http://127.0.0.1:5162"


@pytest.mark.parametrize("processors", [1, 7])
def test_the_pool_has_exactly_so_many_processors(processors: int) -> None:
    spec = StreamProcessorSpec.from_resource(default_pool(processors)["spec"])
    assert (spec.min_replicas, spec.max_replicas, spec.replicas) == (processors, processors, None)


def test_the_definitions_of_all_resources_are_found() -> None:
    names = {definition["spec"]["names"]["kind"] for definition in custom_resource_definitions()}
    assert names == {"Stream", "StreamGroup", "StreamProcessor"}
