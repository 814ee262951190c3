"""The contract of a Kubernetes API server: schemas, discovery, views, built-in kinds. See `test_kubernetes_api`."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.apiservers import ApiServer, unique
from support.kubernetes_api import (
    AS_TABLE,
    CAMERAS,
    CONFIGMAPS,
    DEFINITIONS,
    PODS,
    STRATEGIC,
    Api,
    a_camera,
    a_config_map,
    a_definition,
    a_pod,
    connected,
    define_cameras,
    eventually,
    is_established,
)


@pytest.fixture
async def api(any_api: ApiServer) -> AsyncIterator[Api]:
    async with connected(any_api) as client:
        await define_cameras(client)
        yield client


# --- schemas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"fps": "fast"}, "spec.fps"),
        ({"fps": 1.5}, "spec.fps"),
        ({"fps": 0}, "spec.fps"),
        ({"fps": 121}, "spec.fps"),
        ({"url": ""}, "spec.url"),
        ({"url": "x" * 201}, "spec.url"),
        ({"mode": "dusk"}, "spec.mode"),
        ({"zones": "x"}, "spec.zones"),
        ({"zones": [1]}, "spec.zones[0]"),
        ({"zones": [None]}, "spec.zones[0]"),
        ({"filters": [{"level": 1}]}, "spec.filters[0].name"),
        ({"filters": [{"name": "a"}, {"name": "a"}]}, "spec.filters[1]"),
        ({"url": "file:///etc/passwd"}, "spec.url"),
        ({"shift": 10}, "spec"),
    ],
)
async def test_what_breaks_the_schema_is_refused_by_field(api: Api, spec: Any, field: str) -> None:
    reply = await api.post(CAMERAS, a_camera(unique(), spec=spec))
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert field in [cause["field"] for cause in reply.document["details"]["causes"]]


async def test_a_required_field_must_be_there(api: Api) -> None:
    camera = a_camera(unique())
    camera["spec"] = {}
    reply = await api.post(CAMERAS, camera)
    assert reply.status == 422
    assert "spec.url: Required value" in reply.document["message"]


async def test_a_rule_speaks_in_its_own_words(api: Api) -> None:
    refused = await api.post(CAMERAS, a_camera(unique(), spec={"url": "file:///x"}))
    assert "file urls are not allowed" in refused.document["message"]
    refused = await api.post(CAMERAS, a_camera(unique(), spec={"shift": 12.5}))
    assert "the shift of rtsp://camera/1 is too large" in refused.document["message"]


async def test_a_rule_may_compare_with_what_was_before(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    assert (await api.patch(f"{CAMERAS}/{name}", {"spec": {"lens": "wide"}})).status == 200
    refused = await api.patch(f"{CAMERAS}/{name}", {"spec": {"lens": "long"}})
    assert refused.status == 422
    assert "the lens cannot be changed" in refused.document["message"]


async def test_defaults_are_filled_in(api: Api) -> None:
    created = await api.create(CAMERAS, a_camera(unique()))
    assert created["spec"]["fps"] == 25
    nulled = await api.create(CAMERAS, a_camera(unique(), spec={"fps": None, "mode": None}))
    assert nulled["spec"]["fps"] == 25
    assert "mode" not in nulled["spec"]


async def test_unknown_fields_are_dropped_reported_or_refused_as_asked(api: Api) -> None:
    def odd() -> Any:
        return a_camera(unique(), spec={"colour": "red"})

    warned = await api.post(CAMERAS, odd())
    assert warned.status == 201
    assert "colour" not in warned.document["spec"]
    assert 'unknown field \\"spec.colour\\"' in warned.headers["warning"]
    quiet = await api.post(CAMERAS, odd(), fieldValidation="Ignore")
    assert (quiet.status, "warning" in quiet.headers) == (201, False)
    strict = await api.post(CAMERAS, odd(), fieldValidation="Strict")
    assert strict.status == 400
    assert "spec.colour" in strict.document["message"]


async def test_unknown_fields_stay_where_the_schema_says_so(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    status = {"anything": {"goes": [1, "two"]}}
    assert (await api.patch(f"{CAMERAS}/{name}/status", {"status": status})).document["status"] == status


@pytest.mark.parametrize(
    "metadata",
    [{"labels": {"a": 1}}, {"labels": ["a"]}, {"annotations": {"a": {}}}, {"finalizers": "x"}, {"ownerReferences": 1}],
)
async def test_metadata_of_a_wrong_type_is_refused(api: Api, metadata: Any) -> None:
    assert (await api.post(CAMERAS, a_camera(unique(), **metadata))).status == 400


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"a": "not a value"}},
        {"labels": {"-": "b"}},
        {"annotations": {"not a key": "b"}},
        {"finalizers": ["not a name"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": ""}]},
    ],
)
async def test_metadata_that_breaks_the_rules_is_refused(api: Api, metadata: Any) -> None:
    assert (await api.post(CAMERAS, a_camera(unique(), **metadata))).status == 422


# --- definitions --------------------------------------------------------------------------------------------------


async def _define(api: Api, **spec: Any) -> tuple[str, Any]:
    plural = f"c{unique()[2:]}"
    return plural, await api.post(DEFINITIONS, a_definition(plural, plural.capitalize(), **spec))


async def test_a_definition_is_established_and_served(api: Api) -> None:
    plural, reply = await _define(api)
    assert reply.status == 201
    await eventually(lambda: is_established(api, plural))

    async def is_listed() -> bool:
        listed = (await api.get("/apis/contract.luna.test/v1")).document["resources"]
        return {plural, f"{plural}/status", f"{plural}/scale"} <= {each["name"] for each in listed}

    await eventually(is_listed)


async def test_a_deleted_definition_takes_its_objects_along(api: Api) -> None:
    plural, _ = await _define(api)
    await eventually(lambda: is_established(api, plural))
    path = f"/apis/contract.luna.test/v1/namespaces/default/{plural}"
    camera = {**a_camera("one"), "kind": plural.capitalize()}

    async def is_created() -> bool:
        return (await api.post(path, camera)).status == 201

    await eventually(is_created)
    assert (await api.delete(f"{DEFINITIONS}/{plural}.contract.luna.test")).status == 200

    async def is_gone() -> bool:
        return (await api.get(path)).status == 404

    await eventually(is_gone)
    assert (await api.post(DEFINITIONS, a_definition(plural, plural.capitalize()))).status in (201, 409)


def _with_schema(**properties: Any) -> Any:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return {"versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}


@pytest.mark.parametrize(
    "spec",
    [
        {"scope": "Galaxy"},
        {"group": "other.test"},
        {"versions": []},
        _with_schema(a={}),
        _with_schema(a={"type": "colour"}),
        _with_schema(a={"type": "array"}),
        _with_schema(a={"type": "string", "pattern": "("}),
        _with_schema(a={"type": "integer", "default": "one"}),
        _with_schema(a={"type": "string", "x-kubernetes-validations": [{"rule": "self +"}]}),
        _with_schema(a={"type": "string", "x-kubernetes-validations": [{"rule": "other == 'x'"}]}),
        _with_schema(a={"type": "string", "x-kubernetes-validations": [{"rule": "self.nonsense()"}]}),
        _with_schema(a={"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        _with_schema(
            a={"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}
        ),
    ],
    ids=[
        "scope", "group of another name", "no version", "no type", "unknown type", "array without items", "pattern",
        "default of another type", "rule that is no expression", "rule with an unknown variable",
        "rule with an unknown function", "unique items", "properties and additional ones",
    ],
)  # fmt: skip
async def test_a_definition_that_makes_no_sense_is_refused(api: Api, spec: Any) -> None:
    _, reply = await _define(api, **spec)
    assert (reply.status, reply.reason) == (422, "Invalid")


# --- discovery ----------------------------------------------------------------------------------------------------


async def test_the_version_and_health_can_be_asked_for(api: Api) -> None:
    assert (await api.get("/version")).document["gitVersion"].startswith("v1.")
    for path in ("/healthz", "/livez", "/readyz"):
        assert (await api.get(path)).text == "ok"


async def test_groups_and_resources_are_listed(api: Api) -> None:
    assert (await api.get("/api")).document["versions"] == ["v1"]
    core = (await api.get("/api/v1")).document
    assert core["groupVersion"] == "v1"
    assert {"pods", "pods/log", "configmaps", "namespaces", "events"} <= {each["name"] for each in core["resources"]}
    groups = [group["name"] for group in (await api.get("/apis")).document["groups"]]
    assert {"apps", "batch", "coordination.k8s.io", "contract.luna.test"} <= set(groups)
    one = (await api.get("/apis/contract.luna.test")).document
    assert one["preferredVersion"]["groupVersion"] == "contract.luna.test/v1"


async def test_everything_can_be_discovered_at_once(api: Api) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    found = (await api.get("/apis", accept=accept)).document
    assert found["kind"] == "APIGroupDiscoveryList"
    group = next(each for each in found["items"] if each["metadata"]["name"] == "contract.luna.test")
    cameras = next(each for each in group["versions"][0]["resources"] if each["resource"] == "cameras")
    assert cameras["scope"] == "Namespaced"
    assert {each["subresource"] for each in cameras["subresources"]} == {"status", "scale"}


async def test_schemas_are_published(api: Api) -> None:
    async def is_published() -> bool:
        return "apis/contract.luna.test/v1" in (await api.get("/openapi/v3")).document["paths"]

    await eventually(is_published)
    place = (await api.get("/openapi/v3")).document["paths"]["apis/contract.luna.test/v1"]["serverRelativeURL"]
    schemas = (await api.get(place)).document["components"]["schemas"]
    url = schemas["test.luna.contract.v1.Camera"]["properties"]["spec"]["properties"]["url"]
    assert url["maxLength"] == 200
    assert (await api.get("/openapi/v2")).status == 200


# --- views --------------------------------------------------------------------------------------------------------


async def test_a_table_has_the_columns_of_the_definition(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    conditions = [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]
    await api.patch(f"{CAMERAS}/{name}/status", {"status": {"conditions": conditions}})
    table = (await api.get(CAMERAS, accept=AS_TABLE, fieldSelector=f"metadata.name={name}")).document
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "URL", "Ready"]
    assert table["rows"][0]["cells"] == [name, "rtsp://camera/1", "True"]
    assert table["rows"][0]["object"]["metadata"]["name"] == name


async def test_metadata_can_be_listed_alone(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
    listed = (await api.get(CAMERAS, accept=accept)).document
    assert listed["kind"] == "PartialObjectMetadataList"
    assert "spec" not in listed["items"][0]


async def test_an_answer_in_a_form_nobody_has_is_refused(api: Api) -> None:
    assert (await api.get(CAMERAS, accept="text/csv")).status == 406


# --- subresources -------------------------------------------------------------------------------------------------


async def test_the_scale_can_be_read_and_set(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    scale = (await api.get(f"{CAMERAS}/{name}/scale")).document
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 1})
    assert (await api.patch(f"{CAMERAS}/{name}/scale", {"spec": {"replicas": 3}})).status == 200
    assert (await api.get(f"{CAMERAS}/{name}")).document["spec"]["replicas"] == 3
    scale = (await api.get(f"{CAMERAS}/{name}/scale")).document
    scale["spec"]["replicas"] = 4
    assert (await api.put(f"{CAMERAS}/{name}/scale", scale)).status == 200
    assert (await api.put(f"{CAMERAS}/{name}/scale", scale)).status == 409


async def test_an_unknown_subresource_is_not_found(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    assert (await api.get(f"{CAMERAS}/{name}/nothing")).status == 404
    assert (await api.get(f"{CONFIGMAPS}/{name}/status")).status == 404


async def test_a_verb_that_makes_no_sense_is_refused(api: Api) -> None:
    for reply in (
        await api.put(CAMERAS, a_camera("x")),
        await api.post("/apis/contract.luna.test/v1/cameras", a_camera("x")),
    ):
        assert reply.status in (400, 404, 405)


async def test_a_pod_can_be_evicted(api: Api) -> None:
    name = unique()
    await api.create(PODS, a_pod(name))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    assert (await api.post(f"{PODS}/{name}/eviction", eviction)).status == 201
    assert (await api.get(f"{PODS}/{name}")).status == 404


# --- built-in kinds -----------------------------------------------------------------------------------------------


async def test_config_maps_are_merged_by_a_strategic_patch(api: Api) -> None:
    name = unique()
    await api.create(CONFIGMAPS, a_config_map(name))
    patched = await api.patch(f"{CONFIGMAPS}/{name}", {"data": {"b": "2"}}, STRATEGIC)
    assert patched.document["data"] == {"a": "1", "b": "2"}


async def test_a_secret_encodes_what_is_given_as_text(api: Api) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": unique()}, "stringData": {"word": "abc"}}
    created = await api.create("/api/v1/namespaces/default/secrets", secret)
    assert base64.b64decode(created["data"]["word"]) == b"abc"
    assert created["type"] == "Opaque"
    assert "stringData" not in created


async def test_a_pod_begins_pending_with_its_defaults(api: Api) -> None:
    name = unique()
    pod = await api.create(PODS, a_pod(name))
    assert pod["status"]["phase"] == "Pending"
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert pod["spec"]["serviceAccountName"] == "default"
    running = await api.patch(f"{PODS}/{name}/status", {"status": {"phase": "Running"}})
    assert running.document["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": []},
        {"containers": [{"image": "x"}]},
        {"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]},
        {"restartPolicy": "Sometimes"},
        {"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]},
    ],
)
async def test_a_pod_that_cannot_run_is_refused(api: Api, spec: Any) -> None:
    pod = a_pod(unique())
    pod["spec"] |= spec
    assert (await api.post(PODS, pod)).status == 422


async def test_a_pod_of_a_wrong_type_is_refused(api: Api) -> None:
    pod = a_pod(unique())
    pod["spec"]["containers"] = "many"
    assert (await api.post(PODS, pod)).status == 400


async def test_a_pod_stays_what_it_is_but_for_its_images(api: Api) -> None:
    name = unique()
    await api.create(PODS, a_pod(name))
    image = {"spec": {"containers": [{"name": "a", "image": "x:2"}]}}
    assert (await api.patch(f"{PODS}/{name}", image, STRATEGIC)).status == 200
    command = {"spec": {"containers": [{"name": "a", "command": ["x"]}]}}
    assert (await api.patch(f"{PODS}/{name}", command, STRATEGIC)).status == 422


async def test_a_pod_needs_an_existing_service_account(api: Api) -> None:
    assert (await api.post(PODS, a_pod(unique(), serviceAccountName="nobody"))).status == 403


async def test_a_lease_is_taken_by_one_of_two_at_once(api: Api) -> None:
    path, name = "/apis/coordination.k8s.io/v1/namespaces/default/leases", unique()
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {}}
    held = await api.create(path, lease)
    held["spec"] = {"holderIdentity": "one", "leaseDurationSeconds": 15}
    assert (await api.put(f"{path}/{name}", held)).status == 200
    held["spec"] = {"holderIdentity": "two", "leaseDurationSeconds": 15}
    assert (await api.put(f"{path}/{name}", held)).status == 409


async def test_an_event_is_recorded(api: Api) -> None:
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "event-"}, "type": "Normal",
        "involvedObject": {"kind": "Camera", "name": "a", "namespace": "default"}, "reason": "Seen", "message": "m",
        "action": "Look", "reportingComponent": "test", "reportingInstance": "test", "source": {"component": "test"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "firstTimestamp": None, "lastTimestamp": None,
    }  # fmt: skip
    created = await api.create("/api/v1/namespaces/default/events", event)
    assert created["metadata"]["name"].startswith("event-")
    found = await api.get("/api/v1/namespaces/default/events", fieldSelector="involvedObject.name=a,reason=Seen")
    assert created["metadata"]["name"] in found.names


async def test_a_namespace_has_a_service_account_and_goes_with_all_it_holds(api: Api) -> None:
    name = unique()
    await api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    inside = f"/api/v1/namespaces/{name}"

    async def has_account() -> bool:
        return (await api.get(f"{inside}/serviceaccounts/default")).status == 200

    await eventually(has_account)
    await api.create(f"{inside}/configmaps", a_config_map("held", finalizers=["luna.test/hold"]))
    await api.delete(inside)

    async def is_emptied() -> bool:
        return "deletionTimestamp" in (await api.get(f"{inside}/configmaps/held")).metadata

    await eventually(is_emptied)
    assert (await api.get(inside)).document["status"]["phase"] == "Terminating"
    assert (await api.post(f"{inside}/configmaps", a_config_map("late"))).status == 403
    await api.patch(f"{inside}/configmaps/held", {"metadata": {"finalizers": None}})

    async def is_gone() -> bool:
        return (await api.get(inside)).status == 404

    await eventually(is_gone)


async def test_the_default_namespace_stays(api: Api) -> None:
    assert (await api.get("/api/v1/namespaces/default")).status == 200
    assert (await api.delete("/api/v1/namespaces/default")).status == 403


# --- identities ---------------------------------------------------------------------------------------------------


async def test_the_administrator_may_do_everything(api: Api) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    group = "authorization.k8s.io/v1"
    access = {"apiVersion": group, "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    reply = await api.post(f"/apis/{group}/selfsubjectaccessreviews", access)
    assert (reply.status, reply.document["status"]["allowed"]) == (201, True)
    rules = {"apiVersion": group, "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}
    found = (await api.post(f"/apis/{group}/selfsubjectrulesreviews", rules)).document["status"]["resourceRules"]
    assert any(rule["verbs"] == ["*"] and rule["resources"] == ["*"] for rule in found)
    group = "authentication.k8s.io/v1"
    me = await api.post(f"/apis/{group}/selfsubjectreviews", {"apiVersion": group, "kind": "SelfSubjectReview"})
    assert "system:masters" in me.document["status"]["userInfo"]["groups"]


async def _token(api: Api, pod: Any, audience: str) -> str:
    reference = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    spec = {"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": reference}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    issued = await api.create("/api/v1/namespaces/default/serviceaccounts/default/token", request)
    assert issued["status"]["expirationTimestamp"].endswith("Z")
    return str(issued["status"]["token"])


async def _review(api: Api, token: str, audience: str) -> Any:
    group = "authentication.k8s.io/v1"
    review = {"apiVersion": group, "kind": "TokenReview", "spec": {"token": token, "audiences": [audience]}}
    return (await api.create(f"/apis/{group}/tokenreviews", review))["status"]


async def test_a_token_tells_which_pod_presents_it(api: Api) -> None:
    pod = await api.create(PODS, a_pod(unique()))
    status = await _review(api, await _token(api, pod, "luna"), "luna")
    assert status["authenticated"] is True
    assert status["audiences"] == ["luna"]
    assert status["user"]["username"] == "system:serviceaccount:default:default"
    extra = status["user"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == [pod["metadata"]["name"]]
    assert extra["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]


async def test_a_token_is_good_for_its_audience_alone(api: Api) -> None:
    pod = await api.create(PODS, a_pod(unique()))
    assert not (await _review(api, await _token(api, pod, "luna"), "other")).get("authenticated")


async def test_the_token_of_a_pod_that_is_gone_is_worthless(api: Api) -> None:
    name = unique()
    token = await _token(api, await api.create(PODS, a_pod(name)), "luna")
    await api.delete(f"{PODS}/{name}")
    # A namesake is somebody else.
    await api.create(PODS, a_pod(name))

    async def is_refused() -> bool:
        return not (await _review(api, token, "luna")).get("authenticated")

    await eventually(is_refused)


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "e30.e30.e30"])
async def test_a_token_that_nobody_issued_is_worthless(api: Api, token: str) -> None:
    assert not (await _review(api, token, "luna")).get("authenticated")


@pytest.mark.parametrize(
    "spec", [{"expirationSeconds": 5}, {"boundObjectRef": {"kind": "Node", "apiVersion": "v1", "name": "x"}}]
)
async def test_a_token_request_that_makes_no_sense_is_refused(api: Api, spec: Any) -> None:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    reply = await api.post("/api/v1/namespaces/default/serviceaccounts/default/token", request)
    assert reply.status in (400, 404, 422)
