"""Where the cluster is and how to authenticate: a kubeconfig, or the pod's own ServiceAccount.

The `kubernetes` package reads both (contexts, certificates, exec plugins, OIDC); this module asks it, keeps the
answer fresh and turns its complaints into one line. In a pod the token file is read again every minute (the
library's hook); a kubeconfig is read again after the server refused the credentials (401), which covers rotated
token files, expired exec tokens and renewed client certificates alike.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from yaml import YAMLError

from luna_kube.errors import NotConfigured

log = logging.getLogger(__name__)

# A refused credential is not read again more often than this: an exec plugin may open a browser.
_RELOAD_INTERVAL_S = 10.0

Loader = Callable[[], Awaitable[Configuration]]


class Credentials:
    """The address of an API server and what is sent along to it.

    Attributes:
        server: the base address, without a trailing slash.
        ssl_context: for https servers; None for plain http.
        server_hostname: the name the certificate must carry, if it is not the address's.
        proxy: the address of an HTTP proxy, or None.
    """

    def __init__(self, configuration: Configuration, loader: Loader | None = None) -> None:
        self._loader = loader
        self._loaded_at = time.monotonic()
        self._lock = asyncio.Lock()
        self._adopt(configuration)

    def _adopt(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self.server: str = configuration.host.rstrip("/")
        self.ssl_context = _ssl_context(configuration) if self.server.startswith("https:") else None
        self.server_hostname: str | None = configuration.tls_server_name
        self.proxy: str | None = configuration.proxy

    @property
    def generation(self) -> float:
        """A mark of the present credentials; pass it to `reload` when they were refused."""
        return self._loaded_at

    async def headers(self) -> dict[str, str]:
        """Return the headers that authenticate a request; the token file of a pod is read again when due."""
        value = await self._configuration.get_api_key_with_prefix("BearerToken")
        return {"Authorization": value} if value else {}

    async def reload(self, refused: float) -> bool:
        """Read the configuration again because the server refused the credentials of that generation.

        Returns:
            True if there are newer ones to try, which another task may have read meanwhile.
        """
        async with self._lock:
            if self._loaded_at != refused:
                return True
            if self._loader is None or time.monotonic() - self._loaded_at < _RELOAD_INTERVAL_S:
                return False
            self._loaded_at = time.monotonic()
            try:
                self._adopt(await self._loader())
            except NotConfigured as e:  # e.g. half-written; the refusal stands, the next one reads it again
                log.warning("the credentials were refused, and there are no others: %s", e)
                return False
            return True


async def load_credentials(kubeconfig: str | Path | None = None, context: str | None = None) -> Credentials:
    """Find the cluster: the given kubeconfig, else $KUBECONFIG, else the pod's own account, else ~/.kube/config.

    Raises:
        NotConfigured: if there is none, or it cannot be read; the text says what to do.
    """
    path = str(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG", "")
    if not path and "KUBERNETES_SERVICE_HOST" in os.environ:
        return Credentials(_in_cluster())
    path = path or str(Path.home() / ".kube" / "config")

    async def load() -> Configuration:
        return await _from_kubeconfig(path, context)

    return Credentials(await load(), load)


def _in_cluster() -> Configuration:
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # no annotations there
    except (ConfigException, OSError) as e:
        raise NotConfigured(f"the pod's ServiceAccount cannot be used: {e}") from e
    return configuration


async def _from_kubeconfig(path: str, context: str | None) -> Configuration:
    if not any(Path(part).expanduser().is_file() for part in path.split(os.pathsep) if part):
        raise NotConfigured(
            f"no cluster: there is no kubeconfig at {path}; set KUBECONFIG or pass --kubeconfig FILE, "
            "or run `luna-streams up` for a local one"
        )
    configuration = Configuration()
    try:
        await load_kube_config(path, context, configuration, persist_config=False)  # type: ignore[no-untyped-call]  # as above
    except (ConfigException, OSError, YAMLError, ValueError, TypeError, KeyError, AttributeError) as e:
        # Wrongly shaped files surface as any of these. The library's texts may quote the entry they complain about,
        # token included: keep what stands before, and drop the chain.
        reason = str(e).partition(" in ")[0] if isinstance(e, ConfigException | OSError) else type(e).__name__
        raise NotConfigured(f"the kubeconfig {path} cannot be used: {reason}") from None
    return configuration


def _ssl_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Cluster authorities are often made by hand and miss extensions that Python 3.13's strict mode wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
