"""References of sources as text: which schemes are known, and where the user info stands.

The same rules stand as CEL in crds/stream.yaml; a test compares them.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import SecretStr
from pydantic_core import PydanticCustomError

TRANSPORT_SCHEMES: Final = {"tcp": ("rtsp", "rtsps", "http", "https"), "udp": ("rtsp", "udp")}
"""What a stream of type tcp or udp may name: RTSP negotiates either transport, HTTP and HLS run over TCP, and `udp://`
is MPEG-TS in datagrams. What may be declared and what the processor reads is this one list."""
SCHEMES: Final = tuple(dict.fromkeys(scheme for schemes in TRANSPORT_SCHEMES.values() for scheme in schemes))

_SCHEME = re.compile(r"([^/]*://)(.*)", re.DOTALL)
"""Whatever stands before the first ://, so that a space or a quotation mark there hides no user info behind it."""
_KNOWN_SCHEME = re.compile(rf"(?:{'|'.join(SCHEMES)})://", re.IGNORECASE)
_ANY_PROTOCOL = re.compile(r"[\x00-\x20]*(?:[a-zA-Z0-9+.\-]+:|subfile,)|[^/]*://")
"""What FFmpeg takes for a protocol rather than for the name of a file, or a program that leaves out blanks would."""
_QUOTED_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]{0,15}://\S+")
_QUOTED_TOKEN = re.compile(
    r"(\b(?:bearer|basic)\s+|\b(?:token|password|passwd|pwd)=)[^\s\"',;&]+|\beyJ[\w\-]+(?:\.[\w\-]*)+", re.IGNORECASE
)
"""What follows `Bearer`, `token=` and their like, and a JWT wherever it stands."""
_QUOTED_USER = re.compile(r"(?<![^\s\"'(<\[=,;])[^\s:/@\"'(<\[=,;]{1,128}:[^\s/@]{1,256}@(?=[\w\[])")
"""`user:password@` before a host, without a scheme."""
_USER_INFO = re.compile(r"(?:[^/?#]*|[^/?#@:\[\]]*:[0-9]*[^0-9/?#@][^@]*)@", re.DOTALL)
"""User info and its @; the second form is `user:password` with a bare / ? or # in the password, which no URL may
have and people write all the same: what follows the colon is no port, so it is a password."""


def split_reference(reference: str) -> tuple[str, SecretStr | None]:
    """Return a reference without its user info, and the user info exactly as it stood there."""
    match = _SCHEME.match(reference)
    if match is None:
        return reference, None
    scheme, rest = match.groups()
    host = rest
    while found := _USER_INFO.match(host):
        host = host[found.end() :]
    if host == rest:
        return reference, None
    return scheme + host, SecretStr(rest[: -len(host) - 1] if host else rest[:-1])


def join_reference(reference: str, user_info: SecretStr | None) -> str:
    """Put the user info back into a reference; the inverse of `split_reference`."""
    match = _SCHEME.match(reference)
    if user_info is None or match is None:
        return reference
    return f"{match[1]}{user_info.get_secret_value()}@{match[2]}"


def is_url(reference: str) -> bool:
    """Tell whether a reference has a place for user info."""
    return _SCHEME.match(reference) is not None


def has_user_info(url: str) -> bool:
    """Tell whether a URL holds a user or a password."""
    return split_reference(url)[1] is not None


def without_credentials(text: str) -> str:
    """Return a text for people with no user or password in the URLs it quotes and no tokens, whoever wrote it."""
    no_users = _QUOTED_URL.sub(lambda url: split_reference(url[0])[0], text)
    no_tokens = _QUOTED_TOKEN.sub(lambda token: f"{token[1] or ''}***", no_users)
    return _QUOTED_USER.sub("***@", no_tokens)


def with_known_scheme(reference: str) -> str:
    """Return the reference, unless its scheme would make FFmpeg do something else than read a source.

    Raises:
        PydanticCustomError: for concat:, file:, data:, subfile, and whatever else is not in `SCHEMES`.
    """
    if _ANY_PROTOCOL.match(reference) and not _KNOWN_SCHEME.match(reference):
        raise PydanticCustomError(
            "reference_scheme",
            "unknown scheme; permitted: {schemes}, with nothing before it, or a device, file or folder without one",
            {"schemes": ", ".join(SCHEMES)},
        )
    return reference


def without_user_info(url: str) -> str:
    """Return the URL of a platform, unless it holds a user or a password.

    Raises:
        PydanticCustomError: credentials belong into `authorization`.
    """
    if has_user_info(url):
        raise PydanticCustomError("url_user_info", "must not contain user or password; use authorization")
    return url
