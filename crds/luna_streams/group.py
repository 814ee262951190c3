"""The StreamGroup resource: a name under which an account gathers streams; membership stands in the streams."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import StringConstraints

from luna_streams import naming
from luna_streams.model import GroupName, Model, Time, Uuid

GroupDescription = Annotated[str, StringConstraints(max_length=256)]


class StreamGroupSpec(Model):
    """What the user wants."""

    account_id: Uuid
    group_name: GroupName
    """Unique within the account."""
    description: GroupDescription = ""


class StreamGroup(Model):
    """A StreamGroup object as the rest of the code sees it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    create_time: Time
    spec: StreamGroupSpec

    @property
    def group_id(self) -> str:
        """The id the REST API shows."""
        return naming.group_id(self.namespace, self.name)

    @classmethod
    def from_object(cls, obj: dict[str, Any]) -> Self:
        """Parse a whole object of the Kubernetes API."""
        meta = obj["metadata"]
        return cls(
            namespace=meta.get("namespace", ""),
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            create_time=meta["creationTimestamp"],
            spec=StreamGroupSpec.from_resource(obj["spec"]),
        )
