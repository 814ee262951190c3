"""The command `luna-streams crds apply`: brings the custom resource definitions of a cluster up to date.

The chart runs it before each install and upgrade, because Helm installs what lies in a chart's crds/ and never touches
it again; Helm 4 applies it anew on each install, as the field manager "helm", and fails where another manager has
written something else. So this applies the definitions that the release carries as that manager, makes it the only one
of their specs, and waits until the API server serves them. It makes none: that would need the right to make any, and
so a missing one is left to Helm or kubectl.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterable
from typing import Final

import yaml

from luna_kube import (
    CUSTOM_RESOURCE_DEFINITIONS,
    ApiError,
    Conflict,
    Json,
    KubeClient,
    NotConfigured,
    NotFound,
    ObjectRef,
    Unavailable,
    load_credentials,
)
from luna_kube.manifests import crd_manifests

FIELD_MANAGER: Final = "helm"
"""Helm 4's own."""

_USER_AGENT: Final = "luna-streams-crds"
_RETRY_S: Final = 1.0


class Unfinished(Exception):
    """The definitions are not as they should be; the text says which and why."""


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when the API server serves the definitions of this release; 1 if it would not or could not; 2 if a person has
        to do something first. Both after one line that says what.
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_apply(arguments.kubeconfig, arguments.timeout))
    except (NotConfigured, FileNotFoundError) as e:
        print(f"luna-streams crds: {e}", file=sys.stderr)
        return 2
    except Unfinished as e:
        print(f"luna-streams crds: {e}", file=sys.stderr)
        return 1
    return 0


async def _apply(kubeconfig: str | None, timeout_s: float) -> None:
    definitions = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in crd_manifests()]
    async with KubeClient(await load_credentials(kubeconfig), user_agent=_USER_AGENT) as client:
        await bring_up_to_date(client, definitions, timeout_s)


async def bring_up_to_date(client: KubeClient, definitions: Iterable[Json], timeout_s: float) -> None:
    """Apply definitions and wait until they are served; what is as it should be is not written.

    Args:
        client: who may get and patch these definitions.
        definitions: CustomResourceDefinitions that exist in the cluster.
        timeout_s: for all of them together.

    Raises:
        Unfinished: naming the definition.
    """
    for definition in definitions:
        name = definition["metadata"]["name"]
        trouble = "the API server does not say that it is Established"
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        if await _apply_one(client, definition):
                            break
                    except (Unavailable, Conflict) as e:
                        trouble = str(e)
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError as e:
            raise Unfinished(f"{name} is not served after {timeout_s:g} s: {trouble}") from e
        except NotFound as e:
            raise Unfinished(
                f"{name} does not exist: install it from the chart's folder crds/"
                " (kubectl apply --server-side -f charts/luna-streams/crds/)"
            ) from e
        except ApiError as e:
            raise Unfinished(f"{name} cannot be brought up to date: {e}") from e


async def _apply_one(client: KubeClient, definition: Json) -> bool:
    """Apply one definition; tell whether it is served by now."""
    ref = CUSTOM_RESOURCE_DEFINITIONS.at(None, definition["metadata"]["name"])
    before = await client.get(ref)
    after = await _managed_alone(client, ref, await client.apply(ref, definition, field_manager=FIELD_MANAGER))
    has_changed = before["metadata"]["generation"] != after["metadata"]["generation"]
    print(f"{ref.name} {'brought up to date' if has_changed else 'is up to date'}", flush=True)
    conditions = (after.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


async def _managed_alone(client: KubeClient, ref: ObjectRef, applied: Json) -> Json:
    """Take a definition from its other field managers, who own what is equal now and would be in the way later."""
    metadata = applied["metadata"]
    kept = [
        entry
        for entry in metadata["managedFields"]
        if (entry["manager"], entry["operation"]) == (FIELD_MANAGER, "Apply") or entry.get("subresource")
    ]
    if kept == metadata["managedFields"]:
        return applied
    # Not a JSON patch with a test, which fails as if it were wrong (422) where somebody else wrote meanwhile (409).
    change = {"metadata": {"resourceVersion": metadata["resourceVersion"], "managedFields": kept}}
    return await client.patch(ref, change)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="luna-streams crds",
        description="Brings the custom resource definitions of a cluster up to date with this release.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    apply = commands.add_parser("apply", help="apply them, and wait until they are served")
    apply.add_argument("--kubeconfig", help="by default as kubectl finds it, or the pod's own account")
    apply.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for all of them; default 60")
    return parser


if __name__ == "__main__":
    sys.exit(main())
