"""The embedded server as a whole: composition, start and stop, and a few calls for the process it runs in.

    async with EmbeddedApiServer(Path("data")) as server:
        server.write_kubeconfig(Path("data/kubeconfig"))
        server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "luna-system"}})

It serves plain HTTP without authentication: bind it to loopback addresses only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import yaml

from luna_local.apiserver import crds, kinds
from luna_local.apiserver.app import App
from luna_local.apiserver.builtins import builtin_resources
from luna_local.apiserver.collector import Collector
from luna_local.apiserver.deletion import DeleteOptions, Deletions
from luna_local.apiserver.documents import Document, copy, section
from luna_local.apiserver.errors import ApiError, bad_request
from luna_local.apiserver.journal import Journal, open_journal
from luna_local.apiserver.lists import Lists
from luna_local.apiserver.objects import Objects, WriteOptions
from luna_local.apiserver.pods import LogProvider
from luna_local.apiserver.resources import DEFINITIONS, NAMESPACES, Registry, Resource, ResourceKey
from luna_local.apiserver.routes import Backend
from luna_local.apiserver.store import DELETED, Change, Store
from luna_local.apiserver.tokens import Tokens, load_key
from luna_local.apiserver.watches import Watches
from luna_local.serving import LoopbackServer

_MANAGER = "luna-streams"


class EmbeddedApiServer:
    """A Kubernetes API server in this process.

    Args:
        data_dir: where objects are kept; in memory only, unless given.
        host: loopback address to listen on.
        port: port; 0 chooses a free one.
        listener: a socket that listens on a loopback address already, in place of host and port; closed by `stop`.
        bookmark_interval_s: how often a quiet watch that asked for bookmarks gets one.

    Raises:
        DataFolderError: when the data folder cannot be used.
        ValueError: when `host` is no loopback address.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
        bookmark_interval_s: float = 30.0,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"{host} is not a loopback address, and the embedded API server has no authentication")
        self._address = (host, port)
        self._listener = listener
        self._journal: Journal | None = None if data_dir is None else open_journal(data_dir)
        self._registry = Registry()
        self._store = Store(self._journal)
        self._objects = Objects(self._store, self._registry)
        lists = Lists(self._store)
        self._backend = Backend(
            store=self._store,
            objects=self._objects,
            deletions=Deletions(self._store),
            lists=lists,
            watches=Watches(self._store, lists, bookmark_interval_s),
            tokens=Tokens(self._store, load_key(data_dir)),
        )
        self.app = App(self._registry, self._backend)
        self._serve_builtins()
        self._store.observe(self._on_definition)
        self._restore()
        self._collector = Collector(self._store, self._registry, self._objects, self._backend.deletions)
        self._ensure_namespaces()
        self._store.forget_history()
        self._http: LoopbackServer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # --- state ----------------------------------------------------------------------------------------------------

    def _serve_builtins(self) -> None:
        for resource in builtin_resources():
            self._registry.serve([resource])
            self._store.table(resource.key).index(resource.selectable)

    def _restore(self) -> None:
        if self._journal is None:
            return
        try:
            self._store.version = self._journal.load(self._store.restore) or self._store.version
            self._journal.begin(self._store.version)
        except BaseException:
            self._journal.release()
            raise
        for record in self._store.table(DEFINITIONS).select("", None):
            self._serve_definition(record.load())

    def _on_definition(self, resource: ResourceKey, change: Change) -> None:
        if resource != DEFINITIONS:
            return
        definition = change.record.load()
        if change.type == DELETED:
            key = _defined(definition)
            self._registry.withdraw(key)
            self._store.drop(key)
        else:
            self._serve_definition(definition)

    def _serve_definition(self, definition: Document) -> None:
        if not crds.is_established(definition):
            return
        is_ending = bool(definition["metadata"].get("deletionTimestamp"))
        resources = crds.resources_of(definition, is_ending=is_ending)
        self._registry.serve(resources)
        if resources:
            self._store.table(resources[0].key).index(resources[0].selectable)

    def _ensure_namespaces(self) -> None:
        for name in kinds.SYSTEM_NAMESPACES:
            if self._store.get(NAMESPACES, ("", name)) is None:
                self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and begin to collect garbage.

        Raises:
            OSError: when the address is taken.
        """
        listener = self._listener or _listen(*self._address)
        self._address = listener.getsockname()[:2]
        logging.getLogger("uvicorn.error").addFilter(_is_no_upgrade_warning)
        self._http = LoopbackServer(self.app, listener)
        await self._http.start()
        self._tasks = [asyncio.create_task(self._collector.run(), name="api-server-collector")]
        if self._journal is not None:
            keeping = self._journal.keep(self._store.everything)
            self._tasks.append(asyncio.create_task(keeping, name="api-server-journal"))

    async def stop(self) -> None:
        """End all watches, stop listening and close the journal."""
        self._backend.stopping.set()
        if self._http is not None:
            await self._http.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._journal is not None:
            self._journal.close(self._store.version)

    async def __aenter__(self) -> EmbeddedApiServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # --- for the process it runs in -------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens, once started."""
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def storage_trouble(self) -> str:
        """Why nothing can be saved at present; "" when it can."""
        return self._journal.trouble if self._journal is not None else ""

    @property
    def log_provider(self) -> LogProvider | None:
        """Who has the logs of Pods."""
        return self._backend.log_provider

    @log_provider.setter
    def log_provider(self, provider: LogProvider | None) -> None:
        self._backend.log_provider = provider

    def write_kubeconfig(self, path: Path) -> None:
        """Write a kubeconfig for this server; kubectl and client libraries need nothing else."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "luna",
            "clusters": [{"name": "luna", "cluster": {"server": self.url}}],
            "contexts": [{"name": "luna", "context": {"cluster": "luna", "user": "luna", "namespace": "default"}}],
            "users": [{"name": "luna", "user": {}}],
        }
        unfinished = path.with_name(path.name + ".new")
        unfinished.write_text(yaml.safe_dump(config, sort_keys=False))
        unfinished.replace(path)

    def apply(self, manifest: Document) -> Document:
        """Create or update an object by server-side apply, taking over conflicting fields; return it.

        Raises:
            ApiError: when it is refused.
        """
        resource, name, namespace = self._locate(manifest)
        options = WriteOptions(_MANAGER, force=True)
        written = self._objects.apply(resource, (namespace, name), copy(manifest), options)
        return written.record.load()

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Document | None:
        """Return an object, or None if there is none."""
        resource = self._resource(api_version, kind)
        record = self._store.get(resource.key, (namespace if resource.is_namespaced else "", name))
        return None if record is None else record.load()

    def list(self, api_version: str, kind: str, namespace: str = "") -> Iterator[Document]:
        """Yield the objects of a kind, of all namespaces unless one is given."""
        for record in self._store.table(self._resource(api_version, kind).key).select(namespace, None):
            yield record.load()

    def delete(self, api_version: str, kind: str, name: str, namespace: str = "") -> None:
        """Delete an object, if there is one.

        Raises:
            ApiError: when it is refused.
        """
        resource = self._resource(api_version, kind)
        if self.get(api_version, kind, name, namespace) is not None:
            self._backend.deletions.delete(
                resource, (namespace if resource.is_namespaced else "", name), DeleteOptions()
            )

    def _locate(self, manifest: Document) -> tuple[Resource, str, str]:
        resource = self._resource(str(manifest.get("apiVersion")), str(manifest.get("kind")))
        metadata = section(manifest, "metadata")
        if not metadata.get("name"):
            raise bad_request("metadata.name: Required value")
        namespace = metadata.get("namespace") or "default"
        return resource, metadata["name"], namespace if resource.is_namespaced else ""

    def _resource(self, api_version: str, kind: str) -> Resource:
        resource = self._registry.of_kind(api_version, kind)
        if resource is None:
            raise ApiError(404, "NotFound", f"no resource of kind {kind} in {api_version}")
        return resource


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol must be named: asyncio sets TCP_NODELAY on sockets that say they are TCP, and without it every
    # answer waits 40 ms for a delayed acknowledgement between its head and its body.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _defined(definition: Document) -> ResourceKey:
    spec = definition["spec"]
    return (spec["group"], spec["names"]["plural"])


def _is_no_upgrade_warning(record: logging.LogRecord) -> bool:
    """Drop uvicorn's advice to install a WebSocket library: ``kubectl exec`` is answered 501, and that is meant."""
    return "WebSocket library" not in record.getMessage() and "upgrade request" not in record.getMessage()
