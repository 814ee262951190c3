"""While nobody leads: who answers a worker whose token this replica has never seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from luna_api_shim.http.frame import REQUEST_ID
from luna_api_shim.replicas.desk import Errand, LeaderDesk
from support.http_servers import serving


@dataclass
class Others:
    """What a replica knows while the API server is silent: it does not lead, and who did last."""

    leader_origin: str | None
    is_leader: bool = False
    secret: str = "uid-of-the-lease"

    def may_reassure(self) -> bool:
        return True


@asynccontextmanager
async def a_replica(last_leader: str | None, *, is_known: bool) -> AsyncIterator[str]:
    """Serve a replica that reassures workers itself if it must; yields its address."""
    others = cast(Any, Others(last_leader))
    desk = LeaderDesk(others, cast(Any, Others(None)), others, patience_s=2, longest_wait_s=1)

    async def by_ourselves(_request: Request, _body: bytes) -> Response:
        return PlainTextResponse("by ourselves")

    async def feedback(request: Request) -> Response:
        request.scope[REQUEST_ID] = "test"
        errand = Errand(by_ourselves, is_repeatable=True, reassure=by_ourselves, is_known=lambda _: is_known)
        return await desk.serve(request, await request.body(), errand)

    try:
        async with serving(Starlette(routes=[Route("/feedback", feedback, methods=["POST"])])) as origin:
            yield origin
    finally:
        await desk.close()


async def ask(origin: str) -> str:
    async with httpx.AsyncClient(timeout=10) as http:
        return (await http.post(f"{origin}/feedback", headers={"Authorization": "Bearer token"})).text


async def last_leader(request: Request) -> Response:
    assert request.headers["Authorization"] == "Bearer token"
    return PlainTextResponse("by the last leader")


async def too_late(_request: Request) -> Response:
    await asyncio.sleep(2)
    return PlainTextResponse("too late")


@pytest.mark.parametrize(
    ("is_known", "answer"), [(False, "by the last leader"), (True, "by ourselves")], ids=["unknown", "known"]
)
async def test_who_led_last_answers_workers_that_are_not_known_here(is_known: bool, answer: str) -> None:
    leading = Starlette(routes=[Route("/feedback", last_leader, methods=["POST"])])
    async with serving(leading) as leader, a_replica(leader, is_known=is_known) as origin:
        assert await ask(origin) == answer


async def test_a_last_leader_that_is_slow_or_gone_or_forgotten_is_not_waited_for() -> None:
    async with serving(Starlette(routes=[Route("/feedback", too_late, methods=["POST"])])) as slow:
        for leader in (slow, "http://127.0.0.1:1", None):
            async with a_replica(leader, is_known=False) as origin:
                assert await ask(origin) == "by ourselves"
