"""kubectl as a test runs it: every version found on this machine, against one server, with a cache of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.apiservers import kubernetes_assets
from support.waiting import PATIENCE_S

# Which kubectl: the one people have, and the one that comes with kube-apiserver (the newest).
KUBECTLS = ("on the path", "of the assets")


def find_kubectl(which: str) -> Path:
    """Return one of KUBECTLS; skip the test if it is not on this machine."""
    if which == "on the path":
        found = shutil.which("kubectl")
        if found is None:
            pytest.skip("no kubectl on the path")
        return Path(found)
    assets = kubernetes_assets()
    if assets is None or not (assets / "kubectl").exists():
        pytest.skip("no kubectl among the assets: set KUBEBUILDER_ASSETS to a folder with one")
    return assets / "kubectl"


_TIMEOUT_S = 130.0
"""For one command; those that wait say themselves for how long."""


@dataclass(frozen=True)
class Outcome:
    """What a run of kubectl came to."""

    code: int
    out: str
    err: str


class Kubectl:
    """Runs kubectl, in a namespace of its own or in the default one."""

    def __init__(self, program: Path, kubeconfig: Path, folder: Path, namespace: str = "default") -> None:
        self._command = [
            str(program), f"--kubeconfig={kubeconfig}", f"--cache-dir={folder / 'cache'}", f"--namespace={namespace}",
        ]  # fmt: skip
        self._folder = folder

    async def __call__(self, *arguments: str, stdin: Any = None) -> str:
        """Run a command that must succeed; return what it printed. `stdin` may be a manifest."""
        outcome = await self.run(*arguments, stdin=stdin)
        assert outcome.code == 0, f"kubectl {' '.join(arguments)}: {outcome.err}"
        return outcome.out

    async def run(self, *arguments: str, stdin: Any = None) -> Outcome:
        """Run a command, whatever comes of it."""
        process = await self.start(*arguments)
        text = yaml.safe_dump(stdin).encode() if stdin is not None else b""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                out, err = await process.communicate(text)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return Outcome(process.returncode or 0, out.decode(), err.decode())

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command that goes on; end it by `stop`."""
        return await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder)},
        )

    @staticmethod
    async def stop(process: asyncio.subprocess.Process) -> None:
        """End a command that was started."""
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def read_line(process: asyncio.subprocess.Process, within_s: float = PATIENCE_S) -> str:
    """Return the next line a running command prints."""
    assert process.stdout is not None
    async with asyncio.timeout(within_s):
        return (await process.stdout.readline()).decode().rstrip("\n")
