"""The client of the API server, with a stopwatch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from luna_kube import Conflict, Json, KubeClient
from luna_kube.transport import Call

Result = Literal["ok", "conflict", "error"]
Observer = Callable[[str, Result, float], None]
"""Called with verb, result and seconds."""


def _nobody(_verb: str, _result: Result, _duration_s: float) -> None:
    """Look away."""


class MeasuredClient(KubeClient):
    """Tells an observer of every request; watches are not measured.

    Attributes:
        observer: nobody at first.
    """

    observer: Observer = staticmethod(_nobody)

    async def request(self, call: Call) -> Json:
        """Send one request and return the parsed answer; raises as `KubeClient.request`."""
        began = time.monotonic()
        result: Result = "error"
        try:
            answer = await super().request(call)
        except Conflict:
            result = "conflict"
            raise
        else:
            result = "ok"
            return answer
        finally:
            self.observer(call.method, result, time.monotonic() - began)
