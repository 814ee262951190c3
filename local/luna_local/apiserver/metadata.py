"""Rules for ``metadata``: what a client may set, and what the server sets."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

from luna_local.apiserver.builtin_schemas import OBJECT_META, schema_of
from luna_local.apiserver.documents import Document, items, section, timestamp
from luna_local.apiserver.errors import FieldProblem, bad_request, invalid
from luna_local.apiserver.resources import Resource

# What the server sets and clients can neither choose at creation nor change afterwards.
SERVER_FIELDS = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_QUALIFIED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?\Z")
_ABSENT_IF_EMPTY = (
    "labels", "annotations", "finalizers", "ownerReferences", "managedFields", "generateName", "namespace",
)  # fmt: skip
_ANNOTATIONS_BYTES = 256 * 1024
# Resources whose names are DNS labels, not subdomains.
_LABEL_NAMED = frozenset({("", "namespaces"), ("", "services")})
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)


def require_metadata(document: Document, strict_unknown: list[str]) -> Document:
    """Return the metadata of a body, made if absent, pruned of unknown fields (added to `strict_unknown`).

    Raises:
        ApiError: 400 when a field has a wrong type.
    """
    metadata = document.setdefault("metadata", {})
    schema = schema_of(OBJECT_META)
    schema.conform(metadata, "metadata", strict_unknown)
    problems: list[FieldProblem] = []
    schema.validate(metadata, "metadata", problems)
    if problems:
        raise bad_request("; ".join(str(problem) for problem in problems[:5]))
    for owner in items(metadata, "ownerReferences"):
        owner.setdefault("uid", "")
    result: Document = metadata
    return result


def drop_empty(metadata: Document) -> None:
    """Remove empty labels, annotations, finalizers and owners: absent and empty are the same."""
    for name in _ABSENT_IF_EMPTY:
        if name in metadata and not metadata[name]:
            del metadata[name]


def choose_name(resource: Resource, metadata: Document, is_taken: Any) -> None:
    """Make up a name from `generateName` if there is no name.

    Raises:
        ApiError: 422 when there is neither.
    """
    if metadata.get("name"):
        return
    prefix = metadata.get("generateName")
    if not prefix:
        problem = FieldProblem(
            "metadata.name", "Required value: name or generateName is required", "FieldValueRequired"
        )
        raise invalid(resource, "", [problem])
    while True:
        # The alphabet of Kubernetes: no vowels, nothing that looks like something else.
        suffix = "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
        metadata["name"] = prefix[:58] + suffix
        if not is_taken(metadata["name"]):
            return


def stamp_new(resource: Resource, metadata: Document) -> None:
    """Set what the server sets on a new object."""
    for name in (*SERVER_FIELDS, "resourceVersion"):
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp()
    if resource.has_generation:
        metadata["generation"] = 1


def keep_server_fields(metadata: Document, old: Document) -> None:
    """Put back what a client may not change."""
    for name in (*SERVER_FIELDS, "name", "namespace", "generateName"):
        if name in old:
            metadata[name] = old[name]
        else:
            metadata.pop(name, None)


def metadata_problems(resource: Resource, document: Document, old: Document | None = None) -> list[FieldProblem]:
    """Return what is wrong with the metadata of an object about to be written."""
    metadata = section(document, "metadata")
    problems = [
        *_name_problems(resource, metadata),
        *_label_problems(metadata),
        *_annotation_problems(metadata),
        *_finalizer_problems(metadata, None if old is None else section(old, "metadata")),
        *_owner_problems(metadata),
    ]
    return problems


def _name_problems(resource: Resource, metadata: Document) -> Iterator[FieldProblem]:
    name = metadata["name"]
    if resource.group == "rbac.authorization.k8s.io":
        if name in (".", "..") or "/" in name or "%" in name:
            yield _bad_value("metadata.name", name, "may not be '.' or '..' or contain '/' or '%'")
    elif resource.key in _LABEL_NAMED:
        if len(name) > 63 or not _LABEL.match(name):
            yield _bad_value("metadata.name", name, "a lowercase RFC 1123 label must consist of lower case letters")
    elif len(name) > 253 or not _SUBDOMAIN.match(name):
        yield _bad_value("metadata.name", name, _SUBDOMAIN_RULE)


def _label_problems(metadata: Document) -> Iterator[FieldProblem]:
    for key, value in section(metadata, "labels").items():
        if not is_qualified_name(key):
            rule = "name part must consist of alphanumeric characters, '-', '_' or '.'"
            yield _bad_value("metadata.labels", key, rule)
        if len(value) > 63 or not _LABEL_VALUE.match(value):
            rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'"
            yield _bad_value("metadata.labels", value, rule)


def _annotation_problems(metadata: Document) -> Iterator[FieldProblem]:
    annotations = section(metadata, "annotations")
    for key in annotations:
        if not is_qualified_name(key.lower()):
            yield _bad_value("metadata.annotations", key, "name part must consist of alphanumeric characters")
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_BYTES:
        text = f"Too long: may not be more than {_ANNOTATIONS_BYTES} bytes"
        yield FieldProblem("metadata.annotations", text, "FieldValueTooLong")


def _finalizer_problems(metadata: Document, old: Document | None) -> Iterator[FieldProblem]:
    finalizers = items(metadata, "finalizers")
    for name in finalizers:
        if not is_qualified_name(name):
            yield _bad_value("metadata.finalizers", name, "name part must consist of alphanumeric characters")
    if old is not None and old.get("deletionTimestamp"):
        added = sorted(set(finalizers) - set(items(old, "finalizers")))
        if added:
            text = (
                "Forbidden: no new finalizers can be added if the object is being deleted, "
                f"found new finalizers {added}"
            )
            yield FieldProblem("metadata.finalizers", text, "FieldValueForbidden")


def _owner_problems(metadata: Document) -> Iterator[FieldProblem]:
    owners = items(metadata, "ownerReferences")
    for index, owner in enumerate(owners):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                path = f"metadata.ownerReferences[{index}].{name}"
                yield FieldProblem(path, "Invalid value: must not be empty")
    if sum(1 for owner in owners if owner.get("controller")) > 1:
        text = "Invalid value: Only one reference can have Controller set to true"
        yield FieldProblem("metadata.ownerReferences", text)


def is_qualified_name(text: str) -> bool:
    """Say whether a text is a name with an optional DNS prefix (``app``, ``lunastreams.dev/pool``)."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.match(prefix)):
        return False
    return len(name) <= 63 and _QUALIFIED_NAME.match(name) is not None


def _bad_value(path: str, value: str, rule: str) -> FieldProblem:
    return FieldProblem(path, f'Invalid value: "{value[:100]}": {rule}')
