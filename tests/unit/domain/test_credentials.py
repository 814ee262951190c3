"""Credentials are split off, found again, and never shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from luna_streams.credentials import Credentials, resolve, secret_lookup
from luna_streams.errors import CredentialsMissing
from luna_streams.rest import v1, v2
from luna_streams.v1alpha1 import Authorization, EventHandler, SecretKeyRef
from support.builders import HANDLER, a_stream, an_analytics, some_data, v1_body, v2_body
from support.strategies import user_infos

PASSWORD = "hunter2-Q"
TOKEN = "eyJ0-secret-token"


def secret_bodies() -> list[Any]:
    """Return a body of each version that holds a password and a token."""
    reference = f"rtsp://admin:{PASSWORD}@camera/live"
    handler = {"handler_id": HANDLER, "frame_store": None, "authorization": {"token": TOKEN}}
    one = v1_body(
        data={"type": "tcp", "reference": reference},
        event_handler=v1_body()["event_handler"] | {"authorization": {"token": TOKEN}},
    )
    two = v2_body(data={"type": "tcp", "reference": reference, "analytics": [{"event_handler": handler}]})
    return [
        pytest.param(v1.StreamToBeCreatedV1, one, id="v1"),
        pytest.param(v2.StreamToBeCreatedV2, two, id="v2"),
    ]


@pytest.mark.parametrize(("shape", "body"), secret_bodies())
def test_no_credential_is_shown_or_stored(shape: Any, body: dict[str, Any]) -> None:
    request = shape.from_rest(json.dumps(body))
    submission = request.to_submission("secret")
    shown = [repr(request), str(request), repr(submission), str(submission), repr(submission.credentials)]
    shown.append(json.dumps(submission.spec.to_resource()))
    shown.append(json.dumps(submission.to_rest()))
    assert not [text for text in shown if PASSWORD in text or TOKEN in text]
    assert sorted(submission.credentials.secret_data().values()) == sorted([f"admin:{PASSWORD}", TOKEN])


@pytest.mark.parametrize(("shape", "body"), secret_bodies())
def test_a_refused_body_does_not_repeat_its_credentials(shape: Any, body: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(body).replace(TOKEN, TOKEN + '", "account_id": "x')) | {"status": "wrong"}
    broken["data"]["type"] = "teleport"
    with pytest.raises(ValidationError) as refusal:
        shape.from_rest(json.dumps(broken))
    assert PASSWORD not in str(refusal.value)
    assert TOKEN not in str(refusal.value)


@pytest.mark.parametrize("field", ["origin", "frame_store"])
def test_the_platform_is_authorized_by_authorization_not_by_its_url(field: str) -> None:
    handler = v1_body()["event_handler"] | {field: f"http://admin:{PASSWORD}@luna:5000"}
    with pytest.raises(ValidationError, match="use authorization") as refusal:
        v1.StreamToBeCreatedV1.from_rest(json.dumps(v1_body(event_handler=handler)))
    assert PASSWORD not in str(refusal.value)


@given(st.none() | user_infos, st.lists(st.none() | st.text(), max_size=4))
def test_a_secret_gives_back_what_was_put_into_it(user_info: str | None, tokens: list[str | None]) -> None:
    credentials = Credentials(
        user_info=None if user_info is None else SecretStr(user_info),
        tokens=tuple(None if token is None else SecretStr(token) for token in tokens),
    )
    data = credentials.secret_data()
    assert data.get("reference") == user_info
    assert [data.get(f"token-{index}") for index in range(len(tokens))] == tokens
    assert [credentials.token(index) for index in range(len(tokens) + 1)] == [*tokens, None]


def test_a_stream_without_secrets_needs_no_secret() -> None:
    assert Credentials(tokens=(None,)).secret_data() == {}
    assert resolve(a_stream().spec.data, secret_lookup({})) == Credentials(tokens=(None,))


@pytest.mark.parametrize("secrets", [{}, {"mine": {}}, {"mine": {"other": "x"}}], ids=["no-secret", "empty", "no-key"])
def test_a_missing_secret_is_named(secrets: dict[str, dict[str, str]]) -> None:
    handler = EventHandler(
        handler_id=HANDLER, authorization=Authorization(token_from=SecretKeyRef(name="mine", key="token"))
    )
    data = some_data(analytics=(an_analytics(event_handler=handler),))
    with pytest.raises(CredentialsMissing, match="Secret 'mine' with key 'token' is missing"):
        resolve(data, secret_lookup(secrets))


@pytest.mark.parametrize(
    "authorization",
    [{}, {"account_id": HANDLER, "token_from": SecretKeyRef(name="a", key="b")}],
    ids=["neither", "both"],
)
def test_authorization_is_exactly_one_thing(authorization: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        Authorization(**authorization)


@pytest.mark.parametrize("ref", [{"name": "Upper", "key": "a"}, {"name": "a", "key": "a b"}, {"name": "", "key": "a"}])
def test_a_reference_to_a_secret_is_one_that_kubernetes_can_hold(ref: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SecretKeyRef(**ref)


def those(user_info: str | None = None, *tokens: str | None) -> Credentials:
    return Credentials(
        user_info=None if user_info is None else SecretStr(user_info),
        tokens=tuple(None if token is None else SecretStr(token) for token in tokens),
    )


@pytest.mark.parametrize(
    ("credentials", "told", "kept"),
    [
        pytest.param(those("admin:hunter2"), "admin and HUNTER2 are wrong", "admin and *** are wrong", id="bare"),
        pytest.param(those("admin:hunter2"), "(admin:hunter2@cam)", "(***@cam)", id="user-info"),
        pytest.param(those("a%40b:p%2Fq%20r"), "a@b:p/q r, p%2fq%20r, p/q r", "***, ***, ***", id="percent"),
        pytest.param(those("a:p/q r"), "p%2Fq%20r or a:p%2Fq%20r", "*** or ***", id="quoted-by-the-worker"),
        pytest.param(those("a:pass"), "Basic YTpwYXNz= refused", "Basic ***= refused", id="as-a-header"),
        pytest.param(those("onlyuser"), "user onlyuser is unknown", "user *** is unknown", id="no-password"),
        pytest.param(those(None, None, "tok-1", "tok-12"), "tok-12, tok-1", "***, ***", id="tokens"),
        pytest.param(those("a:b", "xyz"), "a:b said xyz about a bar", "a:b said xyz about a bar", id="too-short"),
        pytest.param(those("a:(.*)+"), "anything but (.*)+", "anything but ***", id="no-pattern"),
        pytest.param(those(), "nothing to hide", "nothing to hide", id="none"),
    ],
)
def test_what_people_read_quotes_no_secret_of_the_stream(credentials: Credentials, told: str, kept: str) -> None:
    assert credentials.hidden_in(told) == kept


@given(st.text(min_size=4), st.text(), st.text())
def test_a_token_is_hidden_wherever_it_stands(token: str, before: str, after: str) -> None:
    assert token not in those(None, token).hidden_in(f"{before} {token} {after}") or token in "***"
