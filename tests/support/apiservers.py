"""Kubernetes API servers for tests: the embedded one and a real kube-apiserver, behind one description.

``tests/conftest.py`` imports the fixtures, so a test only asks for them:

* ``embedded_api``: this project's embedded server, in a thread of its own, on a free port, without a data folder.
* ``real_api``: kube-apiserver with etcd and the garbage collector of kube-controller-manager. Skips when there are
  no binaries: set ``KUBEBUILDER_ASSETS``, or keep the cluster kit in ``<repository>/../shared/cluster``.
* ``any_api``: each test runs once against either (the real one carries the marker ``apiserver``), unless it has the
  mark ``on_embedded_api``: what it tests is the same whoever serves the API.

All are session-scoped: use names of your own (``unique()``), never assume an empty server.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from luna_local.apiserver import EmbeddedApiServer
from support.waiting import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class ApiServer:
    """Where a Kubernetes API server is and how to speak to it as its administrator."""

    name: str
    url: str
    kubeconfig: Path
    headers: dict[str, str] = field(default_factory=dict)
    ssl: ssl.SSLContext | None = None
    audit_log: Path | None = None
    """Where kube-apiserver tells who asked for what and who allowed it, a line of JSON each (support/audit.py)."""

    def client_options(self) -> dict[str, Any]:
        """Return what an httpx client needs to be let in."""
        return {"headers": self.headers, "verify": self.ssl or False}

    @property
    def is_real(self) -> bool:
        """Whether this is kube-apiserver, not the embedded server."""
        return self.name == "kube-apiserver"


def unique(prefix: str = "t") -> str:
    """Return a DNS label nobody else uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def embedded_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The embedded server, running in a thread with its own event loop."""
    with embedded_server(tmp_path_factory.mktemp("embedded-api")) as server:
        yield server


@pytest.fixture(scope="session")
def real_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real kube-apiserver with etcd and kube-controller-manager; skips when there are no binaries."""
    assets = kubernetes_assets()
    if assets is None:
        pytest.skip("no kube-apiserver: set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver")
    with real_server(assets, tmp_path_factory.mktemp("real-api")) as server:
        yield server


@pytest.fixture(
    scope="session",
    params=["embedded_api", pytest.param("real_api", marks=pytest.mark.apiserver)],
    ids=["embedded", "kube-apiserver"],
)
def any_api(request: pytest.FixtureRequest) -> ApiServer:
    """Either server, one after the other."""
    server: ApiServer = request.getfixturevalue(request.param)
    return server


on_embedded_api = pytest.mark.parametrize("any_api", ["embedded_api"], ids=["embedded"], indirect=True)


# --- the embedded server ------------------------------------------------------------------------------------------


@contextmanager
def embedded_server(folder: Path, *, data_dir: Path | None = None) -> Iterator[ApiServer]:
    """Run an embedded server in a thread; `folder` receives its kubeconfig."""
    started = threading.Event()
    stop: asyncio.Event | None = None
    loop = asyncio.new_event_loop()
    server = EmbeddedApiServer(data_dir, bookmark_interval_s=2.0)

    async def main() -> None:
        nonlocal stop
        stop = asyncio.Event()
        await server.start()
        started.set()
        await stop.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), name="embedded-api")
    thread.start()
    try:
        if not started.wait(PATIENCE_S):
            raise RuntimeError("the embedded API server does not start")
        kubeconfig = folder / "kubeconfig"
        server.write_kubeconfig(kubeconfig)
        yield ApiServer("embedded", server.url, kubeconfig)
    finally:
        if stop is not None:
            loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        loop.close()


# --- the real server ----------------------------------------------------------------------------------------------


@cache
def kubernetes_assets() -> Path | None:
    """Return a folder holding etcd and kube-apiserver, or None."""
    if folder := os.environ.get("KUBEBUILDER_ASSETS"):
        return Path(folder)
    kit = REPOSITORY.parent / "shared" / "cluster" / "cluster"
    if not kit.exists():
        return None
    answer = subprocess.run([kit, "assets"], capture_output=True, text=True, timeout=300, check=False)
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None


def free_port() -> int:
    """Return a TCP port nobody listens on at this moment (these programs cannot bind port 0 themselves)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    # Only ServiceAccounts: what the programs do is of interest, not what tests do as administrator.
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}


@contextmanager
def real_server(assets: Path, folder: Path) -> Iterator[ApiServer]:
    """Run etcd, kube-apiserver and kube-controller-manager (service accounts, garbage, namespaces) in `folder`."""
    with ExitStack() as stack:
        etcd = f"http://127.0.0.1:{free_port()}"
        peer = f"http://127.0.0.1:{free_port()}"
        stack.enter_context(_process(folder, assets / "etcd", [
            f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        ]))  # fmt: skip
        _wait_for(etcd + "/health")
        token, port = secrets.token_urlsafe(16), free_port()
        (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        (folder / "audit.json").write_text(json.dumps(_AUDIT_POLICY))
        _openssl("genrsa", "-out", str(folder / "sa.key"), "2048")
        _openssl("rsa", "-in", str(folder / "sa.key"), "-pubout", "-out", str(folder / "sa.pub"))
        stack.enter_context(_process(folder, assets / "kube-apiserver", [
            f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}",
            f"--cert-dir={folder / 'certificates'}", f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            f"--audit-policy-file={folder / 'audit.json'}", f"--audit-log-path={folder / 'audit.log'}",
        ]))  # fmt: skip
        server = _describe(folder, f"https://127.0.0.1:{port}", token)
        _wait_for(server.url + "/readyz", server)
        stack.enter_context(_process(folder, assets / "kube-controller-manager", [
            f"--kubeconfig={server.kubeconfig}", "--leader-elect=false", "--secure-port=0",
            f"--service-account-private-key-file={folder / 'sa.key'}",
            "--controllers=serviceaccount-controller,garbage-collector-controller,namespace-controller",
        ]))  # fmt: skip
        _wait_for(server.url + "/api/v1/namespaces/default/serviceaccounts/default", server)
        yield server


def _describe(folder: Path, url: str, token: str) -> ApiServer:
    kubeconfig = folder / "kubeconfig"
    cluster = {"server": url, "insecure-skip-tls-verify": True}
    kubeconfig.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }))  # fmt: skip
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {token}"}
    return ApiServer("kube-apiserver", url, kubeconfig, headers, trusting, folder / "audit.log")


@contextmanager
def _process(folder: Path, program: Path, arguments: list[str]) -> Iterator[None]:
    """Run a program until the block is left; when the block fails, the last lines of its log are shown."""
    path = folder / f"{program.name}.log"
    with path.open("wb") as log:
        child = subprocess.Popen([program, *arguments], stdout=log, stderr=log, preexec_fn=die_with_parent)
        try:
            yield
        except TimeoutError as error:
            last_lines = path.read_text(errors="replace").splitlines()[-5:]
            error.add_note("\n".join([f"{program.name} ({child.poll()}):", *last_lines]))
            raise
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def die_with_parent() -> None:
    """Ask the kernel to end this process when the test run is killed and cannot end it itself."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


def _wait_for(url: str, server: ApiServer | None = None, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if httpx.get(url, **(server.client_options() if server else {}), timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} did not answer within {timeout_s:g} s")
        time.sleep(0.1)
