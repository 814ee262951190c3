"""One account per stream: whoever names an account to deliver for has to name the stream's own.

Source: FaceStream 5.1.10, which refuses any other.
"""

from __future__ import annotations

from collections.abc import Iterator

from luna_api_shim.errors import BadBody
from luna_streams.rest.submission import AccountAuthorization, RestAuthorization
from luna_streams.rest.v1 import StreamToBeCreatedV1
from luna_streams.rest.v2 import StreamToBeCreatedV2


def check_accounts(body: StreamToBeCreatedV1 | StreamToBeCreatedV2) -> None:
    """Refuse a stream whose event handlers are authorized by another account.

    Raises:
        BadBody: names the first one.
    """
    for path, authorization in _authorizations(body):
        if isinstance(authorization, AccountAuthorization) and authorization.account_id != body.account_id:
            raise BadBody(f"{path}.authorization.account_id", "value does not match 'account_id' of the stream")


def _authorizations(body: StreamToBeCreatedV1 | StreamToBeCreatedV2) -> Iterator[tuple[str, RestAuthorization | None]]:
    if isinstance(body, StreamToBeCreatedV1):
        yield "event_handler", body.event_handler.authorization
        return
    for index, item in enumerate(body.data.analytics):
        yield f"data.analytics.{index}.event_handler", item.event_handler.authorization
