"""What tests on a real cluster need: cameras, a LUNA PLATFORM, a database, and the chart installed once for all.

When a test fails, its report holds the namespace's objects, Events and the logs of the pods.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cameras import camera_clip, needs_gstreamer, rtsp_server
from support.clusters import Cluster, the_cluster
from support.e2e_streams import Cameras
from support.inbox_threads import InboxThread, an_inbox_thread
from support.lookouts import Lookout, a_lookout
from support.postgresql import a_postgresql, postgresql_binaries
from support.releases import NAME, Release, values_for

DATABASE_SECRET = "luna-log-database"
_LAST_LINES = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: it needs a cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return the_cluster()


@pytest.fixture(scope="module")
def camera_url(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A camera that every pod reaches: a moving face, 2 frames a second."""
    needs_gstreamer()
    clip = camera_clip(tmp_path_factory.mktemp("camera"))
    with rtsp_server(clip, address=cluster.host) as (_, port):
        yield f"rtsp://{cluster.host}:{port}/cam"


@pytest.fixture(scope="session")
def inbox(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InboxThread]:
    with an_inbox_thread(tmp_path_factory.mktemp("inbox"), cluster.host) as running:
        yield running


@pytest.fixture(scope="session")
def database_url(cluster: Cluster) -> Iterator[str]:
    binaries = postgresql_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL for the log of two shims: install it (Debian: postgresql)")
    with a_postgresql(binaries, cluster.host) as server:
        yield server.create_database()


@pytest.fixture(scope="session")
def release(
    cluster: Cluster, inbox: InboxThread, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """The chart, installed as an administrator does, two replicas of each part."""
    namespace = f"luna-e2e-{secrets.token_hex(3)}"
    values = values_for(cluster, inbox.url, DATABASE_SECRET)
    release = Release(cluster, namespace, tmp_path_factory.mktemp("helm"), values)
    release.make_namespace()
    release.kubectl("create", "secret", "generic", DATABASE_SECRET, f"--from-literal=url={database_url}")
    try:
        release.install()
    except AssertionError as e:
        raise AssertionError(f"{e}\n{what_is(release)}") from e
    yield release
    release.helm("uninstall", NAME, "--ignore-not-found")
    release.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
async def lookout(release: Release) -> AsyncIterator[Lookout]:
    async with a_lookout(release) as running:
        yield running


@pytest.fixture
def cameras(release: Release, camera_url: str) -> Iterator[Cameras]:
    made = Cameras(release, camera_url)
    yield made
    made.remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add to the report of a failed test what its namespace holds."""
    report = yield
    release = getattr(item, "funcargs", {}).get("release")
    if report.failed and isinstance(release, Release):
        report.sections.append(("the namespace", what_is(release)))
    return report


def what_is(release: Release) -> str:
    """Return objects, Events and the last lines of every pod's log, as kubectl shows them."""
    try:
        pods = release.kubectl("get", "pods", "-o", "name", is_checked=False).split()
        parts = [
            release.kubectl("get", "streams,streamprocessors,pods,leases", "-o", "wide", is_checked=False),
            release.kubectl("get", "events", "--sort-by=.lastTimestamp", is_checked=False),
        ]
        for pod in pods:
            log = release.kubectl("logs", pod, f"--tail={_LAST_LINES}", "--all-containers", is_checked=False)
            parts.append(f"--- log of {pod}\n{log}")
    except (AssertionError, subprocess.TimeoutExpired) as e:
        return f"the cluster does not tell: {e}"
    return "\n".join(parts)
