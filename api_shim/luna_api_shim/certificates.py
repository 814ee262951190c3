"""Whose certificates are believed by every client in this process: read once, which takes longer than a request."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """Return what to give to httpx as `verify`: the authorities it comes with, whatever the environment says."""
    return httpx.create_ssl_context(trust_env=False)
