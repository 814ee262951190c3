"""Helm installs, upgrades and takes away the chart on a real API server, and nothing stays that should not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from luna_kube.manifests import crd_manifests
from support.apiservers import ApiServer
from support.builders import stream_object
from support.charts import PREFIX, WITH_CLAIM, Json
from support.helm_releases import HelmRelease, a_helm_release
from support.repository import CHART, ROOT
from support.waiting import eventually_blocking

pytestmark = pytest.mark.apiserver

PREVIOUS = ROOT / "tests" / "e2e" / "charts" / "luna-streams-0.1.0.tgz"
"""The chart of release 0.1.0."""
STREAMS = "streams.lunastreams.dev"
POOLS = "streamprocessors.lunastreams.dev"


@pytest.fixture
def release(real_api: ApiServer, tmp_path: Path) -> Iterator[HelmRelease]:
    with a_helm_release(real_api, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def installed(real_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HelmRelease]:
    """A release with the values that are the chart's own, for tests that leave it so."""
    with a_helm_release(real_api, tmp_path_factory.mktemp("installed")) as made:
        install(made)
        yield made


def install(release: HelmRelease, values: Json | None = None, chart: Path = CHART) -> None:
    release.helm("install", str(chart), values=values or {})


def upgrade(release: HelmRelease, values: Json | None = None) -> None:
    release.helm("upgrade", str(CHART), "--reset-values", values=values or {})


def test_what_helped_to_install_is_gone_afterwards(installed: HelmRelease) -> None:
    assert [line.split()[0] for line in installed.jobs[0].splitlines()] == [
        yaml.safe_load(path.read_text())["metadata"]["name"] for path in crd_manifests()
    ]
    left = installed.everything()
    assert f"deployment.apps/{PREFIX}-operator" in left
    assert [name for name in left if name.endswith("-crds")] == []


def test_a_failed_install_leaves_no_rights_behind(release: HelmRelease) -> None:
    release.breaks_jobs = True
    answer = release.try_helm("install", str(CHART), values={})
    assert answer.returncode != 0
    assert f"{PREFIX}-crds" in answer.stderr
    assert [name for name in release.everything() if name.endswith("-crds")] == []


def test_uninstalled_and_installed_again_nothing_stays_but_definitions_and_streams(release: HelmRelease) -> None:
    install(release)
    stream = stream_object("door", namespace=release.namespace)
    release.kubectl("apply", "-f", "-", stdin=stream)
    release.helm("uninstall")
    eventually_blocking(lambda: release.everything() == {f"stream.{STREAMS.partition('.')[2]}/door"})
    assert release.try_kubectl("get", "crd", STREAMS, POOLS).returncode == 0
    install(release)
    assert release.read("stream", "door")["spec"] == stream["spec"]


def test_the_previous_release_is_upgraded_and_its_streams_stay(release: HelmRelease) -> None:
    install(release, {"shim": {"serviceAccountAnnotations": {"note": "kept"}}}, PREVIOUS)
    outdate_pools(release)
    release.kubectl("apply", "-f", "-", stdin=stream_object("door", namespace=release.namespace))
    release.kubectl(
        "patch", "stream", "door", "--subresource=status", "--type=merge", '--patch={"status":{"status":"in_progress"}}'
    )
    before, pool = release.read("stream", "door"), release.read("streamprocessor", "default")
    refused = release.try_helm("upgrade", str(CHART), "--reuse-values", values={})
    assert refused.returncode != 0
    assert "use --reset-then-reuse-values" in refused.stderr
    release.helm(
        "upgrade", str(CHART), "--reset-then-reuse-values", values={"processor": {"pool": {"spec": {"maxReplicas": 3}}}}
    )
    assert f"{POOLS} brought up to date" in release.jobs[-1]
    assert release.read("crd", POOLS)["spec"]["versions"] == release_of(POOLS)["spec"]["versions"]
    assert release.read("stream", "door") == before
    after = release.read("streamprocessor", "default")
    assert (after["metadata"]["uid"], after["spec"]["maxReplicas"]) == (pool["metadata"]["uid"], 3)
    assert release.read("serviceaccount", f"{PREFIX}-shim")["metadata"]["annotations"]["note"] == "kept"


def outdate_pools(release: HelmRelease) -> None:
    """Take a field from the definition of pools, as if an older release had made it."""
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/maxReplicas/description"
    release.kubectl("patch", "crd", POOLS, "--type=json", f'--patch=[{{"op":"remove","path":"{path}"}}]')
    assert release.read("crd", POOLS)["spec"]["versions"] != release_of(POOLS)["spec"]["versions"]


def release_of(name: str) -> Json:
    """Return a definition as this release has it, with the defaults that the API server adds."""
    (body,) = [
        body
        for body in map(yaml.safe_load, (p.read_text() for p in crd_manifests()))
        if body["metadata"]["name"] == name
    ]
    found: Json = body
    return found


def test_the_log_may_move_into_a_volume_and_back(installed: HelmRelease) -> None:
    def strategy() -> str:
        return str(installed.read("deployment", f"{PREFIX}-shim")["spec"]["strategy"]["type"])

    upgrade(installed, WITH_CLAIM)
    assert strategy() == "Recreate"
    upgrade(installed)
    assert strategy() == "RollingUpdate"
