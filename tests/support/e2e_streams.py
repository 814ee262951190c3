"""Streams of one camera, declared by kubectl or by REST, and taken away when the test is over."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from luna_streams import naming
from support.builders import ACCOUNT, HANDLER
from support.releases import Release

Json = dict[str, Any]

_HEALTHCHECK = {"maxErrorCount": 1000, "period": 3600, "retryDelay": 1, "timeout": 10000}
"""A busy machine is no broken camera."""


@dataclass
class Cameras:
    """Streams of a test.

    Attributes:
        url: of the camera, the same for all.
        names: of the streams that were declared.
    """

    release: Release
    url: str
    names: list[str] = field(default_factory=list)

    def declare(self, *names: str, **spec: Any) -> list[str]:
        """Declare streams with `kubectl apply`; return the names of their objects."""
        objects = [self.manifest(name, **spec) for name in names]
        self.names += names
        self.release.kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": objects})
        return list(names)

    def manifest(self, name: str, **spec: Any) -> Json:
        """Return a stream as a user writes it."""
        analytics = {
            "mode": 1,
            "sending": {"timePeriodOfSearching": 5, "silentPeriod": 5, "type": "sec"},
            "healthcheck": _HEALTHCHECK,
            "eventHandler": {"handlerId": HANDLER},
        }
        data = {"type": "tcp", "reference": self.url, "analytics": [analytics]}
        return {
            "apiVersion": naming.API_VERSION,
            "kind": "Stream",
            "metadata": {"name": name},
            "spec": {"accountId": ACCOUNT, "displayName": name, "data": data} | spec,
        }

    def rest_body(self, name: str) -> Json:
        """Return a stream as a client of the REST API writes it (version 2)."""
        return {
            "account_id": ACCOUNT,
            "name": name,
            "data": {
                "type": "tcp",
                "reference": self.url,
                "analytics": [
                    {
                        "mode": 1,
                        "sending": {"time_period_of_searching": 5, "silent_period": 5, "type": "sec"},
                        "event_handler": {
                            "handler_id": HANDLER,
                            "frame_store": None,
                            "authorization": {"account_id": ACCOUNT},
                        },
                    }
                ],
            },
        }

    def stream_id(self, name: str) -> str:
        """Return the id by which REST, events and workers know a stream."""
        return str(naming.stream_id(self.release.namespace, name))

    def remove(self) -> None:
        """Take the streams away."""
        if self.names:
            self.release.kubectl("delete", "stream", "--ignore-not-found", *self.names)
            self.names.clear()


def new_name(prefix: str) -> str:
    """Return a name that no other stream has."""
    return f"{prefix}-{uuid.uuid4().hex[:6]}"
