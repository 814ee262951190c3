"""Fixtures for every test: the API servers (see support/apiservers.py)."""

from support.apiservers import any_api, embedded_api, real_api

__all__ = ["any_api", "embedded_api", "real_api"]
