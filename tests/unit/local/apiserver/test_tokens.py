"""ServiceAccount tokens, at the level where time and tampering can be tried."""

from __future__ import annotations

import base64
import stat
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_local.apiserver.resources import PODS, SERVICE_ACCOUNTS
from luna_local.apiserver.store import Record, Store
from luna_local.apiserver.tokens import TokenError, Tokens, load_key


def an_object(kind: str, name: str, uid: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default", "uid": uid}}


class World:
    def __init__(self) -> None:
        self.store = Store()
        self.account: Record = self.store.put(SERVICE_ACCOUNTS, an_object("ServiceAccount", "default", "sa-1"))
        self.pod: Record = self.store.put(PODS, an_object("Pod", "p", "pod-1"))
        self.tokens = Tokens(self.store, b"k" * 32)

    def token(self, pod: Record | None = None) -> str:
        return self.tokens.issue(self.account, ["luna"], 600, pod)[0]


@pytest.fixture
def world() -> World:
    return World()


def test_a_token_names_its_account_and_its_pod(world: World) -> None:
    identity, audiences = world.tokens.verify(world.token(world.pod), ["other", "luna"])
    assert audiences == ["luna"]
    assert identity.name == "system:serviceaccount:default:default"
    assert identity.user_info()["extra"]["authentication.kubernetes.io/pod-uid"] == ["pod-1"]


def test_a_token_without_a_pod_says_nothing_of_one(world: World) -> None:
    extra = world.tokens.verify(world.token(), ["luna"])[0].user_info()["extra"]
    assert extra.keys() == {"authentication.kubernetes.io/credential-id"}


def test_a_token_expires(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = world.token()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 599)
    world.tokens.verify(token, ["luna"])
    monkeypatch.setattr(time, "time", lambda: now + 601)
    with pytest.raises(TokenError, match="expired"):
        world.tokens.verify(token, ["luna"])


@pytest.mark.parametrize("resource", [SERVICE_ACCOUNTS, PODS], ids=["account", "pod"])
def test_a_token_dies_with_what_it_is_bound_to(world: World, resource: tuple[str, str]) -> None:
    token = world.token(world.pod)
    name = "default" if resource == SERVICE_ACCOUNTS else "p"
    kind = "ServiceAccount" if resource == SERVICE_ACCOUNTS else "Pod"
    world.store.remove(resource, ("default", name))
    with pytest.raises(TokenError, match="no longer exists"):
        world.tokens.verify(token, ["luna"])
    world.store.put(resource, an_object(kind, name, "another"))
    with pytest.raises(TokenError, match="no longer exists"):
        world.tokens.verify(token, ["luna"])


@given(position=st.integers(0, 400), char=st.sampled_from("ABab01-_."))
def test_a_token_that_was_tampered_with_is_worthless(position: int, char: str) -> None:
    world = World()
    token = world.token(world.pod)
    position %= len(token)
    spoilt = token[:position] + char + token[position + 1 :]
    if _decoded(spoilt) != _decoded(token):
        with pytest.raises(TokenError):
            world.tokens.verify(spoilt, ["luna"])


def _decoded(token: str) -> Any:
    """The last character of a part may carry bits that mean nothing."""
    head, _, signature = token.rpartition(".")
    return head, base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)) if signature.isascii() else signature


def test_an_unsigned_token_is_worthless(world: World) -> None:
    claims = world.token().split(".")[1]
    head = base64.urlsafe_b64encode(orjson.dumps({"alg": "none", "typ": "JWT"})).rstrip(b"=").decode()
    with pytest.raises(TokenError):
        world.tokens.verify(f"{head}.{claims}.", ["luna"])


def test_the_key_is_kept_and_nobody_elses_business(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    assert load_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "token.key").stat().st_mode) == 0o600
    assert load_key(None) != load_key(None)
