from __future__ import annotations

from pathlib import Path

import pytest

from luna_local.kubelet.paths import MountedPaths

MOUNTED = MountedPaths({"/data": Path("/pods/1/data"), "/data/inner": Path("/pods/1/inner"), "/run/x/": Path("/t")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "/pods/1/data"),
        ("/data/file", "/pods/1/data/file"),
        ("/data/inner/file", "/pods/1/inner/file"),
        ("--file=/data/file", "--file=/pods/1/data/file"),
        ("file:///data/clip.mp4", "file:///pods/1/data/clip.mp4"),
        ("/a:/data:/data/inner", "/a:/pods/1/data:/pods/1/inner"),
        ("cat /data/a '/data/b'", "cat /pods/1/data/a '/pods/1/data/b'"),
        ("/run/x/token", "/t/token"),
        ("/database", "/database"),
        ("/data-2/x", "/data-2/x"),
        ("/data.old", "/data.old"),
        ("/srv/data/x", "/srv/data/x"),
        ("http://host/data/x", "http://host/data/x"),
        ("rtsp://127.0.0.1:8554/data", "rtsp://127.0.0.1:8554/data"),
    ],
)
def test_mount_points_are_rewritten_where_they_are_paths_of_their_own(text: str, expected: str) -> None:
    assert MOUNTED.rewrite(text) == expected


def test_without_mounts_nothing_is_rewritten() -> None:
    assert MountedPaths({}).rewrite("/data") == "/data"
