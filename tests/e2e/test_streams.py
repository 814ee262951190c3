"""Streams on a real cluster: declared by kubectl and by REST, processed on GPU pods, told of truthfully."""

from __future__ import annotations

from support.e2e_streams import Cameras
from support.inbox_threads import InboxThread
from support.lookouts import Lookout
from support.releases import Release
from support.waiting import eventually


async def test_a_stream_of_kubectl_is_processed_and_its_faces_are_delivered(
    release: Release, cameras: Cameras, lookout: Lookout, inbox: InboxThread
) -> None:
    (name,) = cameras.declare("lobby")
    release.kubectl("wait", "--for=condition=Processing", f"stream/{name}", "--timeout=90s")
    stream_id = cameras.stream_id(name)
    await eventually(lambda: inbox.count(stream_id) > 0, "an event is delivered", timeout_s=60)
    assert lookout.status(name)["status"] == "in_progress"
