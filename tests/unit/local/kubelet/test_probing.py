from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from luna_local.kubelet.pod import Probe
from luna_local.kubelet.probing import Answer, Judgement, Prober, Verdict
from support.pods import parsed_container


def verdicts(answers: str, **probe: int) -> str:
    judgement, result = Judgement(), ""
    for answer in answers:
        judgement = judgement.after(answer == "+", Probe.model_validate(probe))
        result += {Verdict.UNDECIDED: "?", Verdict.SUCCESS: "+", Verdict.FAILURE: "-"}[judgement.verdict]
    return result


@pytest.mark.parametrize(
    ("answers", "success", "failure", "expected"),
    [
        ("+", 1, 3, "+"),
        ("---", 1, 3, "??-"),
        ("+--+", 1, 3, "++++"),
        ("+---+", 1, 3, "+++-+"),
        ("--+---", 1, 3, "??+++-"),
        ("++-+++", 3, 1, "??---+"),
    ],
)
def test_enough_equal_answers_in_a_row_change_the_verdict(
    answers: str, success: int, failure: int, expected: str
) -> None:
    assert verdicts(answers, successThreshold=success, failureThreshold=failure) == expected


async def run_nothing(_command: tuple[str, ...]) -> Answer:
    return Answer(False, "not asked")


@asynccontextmanager
async def http_server(status: int, delay_s: float = 0.0) -> AsyncIterator[int]:
    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(delay_s)
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


async def ask(probe: dict[str, object], port: int) -> Answer:
    container = parsed_container("true", ports=[{"name": "http", "containerPort": port}])
    async with aiohttp.ClientSession() as session:
        return await Prober(session, container, "127.0.0.1", run_nothing).ask(Probe.model_validate(probe))


@pytest.mark.parametrize(("status", "is_success"), [(200, True), (204, True), (302, True), (404, False), (503, False)])
async def test_an_http_probe_succeeds_with_any_status_from_200_to_399(status: int, is_success: bool) -> None:
    async with http_server(status) as port:
        answer = await ask({"httpGet": {"path": "/readyz", "port": "http"}}, port)
    assert answer.is_success is is_success
    assert is_success or answer.message == f"HTTP probe failed with statuscode: {status}"


async def test_a_probe_that_takes_too_long_fails() -> None:
    async with http_server(200, delay_s=1.5) as port:
        answer = await ask({"httpGet": {"port": port}, "timeoutSeconds": 1}, port)
    assert answer == Answer(False, "timed out after 1 s")


async def test_a_tcp_probe_succeeds_when_somebody_listens() -> None:
    async with http_server(200) as port:
        assert (await ask({"tcpSocket": {"port": port}}, port)).is_success
    assert not (await ask({"tcpSocket": {"port": port}}, port)).is_success


async def test_an_unknown_port_name_is_told() -> None:
    answer = await ask({"httpGet": {"port": "metrics"}}, 1)
    assert answer == Answer(False, "the container has no port named 'metrics'")
