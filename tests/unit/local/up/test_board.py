from __future__ import annotations

from typing import Any

import pytest

from luna_kube import CUSTOM_RESOURCE_DEFINITIONS, STREAMS, AlreadyExists, KubeClient, load_credentials
from luna_local.up.board import StreamBoard, StreamRow, row_of
from luna_local.up.manifests import custom_resource_definitions
from support.apiservers import ApiServer, unique
from support.waiting import eventually

STREAM_ID = "01a204ab-b389-71e3-a16c-c4f871e1438f"


def a_stream(status: dict[str, Any] | None, name: str = STREAM_ID) -> dict[str, Any]:
    body = {"metadata": {"namespace": "default", "name": name}, "spec": {"displayName": "lobby"}}
    return body if status is None else {**body, "status": status}


@pytest.mark.parametrize(
    ("status", "row"),
    [
        (None, StreamRow(STREAM_ID, "lobby", "pending", None, "")),
        (
            {"status": "in_progress", "videoInfo": {"progress": 0.25}},
            StreamRow(STREAM_ID, "lobby", "in_progress", 0.25, ""),
        ),
        ({"status": "done", "lastError": "old"}, StreamRow(STREAM_ID, "lobby", "done", None, "")),
        (
            {"status": "failure", "lastError": "no such file"},
            StreamRow(STREAM_ID, "lobby", "failure", None, "no such file"),
        ),
        (
            {"status": "pending", "conditions": [{"type": "Ready", "status": "False", "message": "no free slot"}]},
            StreamRow(STREAM_ID, "lobby", "pending", None, "no free slot"),
        ),
        (
            {"status": "in_progress", "conditions": [{"type": "Ready", "status": "True", "message": "fine"}]},
            StreamRow(STREAM_ID, "lobby", "in_progress", None, ""),
        ),
    ],
    ids=["just made", "in progress", "done", "failed", "waiting", "ready"],
)
def test_a_row_tells_status_progress_and_reason(status: dict[str, Any] | None, row: StreamRow) -> None:
    assert row_of(a_stream(status)) == row


class Board:
    """A board of the streams in one API server, and a way to set their status."""

    def __init__(self, client: KubeClient, board: StreamBoard) -> None:
        self.board = board
        self._client = client

    async def set_status(self, name: str, status: str) -> None:
        ref = STREAMS.at("default", name)
        time, data_hash = "2026-01-31T12:00:00Z", "0"
        fields = {"status": status, "version": 1, "dataHash": data_hash, "statusTime": time}
        await self._client.patch(ref.status, {"status": fields})

    async def create(self, name: str) -> None:
        handler = {"handlerId": STREAM_ID}
        spec = {
            "accountId": STREAM_ID,
            "data": {"type": "videofile", "reference": "/x.mp4", "analytics": [{"mode": 1, "eventHandler": handler}]},
        }
        body = {"apiVersion": STREAMS.api_version, "kind": "Stream", "metadata": {"name": name}, "spec": spec}
        await self._client.create(STREAMS.within("default"), body)


async def test_the_board_knows_when_all_is_idle_and_what_failed_meanwhile(embedded_api: ApiServer) -> None:
    old, new = unique("old"), unique("new")
    async with KubeClient(await load_credentials(embedded_api.kubeconfig)) as client:
        for definition in custom_resource_definitions():
            try:
                await client.create(CUSTOM_RESOURCE_DEFINITIONS.everywhere(), definition)
            except AlreadyExists:
                continue
        streams = Board(client, StreamBoard(client))
        await streams.create(old)
        await streams.set_status(old, "failure")
        async with streams.board.running() as board:
            assert board.failed == []
            await streams.create(new)
            await eventually(lambda: any(row.name == new and row.is_busy for row in board.rows))
            assert not board.is_idle
            await streams.set_status(new, "failure")
            await eventually(lambda: [row.name for row in board.failed] == [new])
            await streams.set_status(old, "in_progress")
            await eventually(lambda: any(row.name == old and row.is_busy for row in board.rows))
            await streams.set_status(old, "failure")
            await eventually(lambda: {row.name for row in board.failed} == {new, old})
        for name in (old, new):
            await client.delete(STREAMS.at("default", name))
