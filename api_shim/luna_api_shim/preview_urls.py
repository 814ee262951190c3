"""Checks the preview URLs that workers report: wrong ones are refused early, with the text LUNA Streams has for them.

A worker that advertises a host nobody can reach was a known trouble of FaceStream; its report is refused as a whole.
The words are those of pydantic v1's URL type.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from luna_api_shim.errors import BadBody
from luna_streams.policies import Preview
from luna_streams.rest.messages import FeedbackRequest

_LABEL = re.compile(r"[_0-9a-z](?:[-_0-9a-z]{0,61}[_0-9a-z])?", re.IGNORECASE | re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


def check_preview_urls(request: FeedbackRequest) -> None:
    """Check every preview URL of a report.

    Raises:
        BadBody: names the first wrong one.
    """
    for index, item in enumerate(request.streams):
        if item.preview is not None:
            _check(item.preview, f"streams.{index}.preview")


def problem_of(url: str) -> str | None:
    """Return what is wrong with an absolute URL of HTTP, None if nothing is."""
    if not url:
        return "ensure this value has at least 1 characters"
    if _UNPRINTABLE.search(url):
        return "URL invalid, extra characters found after valid URL"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "URL host invalid"
    if not parts.scheme:
        return "invalid or missing URL scheme"
    if parts.scheme not in ("http", "https"):
        return "URL scheme not permitted"
    try:
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "URL port invalid, port cannot exceed 65535"
    return None if host and _is_host(host) else "URL host invalid"


def _check(preview: Preview, path: str) -> None:
    for name, picture in (("live", preview.live), ("last_frame", preview.last_frame)):
        if picture is not None and picture.url is not None and (problem := problem_of(picture.url)) is not None:
            raise BadBody(f"{path}.{name}.url", problem)


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        # All digits would be an address, and not a valid one.
        return all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdecimal() and len(host) <= 253
    return True
