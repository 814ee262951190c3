"""What the endpoints work with, handed to them through the application's state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from luna_api_shim.editing.editor import Editor
from luna_api_shim.editing.group_editor import GroupEditor
from luna_api_shim.editing.quota import Quota
from luna_api_shim.health import Health
from luna_api_shim.http.traffic import Traffic
from luna_api_shim.logs.logbook import Logbook
from luna_api_shim.metrics import Metrics
from luna_api_shim.plugin_host import PluginHost
from luna_api_shim.previews.pictures import Previews
from luna_api_shim.replicas.desk import LeaderDesk
from luna_api_shim.replicas.peers import Peers
from luna_api_shim.settings import Settings
from luna_api_shim.storage.rendering import ApiVersion
from luna_api_shim.storage.store import Store
from luna_api_shim.workers.feedback import Feedback
from luna_api_shim.workers.identity import Workers
from luna_api_shim.workers.queue import Queue


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one replica that endpoints call.

    Attributes:
        desk: brings requests to the leader; workers, queue, feedback and quota serve them there.
        unready: tells why no request should be sent here, None if they should.
    """

    settings: Settings
    store: Store
    editor: Editor
    group_editor: GroupEditor
    desk: LeaderDesk
    peers: Peers
    workers: Workers
    queue: Queue
    quota: Quota
    feedback: Feedback
    previews: Previews
    logbook: Logbook
    metrics: Metrics
    traffic: Traffic
    plugins: PluginHost
    health: Health
    unready: Callable[[], str | None]


def context_of(request: Request) -> Context:
    """Return the context of a request."""
    return cast(Context, request.app.state.context)


def api_of(request: Request) -> ApiVersion:
    """Return the version of the API a request speaks."""
    return cast(ApiVersion, request.path_params["api"])
