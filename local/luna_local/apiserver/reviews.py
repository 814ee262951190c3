"""Reviews: questions about identities and permissions, answered and forgotten.

There is no RBAC: whoever can reach the server may do everything.
"""

from __future__ import annotations

from collections.abc import Callable

from luna_local.apiserver.documents import Document, items, section
from luna_local.apiserver.tokens import API_AUDIENCE, Identity, TokenError, Tokens

_ALLOWED = {"allowed": True, "reason": "the embedded server has no RBAC"}
_ALL_RULES = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}


def answer(kind: str, review: Document, asker: Identity, tokens: Tokens) -> Document:
    """Return a review with its status filled in."""
    statuses: dict[str, Callable[[], Document]] = {
        "SelfSubjectAccessReview": lambda: dict(_ALLOWED),
        "SubjectAccessReview": lambda: dict(_ALLOWED),
        "SelfSubjectRulesReview": lambda: dict(_ALL_RULES),
        "SelfSubjectReview": lambda: {"userInfo": asker.user_info()},
        "TokenReview": lambda: review_token(section(review, "spec"), tokens),
    }
    group = "authorization" if kind.endswith(("AccessReview", "RulesReview")) else "authentication"
    return {
        **review,
        "apiVersion": f"{group}.k8s.io/v1",
        "kind": kind,
        "metadata": section(review, "metadata"),
        "status": statuses[kind](),
    }


def review_token(spec: Document, tokens: Tokens) -> Document:
    """Return the status of a ``TokenReview``."""
    token = spec.get("token")
    asked = [each for each in items(spec, "audiences") if isinstance(each, str)]
    try:
        if not isinstance(token, str) or not token:
            raise TokenError("no token")
        identity, audiences = tokens.verify(token, asked or [API_AUDIENCE])
    except TokenError as error:
        return {"authenticated": False, "user": {}, "error": f"[invalid bearer token, {error}]"}
    return {"authenticated": True, "user": identity.user_info(), "audiences": audiences}
