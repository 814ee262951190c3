"""ServiceAccount tokens: signed JWTs, optionally bound to a Pod, as ``serviceaccounts/token`` hands them out.

The key is the data folder's own (HMAC, nobody else needs to verify them), so tokens outlive a restart. A token is good
while its ServiceAccount exists and, if it is bound to a Pod, while that Pod exists under the same uid.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from luna_local.apiserver.documents import Document, section
from luna_local.apiserver.resources import PODS, SERVICE_ACCOUNTS
from luna_local.apiserver.store import Record, Store

ISSUER = API_AUDIENCE = "https://kubernetes.default.svc"
SHORTEST_S, LONGEST_S, DEFAULT_S = 600, 2**32, 3600


@dataclass(frozen=True)
class Identity:
    """Whom a request or token speaks for."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def user_info(self) -> Document:
        """Return the ``UserInfo`` of reviews."""
        info: Document = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = {name: list(values) for name, values in self.extra}
        return info


# Everybody who presents no token: the server listens on loopback only.
ADMINISTRATOR = Identity("kubernetes-admin", groups=("system:masters", "system:authenticated"))


class TokenError(Exception):
    """A token is not valid; the text says why."""


class Tokens:
    """Issues and verifies tokens.

    Args:
        store: where ServiceAccounts and Pods are.
        key: secret of the signatures.
    """

    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self._key = key

    def issue(self, account: Record, audiences: Sequence[str], lifetime_s: int, pod: Record | None) -> tuple[str, int]:
        """Return a new token and the time it expires (seconds since 1970)."""
        now = int(time.time())
        namespace, name = account.key
        bound: Document = {"namespace": namespace, "serviceaccount": {"name": name, "uid": account.uid}}
        if pod is not None:
            bound["pod"] = {"name": pod.key[1], "uid": pod.uid}
        claims = {
            "aud": list(audiences),
            "exp": now + lifetime_s,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": bound,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        head = _encode(orjson.dumps({"alg": "HS256", "typ": "JWT"})) + b"." + _encode(orjson.dumps(claims))
        return (head + b"." + _encode(self._signature(head))).decode(), now + lifetime_s

    def verify(self, token: str, audiences: Sequence[str]) -> tuple[Identity, list[str]]:
        """Return whom a token speaks for and which of `audiences` it is meant for.

        Raises:
            TokenError: when it is not valid.
        """
        claims = self._claims(token)
        if claims["exp"] <= time.time():
            raise TokenError("token has expired")
        meant = [audience for audience in claims["aud"] if audience in audiences]
        if not meant:
            raise TokenError(f"token audiences {claims['aud']} is invalid for the target audiences {list(audiences)}")
        bound = claims["kubernetes.io"]
        namespace = bound["namespace"]
        account, pod = section(bound, "serviceaccount"), section(bound, "pod")
        self._require(SERVICE_ACCOUNTS, namespace, account)
        extra: list[tuple[str, tuple[str, ...]]] = [
            ("authentication.kubernetes.io/credential-id", (f"JTI={claims['jti']}",))
        ]
        if pod:
            self._require(PODS, namespace, pod)
            extra.append(("authentication.kubernetes.io/pod-name", (pod["name"],)))
            extra.append(("authentication.kubernetes.io/pod-uid", (pod["uid"],)))
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return Identity(claims["sub"], account["uid"], groups, tuple(extra)), meant

    def _require(self, resource: tuple[str, str], namespace: str, reference: Document) -> None:
        record = self._store.get(resource, (namespace, reference["name"]))
        if record is None or record.uid != reference["uid"]:
            raise TokenError(f"{resource[1]} {namespace}/{reference['name']} no longer exists")

    def _claims(self, token: str) -> dict[str, Any]:
        head, _, signature = token.rpartition(".")
        try:
            given = _decode(signature)
            if not hmac.compare_digest(given, self._signature(head.encode())):
                raise TokenError("invalid bearer token")
            claims: dict[str, Any] = orjson.loads(_decode(head.partition(".")[2]))
        except (binascii.Error, ValueError) as error:
            raise TokenError("invalid bearer token") from error
        return claims

    def _signature(self, head: bytes) -> bytes:
        return hmac.digest(self._key, head, hashlib.sha256)


def load_key(folder: Path | None) -> bytes:
    """Return the signing key of a data folder, made at the first call; a passing one without a folder."""
    if folder is None:
        return secrets.token_bytes(32)
    path = folder / "token.key"
    if not path.exists():
        # Renamed when whole: a key cut short would refuse every token of the next start.
        unfinished = path.with_suffix(".new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        unfinished.replace(path)
    return path.read_bytes()


def _encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
