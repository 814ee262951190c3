"""The cluster of `luna-streams up`: API server, inbox and kubelet in this process, started and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

import luna_kube
from luna_kube import LEASES, PODS, KubeClient, NotFound, load_credentials
from luna_local.apiserver import ApiError, DataFolderError, EmbeddedApiServer
from luna_local.inbox.app import Inbox, inbox_server
from luna_local.kubelet.kubelet import Kubelet, KubeletSettings
from luna_local.kubelet.pod import Pod
from luna_local.up import manifests
from luna_local.up.errors import UpError
from luna_local.up.folder import DataFolder
from luna_local.up.manifests import OPERATOR, SHIM, SYSTEM_NAMESPACE, Addresses
from luna_local.up.options import Options
from luna_local.up.ports import preferred_listener, rest_port


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """What runs in this process.

    Attributes:
        crashed: done only if the kubelet ended by itself, which it never should.
    """

    addresses: Addresses
    server: EmbeddedApiServer
    client: KubeClient
    inbox: Inbox
    kubelet: Kubelet
    crashed: asyncio.Future[None]


@contextlib.asynccontextmanager
async def local_cluster(options: Options, folder: DataFolder) -> AsyncIterator[LocalCluster]:
    """Run the cluster for the length of the block; at its end every process has ended.

    Raises:
        UpError: if a port is taken, or the folder cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(rest_port(options.port))
        server = await stack.enter_async_context(_api_server(folder, port + 1 if options.port else 0))
        inbox, inbox_url = await stack.enter_async_context(_inbox(folder, port + 2 if options.port else 0))
        credentials = await load_credentials(folder.kubeconfig)
        client = await stack.enter_async_context(KubeClient(credentials, user_agent="luna-streams-up"))
        addresses = Addresses(port, folder.kubeconfig, inbox_url, folder.logs)
        await _forget_last_run(server, client)
        _furnish(server, options, addresses)
        settings = KubeletSettings(folder.pods, unlink_at_end=(folder.endpoints,), guardian_keeps=(folder.lock,))
        kubelet = Kubelet(client, settings)
        server.log_provider = kubelet
        async with _running(kubelet) as running:
            yield LocalCluster(addresses, server, client, inbox, kubelet, running)


@contextlib.asynccontextmanager
async def _api_server(folder: DataFolder, wanted_port: int) -> AsyncIterator[EmbeddedApiServer]:
    listener = preferred_listener(wanted_port)
    try:
        server = EmbeddedApiServer(folder.kubernetes, listener=listener)
    except DataFolderError as e:
        listener.close()
        raise UpError(str(e)) from e
    except ApiError as e:
        listener.close()
        raise _refused(e) from e
    async with server:
        server.write_kubeconfig(folder.kubeconfig)
        yield server


@contextlib.asynccontextmanager
async def _inbox(folder: DataFolder, wanted_port: int) -> AsyncIterator[tuple[Inbox, str]]:
    try:
        inbox = Inbox.opened(folder.inbox)
    except OSError as e:
        raise UpError(f"the inbox {folder.inbox} cannot be used: {e.strerror}") from e
    server = inbox_server(inbox, preferred_listener(wanted_port))
    await server.start()
    try:
        yield inbox, server.url
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def _running(kubelet: Kubelet) -> AsyncIterator[asyncio.Future[None]]:
    task = asyncio.create_task(kubelet.run(), name="kubelet")
    ready = asyncio.create_task(kubelet.ready.wait())
    try:
        await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield task
        await _stop_in_order(kubelet)
        kubelet.stop()
        await task
    finally:
        # Also when somebody lost patience: the guardian kills what is left.
        ready.cancel()
        task.cancel()
        await asyncio.wait([task])


async def _stop_in_order(kubelet: Kubelet) -> None:
    """Stop the operator first, so that it sees no dying Pods to replace; the shim last, to hear the last reports."""

    def is_system(pod: Pod, name: str) -> bool:
        return pod.metadata.namespace == SYSTEM_NAMESPACE and pod.metadata.name == name

    await kubelet.stop_pods(lambda pod: is_system(pod, OPERATOR))
    await kubelet.stop_pods(lambda pod: not is_system(pod, SHIM))


async def _forget_last_run(server: EmbeddedApiServer, client: KubeClient) -> None:
    """Remove what stood for processes of an earlier run: its Pods of shim and operator, and their Leases.

    Raises:
        UpError: if the API server cannot save that.
    """
    try:
        await _remove_system_objects(server, client)
    except luna_kube.ApiError as e:
        raise UpError(f"{e}; make room, or choose another --data") from e


async def _remove_system_objects(server: EmbeddedApiServer, client: KubeClient) -> None:
    for pod in list(server.list("v1", "Pod", SYSTEM_NAMESPACE)):
        with contextlib.suppress(NotFound):
            await client.delete(PODS.at(SYSTEM_NAMESPACE, pod["metadata"]["name"]), grace_period_s=0)
    for lease in list(server.list("coordination.k8s.io/v1", "Lease", SYSTEM_NAMESPACE)):
        with contextlib.suppress(NotFound):
            await client.delete(LEASES.at(SYSTEM_NAMESPACE, lease["metadata"]["name"]))


def _refused(error: ApiError) -> UpError:
    if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
        return UpError(f"{error}; make room, or choose another --data")
    return UpError(f"the API server refuses what belongs into it: {error}")


def _furnish(server: EmbeddedApiServer, options: Options, addresses: Addresses) -> None:
    """Put into the cluster what belongs there."""
    try:
        for definition in manifests.custom_resource_definitions():
            server.apply(definition)
        server.apply(manifests.namespace(SYSTEM_NAMESPACE))
        server.apply(manifests.shim_pod(addresses))
        server.apply(manifests.operator_pod(addresses))
        if options.processors:
            server.apply(manifests.default_pool(options.processors))
        else:
            server.delete("lunastreams.dev/v1alpha1", "StreamProcessor", manifests.POOL, manifests.USER_NAMESPACE)
    except ApiError as e:
        raise _refused(e) from e
    except FileNotFoundError as e:
        raise UpError(str(e)) from e
