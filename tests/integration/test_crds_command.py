"""`luna-streams crds apply`: definitions of an older release become those of this one, and nothing else happens."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator

import pytest
import yaml

from luna_kube import CUSTOM_RESOURCE_DEFINITIONS, Conflict, Json, KubeClient, NotFound, load_credentials
from luna_kube.manifests import crd_manifests
from luna_operator import crds
from support.apiservers import ApiServer, unique

pytestmark = pytest.mark.apiserver


@pytest.fixture
async def kube(real_api: ApiServer) -> AsyncIterator[KubeClient]:
    async with KubeClient(await load_credentials(real_api.kubeconfig)) as client:
        yield client


@pytest.fixture
async def definition(kube: KubeClient) -> AsyncIterator[Json]:
    """The definition of StreamGroups under a name of its own, as Helm of an older release made it."""
    (path,) = [path for path in crd_manifests() if path.name == "streamgroup.yaml"]
    body: Json = yaml.safe_load(path.read_text())
    plural = unique("group").replace("-", "") + "s"
    body["spec"]["names"] = {"plural": plural, "kind": plural.title(), "singular": plural[:-1]}
    body["metadata"] = {"name": f"{plural}.{body['spec']['group']}"}
    old = copy.deepcopy(body)
    fields = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del fields["description"]
    fields["fancy"] = {"type": "string"}
    await kube.create(CUSTOM_RESOURCE_DEFINITIONS.everywhere(), old)
    yield body
    await kube.delete(CUSTOM_RESOURCE_DEFINITIONS.at(None, body["metadata"]["name"]))


async def test_an_older_definition_is_replaced_as_a_whole(kube: KubeClient, definition: Json) -> None:
    await crds.bring_up_to_date(kube, [definition], 30)
    found = await kube.get(CUSTOM_RESOURCE_DEFINITIONS.at(None, definition["metadata"]["name"]))
    fields = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert "description" in fields
    assert "fancy" not in fields, "what the release dropped is gone, whoever wrote it"


async def test_helm_is_the_only_manager_of_a_definition_afterwards(kube: KubeClient, definition: Json) -> None:
    """Helm 4 applies definitions on install, and stops at whatever another manager has written differently."""
    ref = CUSTOM_RESOURCE_DEFINITIONS.at(None, definition["metadata"]["name"])
    for manager in ("kubectl", "helm"):
        await kube.apply(ref, definition, field_manager=manager)
    await crds.bring_up_to_date(kube, [definition], 30)
    newer = copy.deepcopy(definition)
    newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "of the next release"
    await kube.apply(ref, newer, field_manager="helm", force=False)
    with pytest.raises(Conflict):
        await kube.apply(ref, definition, field_manager="kubectl", force=False)


async def test_a_definition_that_is_up_to_date_is_not_written(kube: KubeClient, definition: Json) -> None:
    ref = CUSTOM_RESOURCE_DEFINITIONS.at(None, definition["metadata"]["name"])
    await crds.bring_up_to_date(kube, [definition], 30)
    before = await kube.get(ref)
    await crds.bring_up_to_date(kube, [definition], 30)
    assert (await kube.get(ref))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_missing_definition_is_not_made_but_named(kube: KubeClient, definition: Json) -> None:
    absent = copy.deepcopy(definition)
    absent["metadata"]["name"] = name = f"nothings.{definition['spec']['group']}"
    with pytest.raises(crds.Unfinished, match=rf"{name} does not exist: install it from the chart's folder crds/"):
        await crds.bring_up_to_date(kube, [absent], 30)
    with pytest.raises(NotFound):
        await kube.get(CUSTOM_RESOURCE_DEFINITIONS.at(None, name))


async def test_a_definition_that_is_never_served_ends_in_time(kube: KubeClient, definition: Json) -> None:
    clash = copy.deepcopy(definition)
    plural = unique("clash").replace("-", "") + "s"
    clash["metadata"]["name"] = f"{plural}.{definition['spec']['group']}"
    clash["spec"]["names"]["plural"] = plural  # the kind is taken already
    ref = CUSTOM_RESOURCE_DEFINITIONS.at(None, clash["metadata"]["name"])
    await kube.create(CUSTOM_RESOURCE_DEFINITIONS.everywhere(), clash)
    try:
        with pytest.raises(crds.Unfinished, match=r"is not served after 2 s: .*Established"):
            await crds.bring_up_to_date(kube, [clash], 2)
    finally:
        await kube.delete(ref)


async def test_the_command_applies_what_the_release_carries(
    kube: KubeClient, real_api: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = [yaml.safe_load(path.read_text()) for path in crd_manifests()]
    for body in bodies:
        await kube.apply(CUSTOM_RESOURCE_DEFINITIONS.at(None, body["metadata"]["name"]), body, field_manager="test")
    status = await asyncio.to_thread(crds.main, ["apply", f"--kubeconfig={real_api.kubeconfig}"])
    assert status == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][-3:] == [
        body["metadata"]["name"] for body in bodies
    ]


def test_without_a_cluster_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main(["apply", "--kubeconfig=nowhere"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("luna-streams crds: no cluster: there is no kubeconfig at nowhere")
