"""Who this process is to the API server, as an owner of what it makes there.

An object that a process makes for itself (its Lease) is to go with the installation. The process's ServiceAccount goes
with it, so the object names that as its owner, and the garbage collector does the rest. Who we are is told by a
SelfSubjectReview, which every authenticated user may create: no permission is needed for it.
"""

from __future__ import annotations

from typing import Any, Final

from luna_kube.client import KubeClient
from luna_kube.resources import SELF_SUBJECT_REVIEWS

Json = dict[str, Any]

_PREFIX: Final = "system:serviceaccount:"


async def own_account(client: KubeClient, namespace: str) -> Json | None:
    """Return the owner reference of the ServiceAccount that this process acts as.

    Args:
        client: asks the API server; the answer is as old as the credentials, so ask again rather than keep it for long.
        namespace: of the object that is to be owned; an owner of another namespace would not count.

    Returns:
        None for anybody who is no ServiceAccount of that namespace, for example a person with a kubeconfig.

    Raises:
        ApiError: if the server cannot say it.
    """
    body: Json = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind, "metadata": {}}
    review = await client.create(SELF_SUBJECT_REVIEWS.everywhere(), body)
    user = (review.get("status") or {}).get("userInfo") or {}
    username, uid = str(user.get("username", "")), user.get("uid")
    if not uid or not username.startswith(f"{_PREFIX}{namespace}:"):
        return None
    # Neither controller nor blockOwnerDeletion: the latter would need a permission on the ServiceAccount's finalizers.
    return {"apiVersion": "v1", "kind": "ServiceAccount", "name": username.rpartition(":")[2], "uid": uid}


def owned_by(references: list[Json], account: Json) -> list[Json]:
    """Return owner references with an account among them, and without a ServiceAccount that had its name before it."""
    others = [
        reference
        for reference in references
        if (reference["kind"], reference["name"]) != (account["kind"], account["name"])
    ]
    return [*others, account]
