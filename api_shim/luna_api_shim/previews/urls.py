"""Checks the preview URLs that workers report: wrong ones are refused early, with the text LUNA Streams has for them.

A worker that advertises a host nobody can reach was a known trouble of FaceStream; its report is refused as a whole.
The words are those of pydantic v1's URL type. A password in such a URL would be shown to everybody with the stream, so
it is refused: left out, the URL would not work, and nobody would know why.
"""

from __future__ import annotations

import ipaddress
import re

from luna_api_shim.errors import BadBody
from luna_streams.policies import Preview
from luna_streams.references import has_user_info, without_credentials
from luna_streams.rest.messages import FeedbackRequest

_LABEL = re.compile(r"[_0-9a-z](?:[-_0-9a-z]{0,61}[_0-9a-z])?", re.IGNORECASE | re.ASCII)
_BLANK = r"\s\x00-\x1f\x7f"
_URL = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+\-.]+)://)?"
    rf"(?:\[(?P<ipv6>[a-f0-9]*:[a-f0-9:.]+)\](?=$|[/:#?])|(?P<name>[^{_BLANK}/:?#]+))?"
    r"(?::(?P<port>[0-9]+))?"
    rf"(?:/[^{_BLANK}?#]*)?(?:\?[^{_BLANK}#]*)?(?:#[^{_BLANK}#]*)?",
    re.IGNORECASE,
)
"""Matches the beginning of any text: what is left behind the match is too much."""


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
    match = _URL.match(url)
    if match is None or match["scheme"] is None:
        return "invalid or missing URL scheme"
    if match["scheme"].lower() not in ("http", "https"):
        return "URL scheme not permitted"
    if has_user_info(url):
        return "URL userinfo not permitted"
    if match["port"] is not None and int(match["port"]) > 65535:
        return "URL port invalid, port cannot exceed 65535"
    if extra := url[match.end() :]:
        return f"URL invalid, extra characters found after valid URL: {without_credentials(extra)!r}"
    host = match["ipv6"] or match["name"]
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
