"""Credentials of a stream: split off before anything is stored, put together on the way to the worker.

A resource holds references to keys of a Secret; `Credentials` holds the values and shows none of them in its repr.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote

from pydantic import SecretStr

from luna_streams.errors import CredentialsMissing
from luna_streams.model import Model
from luna_streams.stream import Analytics, SecretKeyRef, StreamData

REFERENCE_KEY: Final = "reference"
SHORTEST_HIDDEN: Final = 4
"""Characters; shorter values stay in texts, where they would hide half of all words."""


class Credentials(Model):
    """Secret values of one stream."""

    user_info: SecretStr | None = None
    """`user:password` of the reference, exactly as it stood there."""
    tokens: tuple[SecretStr | None, ...] = ()
    """Token of each analytics, in their order; None where it authorizes by account."""

    def token(self, index: int) -> str | None:
        """Return the token of an analytics."""
        value = self.tokens[index] if index < len(self.tokens) else None
        return None if value is None else value.get_secret_value()

    def secret_data(self) -> dict[str, str]:
        """Return the keys and values of the Secret; empty when there is nothing to hide."""
        data = {
            token_key(index): value.get_secret_value() for index, value in enumerate(self.tokens) if value is not None
        }
        if self.user_info is not None:
            data[REFERENCE_KEY] = self.user_info.get_secret_value()
        return data

    def hidden_in(self, text: str) -> str:
        """Return a text for people with `***` in place of each of these values, in whatever form it quotes them."""
        forms = {form for form in self._forms() if len(form) >= SHORTEST_HIDDEN}
        if not forms:
            return text
        longest_first = sorted(forms, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), "***", text, flags=re.IGNORECASE)

    def _forms(self) -> Iterator[str]:
        for token in self.tokens:
            if token is not None:
                yield from _spellings(token.get_secret_value())
        if self.user_info is not None:
            whole = self.user_info.get_secret_value()
            yield from _spellings(whole)
            user, colon, password = whole.partition(":")
            if colon:
                yield from _spellings(password)
                yield f"{quote(unquote(user), safe='')}:{quote(unquote(password), safe='')}"
                yield base64.b64encode(unquote(whole).encode()).decode().rstrip("=")  # as HTTP and RTSP send it


def token_key(index: int) -> str:
    """Return the key of a Secret under which the token of an analytics lies."""
    return f"token-{index}"


def resolve(data: StreamData, lookup: Callable[[SecretKeyRef], str | None]) -> Credentials:
    """Fetch the secret values that a stream refers to.

    Args:
        data: of the resource.
        lookup: returns the decoded value of a key, None if there is no such Secret or key.

    Raises:
        CredentialsMissing: names the Secret and the key, never a value.
    """

    def fetch(ref: SecretKeyRef | None) -> SecretStr | None:
        if ref is None:
            return None
        value = lookup(ref)
        if value is None:
            raise CredentialsMissing(f"Secret '{ref.name}' with key '{ref.key}' is missing")
        return SecretStr(value)

    return Credentials(
        user_info=fetch(data.reference_from),
        tokens=tuple(fetch(_token_ref(analytics)) for analytics in data.analytics),
    )


def secret_names(data: StreamData) -> tuple[str, ...]:
    """Return the names of the Secrets that a stream refers to, each once."""
    refs = (data.reference_from, *map(_token_ref, data.analytics))
    return tuple(sorted({ref.name for ref in refs if ref is not None}))


def secret_lookup(secrets: Mapping[str, Mapping[str, str]]) -> Callable[[SecretKeyRef], str | None]:
    """Return a lookup over decoded Secrets by name."""
    return lambda ref: secrets.get(ref.name, {}).get(ref.key)


def _token_ref(analytics: Analytics) -> SecretKeyRef | None:
    authorization = analytics.event_handler.authorization
    return authorization.token_from if authorization else None


def _spellings(value: str) -> tuple[str, str, str]:
    """Return a value as it stands, and without and with all its percent signs."""
    return value, unquote(value), quote(unquote(value), safe="")
