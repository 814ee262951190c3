"""Say in a few words why an HTTP request failed; the client library's own texts name its inner workings."""

from __future__ import annotations

import os

import httpx


def reason_of(error: httpx.HTTPError) -> str:
    """Return the reason, as the operating system words it where it comes from there."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within the timeout"
    if isinstance(error, httpx.TimeoutException):
        return "no answer within the timeout"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            # asyncio puts its own text into `strerror`; negative numbers are those of name resolution.
            return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
