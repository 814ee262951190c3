"""Fixtures of several files: API servers, databases, a LUNA Streams and a LUNA PLATFORM; how hypothesis is run."""

from hypothesis import HealthCheck, settings

from support.apiservers import any_api, embedded_api, real_api
from support.authorities import few_authorities
from support.event_sink import sink
from support.goodbyes import let_goodbyes_be
from support.postgresql import log_database, postgresql
from support.streams_server import server

__all__ = ["any_api", "embedded_api", "few_authorities", "log_database", "postgresql", "real_api", "server", "sink"]

# A machine that is busy with something else is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

let_goodbyes_be()
