"""The contract of a Kubernetes API server, as this project relies on it: objects and how they are written.

Every test runs against the embedded server and against a real kube-apiserver: what holds for one must hold for the
other. Lists and watches, and resources and schemas, are in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.apiservers import ApiServer, unique
from support.kubernetes_api import (
    APPLY,
    CAMERAS,
    CONFIGMAPS,
    JSON_PATCH,
    PODS,
    STRATEGIC,
    Api,
    a_camera,
    a_config_map,
    a_pod,
    connected,
    define_cameras,
    eventually,
)


@pytest.fixture
async def api(any_api: ApiServer) -> AsyncIterator[Api]:
    async with connected(any_api) as client:
        await define_cameras(client)
        yield client


# --- creating -----------------------------------------------------------------------------------------------------


async def test_creating_sets_what_only_the_server_may_set(api: Api) -> None:
    created = (await api.create(CAMERAS, a_camera(unique())))["metadata"]
    assert created["uid"]
    assert created["creationTimestamp"].endswith("Z")
    assert created["resourceVersion"].isdigit()
    assert created["generation"] == 1
    assert created["namespace"] == "default"


async def test_the_server_ignores_identities_a_client_makes_up(api: Api) -> None:
    long_ago = "2001-01-01T00:00:00Z"
    made_up: dict[str, Any] = {"uid": "1-2-3", "generation": 7}
    made_up |= {"creationTimestamp": long_ago, "deletionTimestamp": long_ago, "deletionGracePeriodSeconds": 5}
    created = (await api.create(CAMERAS, a_camera(unique(), **made_up)))["metadata"]
    assert created["uid"] != "1-2-3"
    assert created["generation"] == 1
    assert created["creationTimestamp"] != long_ago
    assert not {"deletionTimestamp", "deletionGracePeriodSeconds"} & created.keys()


async def test_creating_twice_is_refused(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    again = await api.post(CAMERAS, a_camera(name))
    assert (again.status, again.reason) == (409, "AlreadyExists")
    assert again.document["details"]["name"] == name


async def test_an_object_needs_a_name(api: Api) -> None:
    assert (await api.post(CAMERAS, a_camera())).status == 422


@pytest.mark.parametrize("name", ["Upper", "under_score", "-first", "last-", "a..b", "ü", "x" * 254])
async def test_a_name_must_be_a_dns_name(api: Api, name: str) -> None:
    reply = await api.post(CAMERAS, a_camera(name))
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert reply.document["details"]["causes"][0]["field"] == "metadata.name"


async def test_generate_name_makes_up_a_suffix(api: Api) -> None:
    names = {(await api.create(CAMERAS, a_camera(generateName="gen-")))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("gen-") and len(name) == 9 for name in names)


async def test_the_namespace_comes_from_the_path_and_must_not_contradict_it(api: Api) -> None:
    assert (await api.create(CAMERAS, a_camera(unique())))["metadata"]["namespace"] == "default"
    assert (await api.post(CAMERAS, a_camera(unique(), namespace="other"))).status == 400


async def test_nothing_can_be_created_in_a_missing_namespace(api: Api) -> None:
    reply = await api.post("/apis/contract.luna.test/v1/namespaces/nowhere/cameras", a_camera(unique()))
    assert (reply.status, reply.reason) == (404, "NotFound")


async def test_a_body_of_another_kind_is_refused(api: Api) -> None:
    assert (await api.post(CAMERAS, a_config_map(unique()))).status == 400


@pytest.mark.parametrize("body", [b'{"a":', b"[1, 2]", b"null", b'"text"', b"\xff\xfe"])
async def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    assert (await api.call("POST", CAMERAS, body)).status in (400, 422)


async def test_a_dry_run_answers_but_changes_nothing(api: Api) -> None:
    name = unique()
    assert (await api.post(CAMERAS, a_camera(name), dryRun="All")).status == 201
    assert (await api.get(f"{CAMERAS}/{name}")).status == 404


async def test_a_missing_object_is_not_found(api: Api) -> None:
    reply = await api.get(f"{CAMERAS}/nobody")
    assert (reply.status, reply.reason) == (404, "NotFound")
    assert reply.document["details"]["name"] == "nobody"


async def test_an_answer_names_its_version_and_kind(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    read = (await api.get(f"{CAMERAS}/{name}")).document
    assert (read["apiVersion"], read["kind"]) == ("contract.luna.test/v1", "Camera")


# --- versions and generations -------------------------------------------------------------------------------------


async def test_a_change_gives_a_new_resource_version_and_a_read_does_not(api: Api) -> None:
    name = unique()
    first = (await api.create(CAMERAS, a_camera(name)))["metadata"]["resourceVersion"]
    second = (await api.patch(f"{CAMERAS}/{name}", {"metadata": {"labels": {"a": "b"}}})).metadata["resourceVersion"]
    assert int(second) > int(first)
    assert (await api.get(f"{CAMERAS}/{name}")).metadata["resourceVersion"] == second


async def test_a_patch_that_changes_nothing_gives_no_new_version(api: Api) -> None:
    name = unique()
    first = await api.create(CAMERAS, a_camera(name))
    same = await api.patch(f"{CAMERAS}/{name}", {"spec": {"url": first["spec"]["url"]}})
    assert same.metadata["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_the_generation_counts_changes_of_the_spec_alone(api: Api) -> None:
    path = f"{CAMERAS}/{unique()}"
    await api.create(CAMERAS, a_camera(path.rpartition("/")[2]))
    labelled = await api.patch(path, {"metadata": {"labels": {"a": "b"}}})
    reported = await api.patch(f"{path}/status", {"status": {"phase": "on"}})
    changed = await api.patch(path, {"spec": {"url": "rtsp://camera/2"}})
    assert [each.metadata["generation"] for each in (labelled, reported, changed)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"uid": "11111111-1111-1111-1111-111111111111"}, (409, 422)),
        ({"name": "renamed"}, (400, 422)),
        ({"namespace": "kube-system"}, (400, 422)),
    ],
    ids=["uid", "name", "namespace"],
)
async def test_what_identifies_an_object_cannot_be_changed(api: Api, change: Any, codes: tuple[int, ...]) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    assert (await api.patch(f"{CAMERAS}/{name}", {"metadata": change})).status in codes


async def test_the_creation_time_stays_whatever_a_client_writes(api: Api) -> None:
    name = unique()
    created = await api.create(CAMERAS, a_camera(name))
    patched = await api.patch(f"{CAMERAS}/{name}", {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}})
    assert patched.status in (200, 422)
    read = await api.get(f"{CAMERAS}/{name}")
    assert read.metadata["creationTimestamp"] == created["metadata"]["creationTimestamp"]


# --- PUT and merge patch ------------------------------------------------------------------------------------------


async def test_put_replaces_the_whole_object(api: Api) -> None:
    name = unique()
    camera = await api.create(CAMERAS, a_camera(name, labels={"a": "b"}))
    del camera["metadata"]["labels"]
    camera["spec"] = {"url": "rtsp://camera/2"}
    assert (await api.put(f"{CAMERAS}/{name}", camera)).status == 200
    read = (await api.get(f"{CAMERAS}/{name}")).document
    assert read["spec"]["url"] == "rtsp://camera/2"
    assert "labels" not in read["metadata"]


async def test_put_of_an_outdated_object_is_a_conflict(api: Api) -> None:
    name = unique()
    outdated = await api.create(CAMERAS, a_camera(name))
    await api.patch(f"{CAMERAS}/{name}", {"metadata": {"labels": {"a": "b"}}})
    reply = await api.put(f"{CAMERAS}/{name}", outdated)
    assert (reply.status, reply.reason) == (409, "Conflict")


async def test_put_of_a_custom_object_must_name_the_version_it_replaces(api: Api) -> None:
    name = unique()
    camera = await api.create(CAMERAS, a_camera(name))
    del camera["metadata"]["resourceVersion"]
    assert (await api.put(f"{CAMERAS}/{name}", camera)).status == 422


async def test_a_patch_may_insist_on_a_version(api: Api) -> None:
    name = unique()
    outdated = (await api.create(CAMERAS, a_camera(name)))["metadata"]["resourceVersion"]
    current = (await api.patch(f"{CAMERAS}/{name}", {"spec": {"fps": 5}})).metadata["resourceVersion"]
    change = {"metadata": {"resourceVersion": outdated}, "spec": {"fps": 6}}
    assert (await api.patch(f"{CAMERAS}/{name}", change)).status == 409
    change["metadata"]["resourceVersion"] = current
    assert (await api.patch(f"{CAMERAS}/{name}", change)).status == 200


async def test_a_merge_patch_removes_by_null_and_replaces_lists(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name, spec={"zones": ["x", "y"]}, labels={"a": "1", "b": "2"}))
    change = {"metadata": {"labels": {"a": None}}, "spec": {"zones": ["z"]}}
    patched = (await api.patch(f"{CAMERAS}/{name}", change)).document
    assert patched["metadata"]["labels"] == {"b": "2"}
    assert patched["spec"]["zones"] == ["z"]


async def test_a_json_patch_applies_only_if_its_tests_hold(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name, labels={"a": "1"}))

    def relabel(expected: str) -> list[dict[str, str]]:
        path = "/metadata/labels/a"
        return [{"op": "test", "path": path, "value": expected}, {"op": "replace", "path": path, "value": "2"}]

    good = await api.patch(f"{CAMERAS}/{name}", relabel("1"), JSON_PATCH)
    assert (good.status, good.metadata["labels"]) == (200, {"a": "2"})
    assert (await api.patch(f"{CAMERAS}/{name}", relabel("1"), JSON_PATCH)).status == 422


async def test_a_json_patch_that_leads_nowhere_is_refused(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    missing = [{"op": "remove", "path": "/spec/nothing/here"}]
    assert (await api.patch(f"{CAMERAS}/{name}", missing, JSON_PATCH)).status == 422
    assert (await api.patch(f"{CAMERAS}/{name}", {"op": "remove"}, JSON_PATCH)).status == 400


# --- status -------------------------------------------------------------------------------------------------------


async def test_the_status_is_written_through_its_subresource_alone(api: Api) -> None:
    path = f"{CAMERAS}/{unique()}"
    await api.create(CAMERAS, a_camera(path.rpartition("/")[2]))
    ignored = await api.patch(path, {"status": {"phase": "hidden"}})
    assert "status" not in ignored.document
    both = {"status": {"phase": "shown"}, "spec": {"url": "rtsp://elsewhere"}}
    written = (await api.patch(f"{path}/status", both)).document
    assert written["status"] == {"phase": "shown"}
    assert written["spec"]["url"] == "rtsp://camera/1"


async def test_a_status_given_at_creation_is_dropped_and_can_be_put_later(api: Api) -> None:
    name = unique()
    camera = await api.create(CAMERAS, {**a_camera(name), "status": {"phase": "early"}})
    assert "status" not in camera
    camera["status"] = {"phase": "later"}
    written = await api.put(f"{CAMERAS}/{name}/status", camera)
    assert (written.status, written.document["status"]) == (200, {"phase": "later"})


# --- strategic merge patch ----------------------------------------------------------------------------------------


async def test_a_strategic_patch_merges_containers_by_name(api: Api) -> None:
    name = unique()
    await api.create(PODS, a_pod(name, "x:1", "y:1"))
    change = {"spec": {"containers": [{"name": "a", "image": "x:2"}]}}
    patched = (await api.patch(f"{PODS}/{name}", change, STRATEGIC)).document
    assert [(each["name"], each["image"]) for each in patched["spec"]["containers"]] == [("a", "x:2"), ("b", "y:1")]


async def test_a_strategic_patch_deletes_and_replaces_on_request(api: Api) -> None:
    name = unique()
    conditions = [{"type": kind, "status": "True"} for kind in ("One", "Two")]
    await api.create(PODS, a_pod(name))
    await api.patch(f"{PODS}/{name}/status", {"status": {"conditions": conditions}}, STRATEGIC)
    gone = {"status": {"conditions": [{"type": "One", "$patch": "delete"}]}}
    left = (await api.patch(f"{PODS}/{name}/status", gone, STRATEGIC)).document["status"]["conditions"]
    assert [each["type"] for each in left] == ["Two"]


async def test_custom_objects_have_no_strategic_patch(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    assert (await api.patch(f"{CAMERAS}/{name}", {"spec": {"fps": 3}}, STRATEGIC)).status == 415


async def test_an_unknown_content_type_is_refused(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    assert (await api.patch(f"{CAMERAS}/{name}", {}, "application/json")).status == 415
    assert (await api.post(CAMERAS, a_camera(name), content_type="text/plain")).status == 415


# --- server-side apply --------------------------------------------------------------------------------------------


async def _apply(api: Api, name: str, spec: Any, manager: str, **options: Any) -> Any:
    body = {**a_camera(name), "spec": spec}
    return await api.patch(f"{CAMERAS}/{name}", body, APPLY, fieldManager=manager, **options)


async def test_apply_creates_the_object_and_notes_who_owns_what(api: Api) -> None:
    name = unique()
    applied = await _apply(api, name, {"url": "rtsp://one"}, "m1")
    assert applied.status == 201
    entry = next(each for each in applied.metadata["managedFields"] if each["manager"] == "m1")
    assert entry["operation"] == "Apply"
    assert entry["fieldsV1"]["f:spec"] == {"f:url": {}}


async def test_applying_the_same_again_changes_nothing(api: Api) -> None:
    name = unique()
    first = await _apply(api, name, {"url": "rtsp://one"}, "m1")
    again = await _apply(api, name, {"url": "rtsp://one"}, "m1")
    assert again.status == 200
    assert again.metadata["resourceVersion"] == first.metadata["resourceVersion"]


async def test_apply_refuses_to_take_a_field_from_another_manager_unless_forced(api: Api) -> None:
    name = unique()
    await _apply(api, name, {"url": "rtsp://one"}, "m1")
    refused = await _apply(api, name, {"url": "rtsp://two"}, "m2")
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert refused.document["details"]["causes"][0]["field"] == ".spec.url"
    forced = await _apply(api, name, {"url": "rtsp://two"}, "m2", force="true")
    assert forced.document["spec"]["url"] == "rtsp://two"
    owners = [each["manager"] for each in forced.metadata["managedFields"]]
    assert owners == ["m2"]


async def test_a_field_applied_before_and_left_out_now_is_removed(api: Api) -> None:
    name = unique()
    await _apply(api, name, {"url": "rtsp://one", "mode": "day", "zones": ["x"]}, "m1")
    applied = (await _apply(api, name, {"url": "rtsp://one"}, "m1")).document
    assert "mode" not in applied["spec"]
    assert "zones" not in applied["spec"]


async def test_a_field_that_two_managers_apply_alike_stays_until_both_leave_it_out(api: Api) -> None:
    name = unique()
    for manager in ("m1", "m2"):
        await _apply(api, name, {"url": "rtsp://one", "mode": "day"}, manager)
    assert (await _apply(api, name, {"url": "rtsp://one"}, "m1")).document["spec"]["mode"] == "day"
    assert "mode" not in (await _apply(api, name, {"url": "rtsp://one"}, "m2")).document["spec"]


async def test_managers_own_items_of_a_keyed_list_separately(api: Api) -> None:
    name = unique()
    await _apply(api, name, {"url": "rtsp://one", "filters": [{"name": "blur", "level": 1}]}, "m1")
    applied = await _apply(api, name, {"url": "rtsp://one", "filters": [{"name": "crop", "level": 2}]}, "m2")
    filters = {each["name"]: each["level"] for each in applied.document["spec"]["filters"]}
    assert filters == {"blur": 1, "crop": 2}
    left = await _apply(api, name, {"url": "rtsp://one"}, "m1")
    assert [each["name"] for each in left.document["spec"]["filters"]] == ["crop"]


async def test_applying_over_another_writers_value_is_a_conflict_from_the_first_time(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    assert (await _apply(api, name, {"url": "rtsp://other"}, "m1")).status == 409


async def test_an_update_takes_fields_from_whoever_applied_them(api: Api) -> None:
    name = unique()
    await _apply(api, name, {"url": "rtsp://one", "fps": 5}, "m1")
    await api.patch(f"{CAMERAS}/{name}", {"spec": {"fps": 6}}, fieldManager="updater")
    refused = await _apply(api, name, {"url": "rtsp://one", "fps": 5}, "m1")
    assert refused.status == 409
    assert "updater" in refused.document["message"]


async def test_what_one_manager_alone_had_put_into_the_metadata_goes_and_the_rest_of_it_stays(api: Api) -> None:
    name = unique()
    labelled = a_camera(name, labels={"a": "1"}, finalizers=["luna.test/hold"])
    applied = await api.patch(f"{CAMERAS}/{name}", labelled, APPLY, fieldManager="m1")
    assert applied.status == 201
    plain = await api.patch(f"{CAMERAS}/{name}", a_camera(name), APPLY, fieldManager="m1")
    assert plain.status == 200
    assert not plain.metadata.keys() & {"labels", "finalizers"}
    assert plain.metadata["uid"] == applied.metadata["uid"]


async def test_apply_needs_a_field_manager(api: Api) -> None:
    assert (await api.patch(f"{CAMERAS}/{unique()}", a_camera(), APPLY)).status == 422


async def test_apply_speaks_yaml(api: Api) -> None:
    name = unique()
    text = f"apiVersion: contract.luna.test/v1\nkind: Camera\nmetadata: {{name: {name}}}\nspec:\n  url: rtsp://yaml\n"
    applied = await api.patch(f"{CAMERAS}/{name}", text.encode(), APPLY, fieldManager="m1")
    assert (applied.status, applied.document["spec"]["url"]) == (201, "rtsp://yaml")


# --- deleting -----------------------------------------------------------------------------------------------------


async def test_deleting_removes_at_once_when_nothing_holds_the_object(api: Api) -> None:
    camera = await api.create(CAMERAS, a_camera(unique()))
    name, uid = camera["metadata"]["name"], camera["metadata"]["uid"]
    deleted = await api.delete(f"{CAMERAS}/{name}")
    assert (deleted.status, deleted.document["kind"], deleted.document["status"]) == (200, "Status", "Success")
    assert (deleted.document["details"]["name"], deleted.document["details"]["uid"]) == (name, uid)
    assert (await api.delete(f"{CAMERAS}/{name}")).status == 404


async def test_a_finalizer_holds_an_object_until_it_is_taken_off(api: Api) -> None:
    path = f"{CAMERAS}/{unique()}"
    await api.create(CAMERAS, a_camera(path.rpartition("/")[2], finalizers=["luna.test/hold"]))
    assert (await api.delete(path)).status == 200
    held = (await api.get(path)).metadata
    assert held["deletionTimestamp"].endswith("Z")
    assert held["deletionGracePeriodSeconds"] == 0
    assert held["generation"] == 2
    version = await api.version_of(CAMERAS)
    freed = await api.patch(path, {"metadata": {"finalizers": []}})
    assert freed.status == 200
    assert "finalizers" not in freed.metadata
    assert (await api.get(path)).status == 404
    watched = await api.watch(
        CAMERAS, count=1, resourceVersion=version, fieldSelector=f"metadata.name={path.rpartition('/')[2]}"
    )
    assert watched.types == ["DELETED"], "one step, not a change and then the removal"


async def test_no_finalizer_can_be_added_to_an_object_that_is_being_deleted(api: Api) -> None:
    path = f"{CAMERAS}/{unique()}"
    await api.create(CAMERAS, a_camera(path.rpartition("/")[2], finalizers=["luna.test/hold"]))
    await api.delete(path)
    more = {"metadata": {"finalizers": ["luna.test/hold", "luna.test/more"]}}
    assert (await api.patch(path, more)).status == 422
    await api.patch(path, {"metadata": {"finalizers": None}})


async def test_a_deletion_may_insist_on_a_uid_and_a_version(api: Api) -> None:
    name = unique()
    metadata = (await api.create(CAMERAS, a_camera(name)))["metadata"]

    async def delete(**preconditions: str) -> int:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        return (await api.delete(f"{CAMERAS}/{name}", options)).status

    assert await delete(uid="00000000-0000-0000-0000-000000000000") == 409
    assert await delete(resourceVersion="1") == 409
    assert await delete(uid=metadata["uid"], resourceVersion=metadata["resourceVersion"]) == 200


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    group = unique()
    for index in range(3):
        await api.create(CAMERAS, a_camera(f"{group}-{index}", labels={"group": group}))
    await api.create(CAMERAS, a_camera(f"{group}-other"))
    assert (await api.delete(CAMERAS, labelSelector=f"group={group}")).status == 200
    assert (await api.get(CAMERAS, labelSelector=f"group={group}")).names == []
    assert (await api.get(f"{CAMERAS}/{group}-other")).status == 200


async def test_a_pod_without_a_node_goes_at_once_and_one_on_a_node_waits_for_it(api: Api) -> None:
    name = unique()
    await api.create(PODS, a_pod(f"{name}-free"))
    await api.delete(f"{PODS}/{name}-free")
    assert (await api.get(f"{PODS}/{name}-free")).status == 404

    path = f"{PODS}/{name}-bound"
    await api.create(PODS, a_pod(f"{name}-bound", terminationGracePeriodSeconds=7))
    target = {"apiVersion": "v1", "kind": "Node", "name": "nowhere"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": f"{name}-bound"}, "target": target}
    assert (await api.post(f"{path}/binding", binding)).status == 201
    assert (await api.get(path)).document["spec"]["nodeName"] == "nowhere"
    assert (await api.post(f"{path}/binding", binding)).status == 409
    await api.delete(path)
    assert (await api.get(path)).metadata["deletionGracePeriodSeconds"] == 7
    confirmed = await api.delete(path, {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})
    assert confirmed.status == 200
    assert (await api.get(path)).status == 404


# --- owners -------------------------------------------------------------------------------------------------------


async def _owned_config_map(api: Api, owner: Any, **reference: Any) -> str:
    owned = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
    owned |= {"uid": owner["metadata"]["uid"], **reference}
    name = unique("owned")
    await api.create(CONFIGMAPS, a_config_map(name, ownerReferences=[owned]))
    return f"{CONFIGMAPS}/{name}"


async def _is_gone(api: Api, path: str) -> bool:
    return (await api.get(path)).status == 404


async def test_what_an_object_owned_goes_with_it(api: Api) -> None:
    owner = await api.create(CAMERAS, a_camera(unique()))
    owned = await _owned_config_map(api, owner)
    await api.delete(f"{CAMERAS}/{owner['metadata']['name']}")
    await eventually(lambda: _is_gone(api, owned))


async def test_an_object_whose_owner_never_existed_goes_too(api: Api) -> None:
    owner = a_camera(unique(), uid="11111111-2222-3333-4444-555555555555")
    owned = await _owned_config_map(api, owner)
    await eventually(lambda: _is_gone(api, owned))


async def test_orphans_stay_when_asked_for(api: Api) -> None:
    owner = await api.create(CAMERAS, a_camera(unique()))
    path = f"{CAMERAS}/{owner['metadata']['name']}"
    owned = await _owned_config_map(api, owner)
    await eventually(lambda: _knows_dependent(api, path, owned))
    await api.delete(path, {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Orphan"})
    await eventually(lambda: _is_gone(api, path))
    assert "ownerReferences" not in (await api.get(owned)).metadata


async def _knows_dependent(api: Api, owner: str, owned: str) -> bool:
    """The garbage collector of a real cluster learns of objects a little later than clients do."""
    if api.server.is_real:
        probe = await api.create(CONFIGMAPS, a_config_map(unique(), ownerReferences=[
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": unique()},
        ]))  # fmt: skip
        await eventually(lambda: _is_gone(api, f"{CONFIGMAPS}/{probe['metadata']['name']}"))
    return (await api.get(owner)).status == (await api.get(owned)).status == 200


async def test_foreground_deletion_removes_the_owner_last(api: Api) -> None:
    owner = await api.create(CAMERAS, a_camera(unique()))
    path = f"{CAMERAS}/{owner['metadata']['name']}"
    owned = await _owned_config_map(api, owner, blockOwnerDeletion=True)
    await api.patch(owned, {"metadata": {"finalizers": ["luna.test/hold"]}})
    await eventually(lambda: _knows_dependent(api, path, owned))
    await api.delete(path, {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"})
    await eventually(lambda: _is_being_deleted(api, owned))
    assert "foregroundDeletion" in (await api.get(path)).metadata["finalizers"]
    await api.patch(owned, {"metadata": {"finalizers": None}})
    await eventually(lambda: _is_gone(api, path))


async def _is_being_deleted(api: Api, path: str) -> bool:
    return "deletionTimestamp" in (await api.get(path)).metadata
