"""Fixtures for every test: the API servers (see support/apiservers.py); and how hypothesis runs."""

from hypothesis import HealthCheck, settings

from support.apiservers import any_api, embedded_api, real_api

__all__ = ["any_api", "embedded_api", "real_api"]

# A machine that is busy with something else is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
