"""Volumes of a Pod as folders: written before its containers start, tokens renewed while it lives.

A volume becomes `volumes/NAME` below the Pod's own folder; a hostPath is the path itself. Files are replaced
atomically, so a reader sees the old token or the new one, never half of one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from luna_kube import ApiError
from luna_local.kubelet.cluster import PodCluster
from luna_local.kubelet.environment import ObjectKey, PodFacts, field_value
from luna_local.kubelet.errors import ContainerConfigError, MountError
from luna_local.kubelet.paths import MountedPaths
from luna_local.kubelet.pod import Container, DownwardSource, FilesSource, Pod, ProjectedSource, TokenSource, Volume

# A token is renewed when this share of its life is over, as kubelets do.
_TOKEN_LIFE_SHARE = 0.8
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700


@dataclass(frozen=True, slots=True)
class Content:
    """Files of a volume and the moment by which they must be written again, None for never."""

    files: Mapping[str, bytes]
    renew_at: datetime | None = None


class PodVolumes:
    """The volumes of one Pod."""

    def __init__(self, pod: Pod, facts: PodFacts, folder: Path, cluster: PodCluster) -> None:
        self._pod = pod
        self._facts = facts
        self._folder = folder
        self._cluster = cluster
        self._roots: dict[str, Path] = {}

    async def write(self) -> datetime | None:
        """Write every volume; return when that has to be done again.

        Raises:
            MountError: if a volume cannot be provided now; the text names it.
        """
        times = [await self._write_one(volume) for volume in self._pod.spec.volumes]
        return min((time for time in times if time is not None), default=None)

    def mounted(self, container: Container) -> MountedPaths:
        """Return where a container's mount points lie.

        Raises:
            ContainerConfigError: if it mounts a volume that the Pod does not have, or a folder cannot be made.
        """
        folders: dict[str, Path] = {}
        for mount in container.volume_mounts:
            if mount.name not in self._roots:
                raise ContainerConfigError(f"volume {mount.name!r} is mounted but not defined")
            root = self._roots[mount.name]
            folders[mount.mount_path] = root / _inner_path(mount.sub_path) if mount.sub_path else root
        for folder in folders.values():
            if not folder.exists():
                _make(folder)
        return MountedPaths(folders)

    async def _write_one(self, volume: Volume) -> datetime | None:
        try:
            if volume.host_path is not None:
                self._roots[volume.name] = _host_path(Path(volume.host_path.path), volume.host_path.type)
                return None
            root = self._folder / volume.name
            root.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
            content = await self._content(volume)
            for name, data in content.files.items():
                _replace_file(root / _inner_path(name), data)
        except (ApiError, ContainerConfigError, OSError) as e:
            raise MountError(f'MountVolume.SetUp failed for volume "{volume.name}": {e}') from e
        self._roots[volume.name] = root
        return content.renew_at

    async def _content(self, volume: Volume) -> Content:
        if volume.empty_dir is not None:
            return Content({})
        if volume.secret is not None:
            return Content(await self._files("Secret", volume.secret))
        if volume.config_map is not None:
            return Content(await self._files("ConfigMap", volume.config_map))
        if volume.downward_api is not None:
            return Content(self._fields(volume.downward_api))
        if volume.projected is not None:
            return _together([await self._projected(source) for source in volume.projected.sources])
        raise ContainerConfigError("this kind of volume is not supported by the local kubelet")

    async def _projected(self, source: ProjectedSource) -> Content:
        if source.service_account_token is not None:
            return await self._token(source.service_account_token)
        if source.secret is not None:
            return Content(await self._files("Secret", source.secret))
        if source.config_map is not None:
            return Content(await self._files("ConfigMap", source.config_map))
        if source.downward_api is not None:
            return Content(self._fields(source.downward_api))
        raise ContainerConfigError("this kind of projected source is not supported by the local kubelet")

    async def _token(self, source: TokenSource) -> Content:
        token = await self._cluster.request_token(self._pod, source)
        now = datetime.now(UTC)
        return Content({source.path: token.value.encode()}, now + (token.expires_at - now) * _TOKEN_LIFE_SHARE)

    async def _files(self, kind: str, source: FilesSource) -> dict[str, bytes]:
        data = await self._cluster.read_data(self._pod.metadata.namespace, ObjectKey(kind, source.object_name))
        if data is None:
            if source.optional:
                return {}
            raise ContainerConfigError(f'{kind.lower()} "{source.object_name}" not found')
        if not source.items:
            return dict(data)
        missing = [item.key for item in source.items if item.key not in data]
        if missing and not source.optional:
            raise ContainerConfigError(f'{kind.lower()} "{source.object_name}" has no key {missing[0]!r}')
        return {item.path: data[item.key] for item in source.items if item.key in data}

    def _fields(self, source: DownwardSource) -> dict[str, bytes]:
        return {
            item.path: field_value(item.field_ref.field_path, self._pod, self._facts).encode()
            for item in source.items
            if item.field_ref is not None
        }


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, mode=_FOLDER_MODE)
    except OSError as e:
        raise ContainerConfigError(f"{folder} cannot be made: {e.strerror}") from e


def _together(parts: list[Content]) -> Content:
    files = {name: data for part in parts for name, data in part.files.items()}
    return Content(files, min((part.renew_at for part in parts if part.renew_at is not None), default=None))


def _inner_path(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ContainerConfigError(f"the path {name!r} leaves its volume")
    return path


def _host_path(path: Path, kind: str) -> Path:
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    elif (kind == "Directory" and not path.is_dir()) or (kind == "File" and not path.is_file()):
        raise ContainerConfigError(f"hostPath type check failed: {path} is not a {kind.lower()}")
    return path


def _replace_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
