"""What the processor's own interface tells about a stream, in the form of the API version it speaks.

Source: FaceStream reference manual, stream_info; `data` (and in version 1 `event_handler`, `policies`) as LUNA Streams
writes them. Passwords and tokens are left out: who may look at a worker need not know them.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import SecretStr

from luna_processor.streams.plan import StreamPlan
from luna_processor.streams.run import RunReport
from luna_streams.credentials import Credentials
from luna_streams.rest import v1, v2
from luna_streams.stream import StreamSpec

HIDDEN = SecretStr("********")


class ShownRun(Protocol):
    """A stream that is being processed."""

    @property
    def plan(self) -> StreamPlan:
        """What is done about it."""

    @property
    def report(self) -> RunReport:
        """What is so now."""


def stream_info(run: ShownRun, api_version: Literal["1", "2"], preview_url: str) -> dict[str, Any]:
    """Return what is told about a stream, as JSON.

    Args:
        run: of the stream.
        api_version: the form.
        preview_url: of its live preview.
    """
    plan, report = run.plan, run.report
    parts = v1.response_parts if api_version == "1" else v2.response_parts
    return {
        "stream_id": plan.stream_id,
        "account_id": plan.account_id,
        "name": plan.name,
        "description": plan.description,
        "status": report.status,
        "version": plan.version,
        "error": report.error,
        "preview_url": preview_url,
        "video_info": report.video_info.model_dump(mode="json", exclude_none=True) if report.video_info else None,
        "location": plan.location.to_rest(),
        **parts(plan.spec, _without_secrets(plan.spec)),
    }


def _without_secrets(spec: StreamSpec) -> Credentials:
    """Return credentials that show where there is a token, and no more."""
    authorizations = [item.event_handler.authorization for item in spec.data.analytics]
    return Credentials(tokens=tuple(HIDDEN if each and each.token_from else None for each in authorizations))
