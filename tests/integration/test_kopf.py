"""A kopf operator, unchanged, against both API servers: finalizers, status, changes, deletions, a restart."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import kopf
import pytest

from support.apiservers import ApiServer, unique
from support.kubernetes_api import CAMERAS, Api, a_camera, connected, define_cameras, eventually
from support.waiting import PATIENCE_S


@pytest.fixture
async def api(any_api: ApiServer) -> AsyncIterator[Api]:
    async with connected(any_api) as client:
        await define_cameras(client)
        yield client


class _Operator:
    """Notes what kopf tells it of the cameras of one test, in order."""

    def __init__(self, group: str) -> None:
        self.seen: list[tuple[str, str]] = []
        self.registry = kopf.OperatorRegistry()
        self._register(group)

    def _register(self, group: str) -> None:
        where: dict[str, Any] = {"registry": self.registry, "labels": {"group": group}}
        resource = ("contract.luna.test", "v1", "cameras")

        @kopf.on.create(*resource, **where)
        async def created(name: str, patch: kopf.Patch, **_: Any) -> None:
            self.seen.append(("created", name))
            patch.status["phase"] = "seen"

        @kopf.on.update(*resource, **where, field="spec")
        async def updated(name: str, new: Any, **_: Any) -> None:
            self.seen.append(("updated", f"{name} {new['fps']}"))

        @kopf.on.delete(*resource, **where)
        async def deleted(name: str, **_: Any) -> None:
            self.seen.append(("deleted", name))

    @asynccontextmanager
    async def running(self, server: ApiServer) -> AsyncIterator[None]:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        stop, ready = asyncio.Event(), asyncio.Event()
        self._log_in(server)
        task = asyncio.create_task(
            kopf.operator(
                registry=self.registry,
                settings=settings,
                standalone=True,
                namespaces=["default"],
                stop_flag=stop,
                ready_flag=ready,
            )
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                await ready.wait()
            yield
        finally:
            stop.set()
            await task
            # A request that kopf gives up while it connects leaves its socket to the garbage collector; it complains of
            # that whenever it comes by, in whatever test.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()

    def _log_in(self, server: ApiServer) -> None:
        token = server.headers.get("Authorization", "").removeprefix("Bearer ") or None

        @kopf.on.login(registry=self.registry)
        async def log_in(**_: Any) -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(server=server.url, insecure=True, token=token)

    def has_seen(self, *what: tuple[str, str]) -> Any:
        async def check() -> bool:
            return set(what) <= set(self.seen)

        return check


async def test_an_operator_sees_creations_changes_and_deletions_once_each(api: Api) -> None:
    group = unique()
    operator, path = _Operator(group), f"{CAMERAS}/{group}"
    async with operator.running(api.server):
        await api.create(CAMERAS, a_camera(group, labels={"group": group}))
        await eventually(operator.has_seen(("created", group)))

        async def is_handled() -> bool:
            camera = (await api.get(path)).document
            return bool(camera["metadata"].get("finalizers")) and camera.get("status", {}).get("phase") == "seen"

        await eventually(is_handled)
        await api.patch(path, {"spec": {"fps": 7}})
        await eventually(operator.has_seen(("updated", f"{group} 7")))
        await api.delete(path)

        async def is_gone() -> bool:
            return (await api.get(path)).status == 404

        await eventually(is_gone)
    assert operator.seen == [("created", group), ("updated", f"{group} 7"), ("deleted", group)]


async def test_an_operator_catches_up_with_what_happened_while_it_was_away(api: Api) -> None:
    group = unique()
    operator = _Operator(group)
    await api.create(CAMERAS, a_camera(f"{group}-1", labels={"group": group}))
    async with operator.running(api.server):
        await eventually(operator.has_seen(("created", f"{group}-1")))
    await api.create(CAMERAS, a_camera(f"{group}-2", labels={"group": group}))
    later = _Operator(group)
    async with later.running(api.server):
        await eventually(later.has_seen(("created", f"{group}-2")))
        for number in "12":
            await api.delete(f"{CAMERAS}/{group}-{number}")
        await eventually(later.has_seen(("deleted", f"{group}-1"), ("deleted", f"{group}-2")))
    assert ("created", f"{group}-1") not in later.seen
