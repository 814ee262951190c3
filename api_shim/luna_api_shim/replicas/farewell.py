"""The last seconds of a replica: it serves on, and asks each client to come back by another connection.

Kubernetes takes a pod out of its Service while the pod is being told to end, and not at once. Until that is known
everywhere, new requests come here and have to be answered. Connections that are kept open would stay here until the
end, and what is sent just then is lost: so each answer closes its connection.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Farewell:
    """Wraps the application.

    Attributes:
        has_begun: whether this replica is about to end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_on(message: Message) -> None:
            if self.has_begun and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, send_on)
