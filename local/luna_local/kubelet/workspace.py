"""What the containers of one Pod share: its folder, address, volumes, and how their commands are made ready."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from luna_kube import ApiError
from luna_local.kubelet.cluster import PodCluster
from luna_local.kubelet.environment import (
    PodFacts,
    Sources,
    container_environment,
    expand,
    referenced_objects,
)
from luna_local.kubelet.errors import ContainerConfigError, MountError
from luna_local.kubelet.paths import MountedPaths
from luna_local.kubelet.pod import Container, Pod
from luna_local.kubelet.process import Command
from luna_local.kubelet.volumes import PodVolumes

# What a container gets of this machine's environment, as it would get it from its image.
_INHERITED = ("LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "CUDA_VISIBLE_DEVICES")


class PodWorkspace:
    """The folder of a Pod: `volumes/`, `logs/` and `home/`, where its processes start."""

    def __init__(self, pod: Pod, facts: PodFacts, folder: Path, cluster: PodCluster) -> None:
        self._pod = pod
        self._facts = facts
        self._cluster = cluster
        self._folder = folder
        self.logs = folder / "logs"
        self._home = folder / "home"
        self.volumes = PodVolumes(pod, facts, folder / "volumes", cluster)

    def make(self) -> None:
        """Make the folder; only this user may look into it, it holds tokens and Secrets.

        Raises:
            MountError: if that is not possible now.
        """
        try:
            for folder in (self._folder, self.logs, self._home):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as e:
            raise MountError(f"the Pod's folder cannot be made: {e}") from e

    def remove(self) -> None:
        """Delete everything the Pod left, its logs included."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def command(self, container: Container) -> Command:
        """Return what a container runs, with every reference resolved and every mounted path in place.

        Raises:
            ContainerConfigError: if something it refers to does not exist (yet).
        """
        mounted = self.volumes.mounted(container)
        base = self._base_environment(mounted)
        environment = container_environment(container, base, await self._sources(container))
        arguments = [expand(text, environment) for text in (*container.command, *container.args)]
        directory = Path(mounted.rewrite(container.working_dir)) if container.working_dir else self._home
        if not directory.is_dir():
            raise ContainerConfigError(f"workingDir {container.working_dir} does not exist")
        # The base holds paths of this machine: only what the manifest says is about the container's own paths.
        own = {name: mounted.rewrite(text) for name, text in environment.items() if base.get(name) != text}
        return Command(tuple(mounted.rewrite(text) for text in arguments), {**base, **own}, directory)

    def probe_arguments(self, container: Container, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command of an exec probe with mounted paths in place; references are not resolved there."""
        mounted = self.volumes.mounted(container)
        return tuple(mounted.rewrite(text) for text in arguments)

    async def _sources(self, container: Container) -> Sources:
        namespace = self._pod.metadata.namespace
        try:
            objects = {key: await self._cluster.read_data(namespace, key) for key in set(referenced_objects(container))}
        except ApiError as e:
            raise ContainerConfigError(str(e)) from e
        return Sources(self._pod, self._facts, objects)

    def _base_environment(self, mounted: MountedPaths) -> dict[str, str]:
        # The interpreter's own folder first: `luna-streams` and `python` mean the ones this process runs with.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        own = {
            "PATH": path,
            "HOME": str(self._home),
            "HOSTNAME": self._pod.metadata.name,
            "PYTHONUNBUFFERED": "1",
            # A Pod that mounts a volume at /tmp gets its temporary files there; others share the machine's.
            "TMPDIR": mounted.rewrite("/tmp"),  # noqa: S108
        }
        return {"LANG": "C.UTF-8", **inherited, **own}
