"""What a REST body turns into: the spec of a resource, the secrets that were split off it, and the group to join."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from luna_streams.credentials import REFERENCE_KEY, Credentials, token_key
from luna_streams.model import GroupName, Model, StreamName, Uuid
from luna_streams.policies import AutorestartPolicy, Location
from luna_streams.references import join_reference
from luna_streams.stream import (
    Authorization,
    AutorestartState,
    SecretKeyRef,
    Stream,
    StreamSpec,
    StreamStatus,
)


class Submission(Model):
    """A stream as a client submits it or a worker receives it."""

    spec: StreamSpec
    """Refers to the Secret; holds no secret value."""
    credentials: Credentials = Credentials()
    group_name: GroupName | None = None
    group_id: Uuid | None = None

    @property
    def reference(self) -> str:
        """The complete reference, with its user info: for opening the source, never for a log."""
        return join_reference(self.spec.data.reference, self.credentials.user_info)


class QueuedStream(Model):
    """A stream that a worker took from the queue."""

    stream_id: Uuid
    version: int
    submission: Submission


class TokenAuthorization(Model):
    """Authorization by a token."""

    token: str = Field(repr=False)


class AccountAuthorization(Model):
    """Authorization by an account."""

    account_id: Uuid


RestAuthorization = TokenAuthorization | AccountAuthorization


class NewStream(Model):
    """What both versions ask of a new stream besides its data."""

    account_id: Uuid
    name: StreamName = ""
    description: Annotated[str, StringConstraints(max_length=512)] = ""
    location: Location = Location()
    autorestart: AutorestartPolicy = AutorestartPolicy()
    status: Literal["pending", "pause"] = "pending"
    group_name: GroupName | None = None
    group_id: Uuid | None = None


def to_authorization(rest: RestAuthorization | None, index: int, secret: str) -> Authorization | None:
    """Return the resource's form: a token becomes a reference to its key of the Secret."""
    if rest is None:
        return None
    if isinstance(rest, TokenAuthorization):
        return Authorization(token_from=SecretKeyRef(name=secret, key=token_key(index)))
    return Authorization(account_id=rest.account_id)


def reference_ref(credentials_present: bool, secret: str) -> SecretKeyRef | None:
    """Return the reference to the user info's key of the Secret."""
    return SecretKeyRef(name=secret, key=REFERENCE_KEY) if credentials_present else None


def rest_authorization(spec: StreamSpec, index: int, credentials: Credentials) -> dict[str, str]:
    """Return the API's form; where none was given, the account of the stream, as LUNA Streams answers."""
    token = credentials.token(index)
    if token is not None:
        return {"token": token}
    authorization = spec.data.analytics[index].event_handler.authorization
    account = authorization.account_id if authorization else None
    return {"account_id": account or spec.account_id}


def response_frame(stream: Stream, stream_id: str, record: StreamStatus) -> dict[str, Any]:
    """Return the fields that stand alike in the answers of both versions."""
    spec = stream.spec
    return {
        "stream_id": stream_id,
        "account_id": spec.account_id,
        "name": spec.display_name,
        "description": spec.description,
        "location": spec.location.to_rest(),
        "autorestart": spec.autorestart.to_rest() | _autorestart_state(record.autorestart),
        "version": record.version,
        "create_time": stream.create_time.isoformat().replace("+00:00", "Z"),
        "status": record.status.value,
        "last_error": record.last_error,
        "video_info": record.video_info.model_dump(mode="json", exclude_none=True) if record.video_info else None,
        "groups": list(spec.groups),
        "preview": record.preview.model_dump(mode="json", exclude_none=True) if record.preview else None,
    }


def _autorestart_state(state: AutorestartState) -> dict[str, Any]:
    return state.to_rest()
