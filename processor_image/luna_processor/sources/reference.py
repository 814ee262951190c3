"""Which references may be opened, and how: nothing but the schemes and containers that cameras and recordings use.

FFmpeg understands far more than a stream may ask for (`concat:`, `subfile:`, playlists that name local files, ...), so
protocols and containers are lists of what is allowed, given to FFmpeg as well, since a playlist or a redirect may name
further addresses.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, urlsplit

from luna_processor.errors import SourceFailed, UnsuitableStream
from luna_processor.streams.plan import SourcePlan
from luna_streams.references import TRANSPORT_SCHEMES

_NETWORK_PROTOCOLS = "rtsp,rtsps,rtp,rtcp,http,https,tls,tcp,udp,crypto,httpproxy"
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc,ivf,m4v,gif,"
    "mjpeg,jpeg_pipe"
)
_NETWORK_FORMATS = _FILE_FORMATS + ",rtsp,hls,mpjpeg"
_MERGED_PROGRAMS: Final = {"merge_pmt_versions": "1"}
"""A transport stream whose video goes on under another number, or in another codec, goes on for FFmpeg, too."""
_USUAL_ANALYSIS_S: Final = 5.0
"""Longest time of a video that FFmpeg looks at before it is open, unless told otherwise."""
_HTTP_ANALYSIS_S: Final = 1.0
"""Bare JPEGs are taken for a film of 25 a second, of which a slow camera gives the usual time in half a minute."""
_UDP_OPTIONS: Final = ("localaddr", "sources", "block", "reuse", "ttl", "buffer_size")
"""What may stand in the query of `udp://`: FFmpeg's others take memory without bound, or write."""
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*):")
_DEVICE = re.compile(r"/dev/(?:video[0-9]{1,3}|v4l/by-(?:id|path)/[\w.:+@-]+)")
_VIDEO4LINUX: Final = 81
"""Major number of its devices."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What FFmpeg is told to open."""

    url: str = field(repr=False)
    """With user info: never for a log."""
    options: dict[str, str]
    shown_as: str
    """The reference without user info."""
    is_live: bool
    format: Literal["v4l2"] | None = None
    """None lets FFmpeg find out."""


def opening(plan: SourcePlan) -> Opening:
    """Return how a video is opened.

    Args:
        plan: of any type but images.

    Raises:
        UnsuitableStream: if it is nothing that a stream of this type may open.
        SourceFailed: if the file or device is not there or is no such thing.
    """
    if plan.kind not in TRANSPORT_SCHEMES:
        return _file(plan)
    reference = f"/dev/video{int(plan.reference)}" if re.fullmatch(r"[0-9]{1,3}", plan.reference) else plan.reference
    if reference.startswith("/dev/"):
        return _device(reference, plan.shown_as)
    found = _SCHEME.match(reference)
    scheme = found[1].lower() if found else ""
    if scheme not in TRANSPORT_SCHEMES[plan.kind]:
        raise UnsuitableStream(_refusal(plan, scheme))
    options = {"protocol_whitelist": _NETWORK_PROTOCOLS, "format_whitelist": _NETWORK_FORMATS}
    analysis_s = _USUAL_ANALYSIS_S
    if scheme in ("rtsp", "rtsps"):
        # Nobody listens: sound is not even asked for.
        options |= {"rtsp_transport": plan.kind, "allowed_media_types": "video"}
    elif scheme in ("http", "https"):
        analysis_s = _HTTP_ANALYSIS_S
    else:
        _check_udp(plan)
        # A decoder that is late loses datagrams; it need not lose the connection.
        options["overrun_nonfatal"] = "1"
    # An analysis that runs out of time leaves a connection that cannot be read any more.
    if plan.timeout_s:
        analysis_s = min(analysis_s, plan.timeout_s / 2)
    if analysis_s < _USUAL_ANALYSIS_S:
        options["analyzeduration"] = str(round(analysis_s * 1_000_000))
    options |= _MERGED_PROGRAMS | {"seg_format_options": "merge_pmt_versions=1"}
    return Opening(reference, options, plan.shown_as, is_live=True)


def check_no_scheme(plan: SourcePlan, what: str) -> None:
    """Refuse a reference that is a URL where a path is wanted.

    Raises:
        UnsuitableStream: naming what is wanted.
    """
    if _SCHEME.match(plan.reference):
        raise UnsuitableStream(f"a stream of type {plan.kind} reads a {what} by its path, not '{plan.shown_as}'")


def _file(plan: SourcePlan) -> Opening:
    check_no_scheme(plan, "file")
    _check_file(Path(plan.reference))
    options = {"protocol_whitelist": "file", "format_whitelist": _FILE_FORMATS} | _MERGED_PROGRAMS
    return Opening(f"file:{plan.reference}", options, plan.shown_as, is_live=False)


def _refusal(plan: SourcePlan, scheme: str) -> str:
    *others, last = TRANSPORT_SCHEMES[plan.kind]
    text = f"a stream of type {plan.kind} reads {', '.join(others)} or {last}, or a camera /dev/videoN"
    for kind, schemes in TRANSPORT_SCHEMES.items():
        if kind != plan.kind and scheme in schemes:
            return f"{text}; '{plan.shown_as}' needs type {kind}"
    return f"{text}, not '{plan.shown_as}'"


def _check_udp(plan: SourcePlan) -> None:
    try:
        parts = urlsplit(plan.reference)
        has_port = bool(parts.port)
    except ValueError:
        has_port = False
    if not has_port:
        raise UnsuitableStream(f"'{plan.shown_as}' names no port to listen on, as in udp://239.0.0.1:5000")
    # Python ends the query there, FFmpeg does not: it would find options behind it.
    if "#" in plan.reference:
        raise UnsuitableStream(f"'{plan.shown_as}' has a '#', which has no meaning for datagrams")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _UDP_OPTIONS:
            raise UnsuitableStream(
                f"'{plan.shown_as}' has the option '{name}'; permitted are {', '.join(_UDP_OPTIONS)}"
            )


def _device(path: str, shown_as: str) -> Opening:
    if not _DEVICE.fullmatch(path):
        raise UnsuitableStream(f"'{shown_as}' is not the name of a camera, such as /dev/video0")
    check_camera(Path(path))
    return Opening(path, {"protocol_whitelist": "file"}, shown_as, is_live=True, format="v4l2")


def check_camera(path: Path) -> None:
    """Look whether a path is a camera.

    Raises:
        SourceFailed: if it is not there, or something else.
    """
    found = _status(path, "camera")
    if not stat.S_ISCHR(found.st_mode) or os.major(found.st_rdev) != _VIDEO4LINUX:
        raise SourceFailed(f"'{path}' is not a camera")


def _check_file(path: Path) -> None:
    mode = _status(path, "video file").st_mode
    if stat.S_ISDIR(mode):
        raise SourceFailed(f"video file '{path}' is a directory; pictures in it are read by type images with a mask")
    if not stat.S_ISREG(mode):
        raise SourceFailed(f"video file '{path}' is not a regular file")


def _status(path: Path, what: str) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "its name cannot be one"
        raise SourceFailed(f"{what} '{path}' cannot be opened: {reason}") from e
