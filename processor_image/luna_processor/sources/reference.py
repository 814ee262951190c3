"""Which references may be opened, and how: nothing but the schemes and containers that cameras and recordings use.

FFmpeg understands far more than a stream may ask for (`concat:`, `subfile:`, playlists that name local files, ...), so
protocols and containers are lists of what is allowed, given to FFmpeg as well, since a playlist or a redirect may name
further addresses.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from luna_processor.errors import SourceFailed, UnsuitableStream

NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https")
_NETWORK_PROTOCOLS = "rtsp,rtsps,rtp,rtcp,http,https,tls,tcp,udp,crypto,httpproxy"
_FILE_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc,ivf,m4v,gif"
_NETWORK_FORMATS = _FILE_FORMATS + ",rtsp,hls,mjpeg,mpjpeg"
_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.\-]*):")

SourceKind = Literal["tcp", "videofile"]


@dataclass(frozen=True, slots=True)
class Opening:
    """What FFmpeg is told to open."""

    url: str = field(repr=False)
    """With user info: never for a log."""
    options: dict[str, str]
    shown_as: str
    """The reference without user info."""
    is_live: bool


def opening(kind: SourceKind, reference: str, shown_as: str) -> Opening:
    """Return how a reference is opened.

    Args:
        kind: type of the stream.
        reference: URL or path, with user info.
        shown_as: the same without.

    Raises:
        UnsuitableStream: if it is nothing that a stream of this type may open.
        SourceFailed: if the file is not there or cannot be read.
    """
    scheme = _SCHEME.match(reference)
    if kind == "videofile":
        if scheme:
            raise UnsuitableStream(f"a stream of type videofile reads a file by its path, not '{shown_as}'")
        _check_file(Path(reference))
        options = {"protocol_whitelist": "file", "format_whitelist": _FILE_FORMATS}
        return Opening(f"file:{reference}", options, shown_as, is_live=False)
    name = scheme[1].lower() if scheme else ""
    if name not in NETWORK_SCHEMES:
        raise UnsuitableStream(
            f"a stream of type tcp reads {', '.join(NETWORK_SCHEMES[:-1])} or {NETWORK_SCHEMES[-1]}, not '{shown_as}'"
        )
    options = {"protocol_whitelist": _NETWORK_PROTOCOLS, "format_whitelist": _NETWORK_FORMATS}
    if name in ("rtsp", "rtsps"):
        options["rtsp_transport"] = "tcp"
    return Opening(reference, options, shown_as, is_live=True)


def _check_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as e:
        raise SourceFailed(f"video file '{path}' cannot be opened: {e.strerror}") from e
    if stat.S_ISDIR(mode):
        raise SourceFailed(f"video file '{path}' is a directory")
    if not stat.S_ISREG(mode):
        raise SourceFailed(f"video file '{path}' is not a regular file")
