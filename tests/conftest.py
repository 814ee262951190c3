"""Fixtures for every test: API servers (support/apiservers.py), databases (support/postgresql.py); hypothesis."""

from hypothesis import HealthCheck, settings

from support.apiservers import any_api, embedded_api, real_api
from support.postgresql import log_database, postgresql

__all__ = ["any_api", "embedded_api", "log_database", "postgresql", "real_api"]

# A machine that is busy with something else is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
