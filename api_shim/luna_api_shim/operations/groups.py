"""Operations on groups, and the linker."""

from __future__ import annotations

from typing import Final

from luna_api_shim.errors import BadBody, BadQuery
from luna_api_shim.http.parameters import (
    ACCOUNT_ID,
    CONTENT_TYPE,
    GROUP_ID,
    GROUP_IDS,
    GROUP_NAMES,
    PAGE,
    PAGE_SIZE,
)
from luna_api_shim.operations import answers
from luna_api_shim.operations.declaration import Answer, Body, Operation
from luna_api_shim.operations.examples import ACCOUNT, GROUP, STREAM
from luna_streams.errors import GroupExists, GroupNotFound
from luna_streams.rest.messages import GroupPatch, GroupToBeCreated, LinkerRequest

_TAG: Final = "groups"
_ONE: Final = {
    "group_name": "entrances",
    "group_id": GROUP,
    "account_id": ACCOUNT,
    "description": "Every door to the street.",
    "create_time": "2026-03-30T12:40:00Z",
}
_UNKNOWN: Final = (BadQuery("account_id"), GroupNotFound(GROUP))

CREATE: Final = Operation(
    "createGroup",
    _TAG,
    "create a group",
    "Creates an empty group. Streams join it when they are created, or later through the linker.",
    parameters=(CONTENT_TYPE,),
    body=Body(
        GroupToBeCreated,
        {"group": {"account_id": ACCOUNT, "group_name": "entrances", "description": "Every door to the street."}},
    ),
    answers=(
        Answer(
            201,
            "The group exists.",
            answers.CreatedGroup,
            {"group_id": GROUP, "group_name": "entrances"},
            headers={"Location": "Path of the group."},
            links={"group_id": ("getGroup", "patchGroup", "deleteGroup")},
        ),
    ),
    errors=(BadBody("account_id", "field required"), GroupExists("entrances")),
)
LIST: Final = Operation(
    "getGroups",
    _TAG,
    "list groups",
    "Lists groups, the oldest first. Within a list of values any may match, and every filter must.",
    parameters=(GROUP_IDS, GROUP_NAMES, ACCOUNT_ID, PAGE, PAGE_SIZE),
    answers=(Answer(200, "The groups of this page.", answers.Groups, {"groups": [_ONE]}),),
    errors=(BadQuery("group_ids"),),
)
COUNT: Final = Operation(
    "countGroups",
    _TAG,
    "count groups",
    "Counts the groups that a list with the same filters shows.",
    parameters=(GROUP_IDS, GROUP_NAMES, ACCOUNT_ID),
    answers=(Answer(200, "How many there are.", answers.GroupsCount, {"groups_count": 2}),),
    errors=(BadQuery("account_id"),),
)
READ: Final = Operation(
    "getGroup",
    _TAG,
    "read a group",
    "Reads a group by its id.",
    parameters=(GROUP_ID, ACCOUNT_ID),
    answers=(Answer(200, "The group.", answers.Group, _ONE),),
    errors=_UNKNOWN,
)
PATCH: Final = Operation(
    "patchGroup",
    _TAG,
    "describe a group",
    "Replaces the description of a group. Its name stays: workers select streams by it.",
    parameters=(GROUP_ID, CONTENT_TYPE, ACCOUNT_ID),
    body=Body(GroupPatch, {"description": {"description": "Every door, the back door too."}}),
    answers=(Answer(204, "The description is replaced."),),
    errors=(BadBody("description", "field required"), *_UNKNOWN),
)
DELETE: Final = Operation(
    "deleteGroup",
    _TAG,
    "delete a group",
    "Deletes a group. Its streams leave it and stay.",
    parameters=(GROUP_ID, ACCOUNT_ID),
    answers=(Answer(204, "The group is gone."),),
    errors=_UNKNOWN,
)
LINK: Final = Operation(
    "linker",
    "linker",
    "put streams into a group, or take them out",
    "Attaches up to 1000 streams to a group, or detaches them. Ids of no stream are passed over. If some streams "
    "cannot be changed, the others are all the same, and the answer is 500: the request may be sent again.",
    parameters=(ACCOUNT_ID, CONTENT_TYPE),
    body=Body(
        LinkerRequest,
        {
            "attach": {"action": "attach", "stream_ids": [STREAM], "group_id": GROUP},
            "detach": {"action": "detach", "stream_ids": [STREAM], "group_id": GROUP},
        },
    ),
    answers=(Answer(204, "Every stream is in the group, or out of it."),),
    errors=(BadBody("action", "field required"), BadQuery("account_id"), GroupNotFound(GROUP)),
)
