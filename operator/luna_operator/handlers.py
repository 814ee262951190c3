"""The kopf shell: kopf watches Streams, StreamProcessors and our Pods; every event goes into the world.

Only `on.event` handlers: no annotation, no finalizer, nothing written by kopf. With finalizers `kubectl delete` would
hang while the operator is down; with kopf's own handlers a burst makes them run twice on stale bodies.

kopf runs in a thread with an event loop of its own, for it takes the loop for its own: when it ends, it cancels every
task that was begun after it, and it takes over the signal handlers. Events come over by `call_soon_threadsafe`, in
their order.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import kopf

from luna_kube import PODS, STREAM_PROCESSORS, STREAMS, Credentials, Resource, open_session
from luna_operator.manifests import MANAGER
from luna_operator.news import leaving_out
from luna_operator.stateless import NoDiffBase, NoProgress
from luna_streams import naming

log = logging.getLogger(__name__)

Json = dict[str, Any]
OnEvent = Callable[[Resource, str | None, Json], None]
"""Takes an event: the resource, its type (None for an object of a list), the object."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears what kopf watches.

    Attributes:
        on_event: called in the listener's event loop.
        on_list: called in the listener's event loop when kopf has listed a resource: it does not tell what is gone.
        knows: tells whether a version of an object, or a newer one, is known already: then kopf need not tell it.
            Called in kopf's thread.
    """

    on_event: OnEvent
    on_list: Callable[[Resource], None]
    knows: Callable[[Resource, Json], bool]


USER_AGENT = "luna-operator"
POD_LABELS = f"{naming.LABEL_MANAGED_BY}={MANAGER}"
WATCHED = (STREAMS, STREAM_PROCESSORS, PODS)
"""In the order of listing: pods last, so that a pod a stream belongs to is only absent if it is gone."""

_STOP_TIMEOUT_S = 8.0

Controls = tuple[asyncio.AbstractEventLoop, asyncio.Event]


async def run_kopf(
    listener: Listener, load: Callable[[], Awaitable[Credentials]], namespace: str, stop: asyncio.Event
) -> None:
    """Run kopf until `stop` is set, until cancelled, or until it gives up.

    Args:
        listener: lives in the caller's event loop.
        load: returns credentials for the API server; called in kopf's event loop.
        namespace: to watch; empty for all.
        stop: ends the run.

    Raises:
        Exception: what kopf gave up on; run it again.
    """
    loop = asyncio.get_running_loop()

    def hand_over(resource: Resource, event_type: str | None, obj: Json) -> None:
        loop.call_soon_threadsafe(listener.on_event, resource, event_type, obj)

    def hand_over_list(resource: Resource) -> None:
        loop.call_soon_threadsafe(listener.on_list, resource)

    from_here = Listener(hand_over, hand_over_list, listener.knows)

    controls: Future[Controls] = Future()
    outcome: Future[None] = Future()

    def work() -> None:
        try:
            asyncio.run(_operate(_registry(from_here, load), namespace, controls))
        except BaseException as e:  # handed over to the thread that waits
            outcome.set_exception(e)
        else:
            outcome.set_result(None)

    threading.Thread(target=work, name="kopf", daemon=True).start()
    ended = asyncio.wrap_future(outcome)
    stopping = asyncio.create_task(stop.wait(), name="kopf's stop")
    either: set[asyncio.Future[Any]] = {ended, stopping}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        # At once, or as soon as its thread has come so far that it can be told: else it would go on for ever.
        controls.add_done_callback(_end)
        await asyncio.wait({ended}, timeout=_STOP_TIMEOUT_S)
    if ended.done():
        ended.result()


def _end(controls: Future[Controls]) -> None:
    kopf_loop, kopf_stop = controls.result()
    with suppress(RuntimeError):  # its loop is closed: it ended by itself
        kopf_loop.call_soon_threadsafe(kopf_stop.set)


async def _operate(registry: kopf.OperatorRegistry, namespace: str, controls: Future[Controls]) -> None:
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLogger().level))
    # It warns that signals are not its business in this thread; that is why it is there.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    # kopf leaves watches behind when it ends, about which asyncio complains at length.
    loop.set_exception_handler(lambda _, context: log.info("kopf: %s", context["message"]))
    controls.set_result((loop, stop))
    await kopf.operator(
        registry=registry,
        settings=_tuned_settings(),
        standalone=True,
        clusterwide=not namespace,
        namespaces=[namespace] if namespace else [],
        stop_flag=stop,
        # kopf would ask for the name of the user, which a container's user does not have.
        identity=cast(Any, USER_AGENT),
    )


def _registry(listener: Listener, load: Callable[[], Awaitable[Credentials]]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    def knows(path: str, obj: Json) -> bool:
        resource = _listed_at(path)
        return resource is not None and listener.knows(resource, obj)

    def listed(path: str) -> None:
        if (resource := _listed_at(path)) is not None:
            listener.on_list(resource)

    @kopf.on.login(registry=registry, retries=1)
    async def login(**_: Any) -> kopf.AiohttpSession:
        credentials = await load()  # again whenever the API server refused the last ones
        session = open_session(credentials, USER_AGENT, leaving_out(knows, listed))
        return kopf.AiohttpSession(server=credentials.server, aiohttp_session=session)

    for resource in WATCHED:
        _watch(registry, resource, listener.on_event)
    return registry


def _listed_at(path: str) -> Resource | None:
    """Return which of our resources has its collection at a path; None for others, which kopf asks for as well."""
    for resource in WATCHED:
        root = resource.everywhere().path.removesuffix(resource.plural)
        if path.startswith(root) and path.endswith(f"/{resource.plural}"):
            return resource
    return None


def _watch(registry: kopf.OperatorRegistry, resource: Resource, on_event: OnEvent) -> None:
    @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=resource.plural)
    async def changed(event: kopf.RawEvent, **_: Any) -> None:
        # kopf keeps what it read, in its thread: hand over what nobody else changes.
        obj: Json = dict(event["object"])
        obj["metadata"] = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
        on_event(resource, event["type"], obj)


def _tuned_settings() -> kopf.OperatorSettings:
    """Return kopf's settings for thousands of objects; docs/operator.md says why."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # Events are ours: counted, and fewer
    settings.scanning.disabled = True  # needs no permission on CRDs and namespaces; they are there before we start
    settings.persistence.consistency_timeout = 120
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.watching.label_selectors[PODS.plural] = POD_LABELS
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.inactivity_timeout = 90
    settings.networking.request_timeout = 60
    # A worker per object waits this long for more before it ends: with ten thousand objects, seconds cost memory.
    settings.queueing.idle_timeout = 0.1
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None  # it would kill the process, which only goes into standby
    return settings
