"""`luna-streams check`: passes on an installation that works, leaves nothing behind, and names what does not."""

from __future__ import annotations

import asyncio

import pytest

from luna_api_shim import check
from luna_kube import STREAMS
from support.apiservers import ApiServer, free_port
from support.shims import Shim, a_deployment


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(check.main, list(arguments))


async def test_an_installation_that_works_passes_and_keeps_no_stream(
    embedded_api: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_deployment(embedded_api) as deployment, deployment.shim() as shim:
        status = await run(f"--streams-origin={shim.url}", f"--operator-origin={shim.url}")
        assert status == 0, capsys.readouterr().err
        assert (await deployment.kube.list(STREAMS.within(deployment.namespace))).items == []
    assert capsys.readouterr().out.splitlines() == [
        "the shim is ready",
        "the operator is ready",
        "the REST API is that of LUNA Streams 1.1.18",
        "a stream was made and read",
        "and deleted",
    ]


async def test_what_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(f"--streams-origin=http://127.0.0.1:{free_port()}", "--timeout=0") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("luna-streams check: the shim is not ready: GET http://127.0.0.1:")


async def test_a_refused_stream_is_told_in_the_words_of_the_api(
    embedded_api: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_deployment(embedded_api) as deployment, deployment.shim(stream_quota=1) as shim:
        await occupy(shim)
        assert await run(f"--streams-origin={shim.url}") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "POST /2/streams: 4" in line or "POST /2/streams: 5" in line


async def occupy(shim: Shim) -> None:
    """Take the only stream the quota allows."""
    await shim.create(check.STREAM | {"status": "pending"})
