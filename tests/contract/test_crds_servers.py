"""The CRDs on API servers, the embedded one and a real one: accepted, and every rule refuses and allows.

Each row of a table is one change to an object that is otherwise good. Objects are created as a dry run, so nothing
stays behind.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from luna_kube.manifests import crd_manifests
from luna_streams import naming
from luna_streams.v1alpha1 import Stream, StreamSpec
from support.apiservers import ApiServer, kubernetes_assets, unique
from support.builders import ACCOUNT, HANDLER, OTHER_ACCOUNT
from support.crd_schemas import all_fields, crds
from support.repository import ROOT

PLURALS = {kind: crd["spec"]["names"]["plural"] for kind, crd in crds().items()}
PASSWORD = "hunter2"


@dataclass(frozen=True)
class Answer:
    """What an API server said."""

    code: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        """What a person reads."""
        return str(self.body.get("message", ""))


def call(server: ApiServer, method: str, path: str, body: object = None, **headers: str) -> Answer:
    """Send one request as the administrator."""
    content = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(  # noqa: S310  the address is the server's of this test
        server.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers=server.headers | content,
    )
    try:
        with urllib.request.urlopen(request, timeout=30, context=server.ssl) as answer:  # noqa: S310
            return Answer(answer.status, json.load(answer))
    except urllib.error.HTTPError as error:
        text = error.read()
        is_json = "json" in error.headers.get("Content-Type", "")
        return Answer(error.code, json.loads(text) if is_json else {"message": text.decode()})


def path_of(kind: str, name: str = "", *, query: str = "") -> str:
    """Return the path of a collection or an object in the namespace of these tests."""
    base = f"/apis/{naming.API_VERSION}/namespaces/default/{PLURALS[kind]}"
    return base + (f"/{name}" if name else "") + query


def create(server: ApiServer, kind: str, spec: object, *, name: str = "", dry: bool = True) -> Answer:
    """Create an object, as a dry run unless told otherwise."""
    body = {
        "apiVersion": naming.API_VERSION,
        "kind": kind,
        "metadata": {"name": name or unique("crd"), "namespace": "default"},
        "spec": spec,
    }
    query = "?fieldValidation=Strict" + ("&dryRun=All" if dry else "")
    return call(server, "POST", path_of(kind, query=query), body)


@pytest.fixture(scope="module")
def api(any_api: ApiServer) -> ApiServer:
    """Return a server that knows the CRDs."""
    for path in crd_manifests():
        manifest = yaml.safe_load(path.read_text())
        name = manifest["metadata"]["name"]
        applied = call(
            any_api,
            "PATCH",
            f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=tests&force=true",
            manifest,
            Content_Type="application/apply-patch+yaml",
        )
        assert applied.code in (200, 201), applied.message
        wait_until_served(any_api, manifest["spec"]["names"]["kind"])
    return any_api


def wait_until_served(server: ApiServer, kind: str) -> None:
    deadline = time.monotonic() + 30
    while call(server, "GET", path_of(kind, query="?limit=1")).code != 200:
        assert time.monotonic() < deadline, f"{kind} is not served 30 s after its CRD was created"
        time.sleep(0.1)


# --- what is refused ------------------------------------------------------------------------------------------------


def a_spec(**data: Any) -> dict[str, Any]:
    """Return the spec of a stream as a person writes it; None takes a field out."""
    handler = {"handlerId": HANDLER}
    good = {"type": "tcp", "reference": "rtsp://camera/live", "analytics": [{"eventHandler": handler}]}
    return {"accountId": ACCOUNT, "data": {name: value for name, value in (good | data).items() if value is not None}}


def an_analysis(**changes: Any) -> dict[str, Any]:
    """Return the spec of a stream with one analytics."""
    return a_spec(analytics=[{"eventHandler": {"handlerId": HANDLER}} | changes])


def a_handler(**changes: Any) -> dict[str, Any]:
    """Return the spec of a stream with one handler."""
    return a_spec(analytics=[{"eventHandler": {"handlerId": HANDLER} | changes}])


def a_region(**changes: Any) -> dict[str, Any]:
    """Return a region of 10 by 10."""
    return {"x": 0, "y": 0, "width": 10, "height": 10} | changes


def a_webhook(**changes: Any) -> dict[str, Any]:
    """Return the spec of a stream with one webhook; None takes a field out."""
    handler = {"type": "cloudevents", "url": "https://hook/events"} | changes
    handler = {name: value for name, value in handler.items() if value is not None}
    return a_spec(analytics=[{"eventHandler": handler}])


SECRET = {"name": "camera", "key": "reference"}
NO_USER = "put user:password into a Secret and name its key in referenceFrom"
SCHEME = "reference has an unknown scheme; permitted are rtsp, rtsps, http, https, udp, with"
WHOLE = "in mode abs, x, y, width and height are whole pixels; fractions need mode: percent"

REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    # name, kind, spec, what the message says
    ("user-info", "Stream", a_spec(reference=f"rtsp://admin:{PASSWORD}@camera/live"), NO_USER),
    ("user-alone", "Stream", a_spec(reference="rtsp://admin@camera/live"), NO_USER),
    ("at-in-password", "Stream", a_spec(reference=f"rtsp://admin:{PASSWORD}@x@camera"), NO_USER),
    ("hash-in-password", "Stream", a_spec(reference=f"rtsp://admin:{PASSWORD}#1@camera/live"), NO_USER),
    ("user-info-ipv6", "Stream", a_spec(reference=f"rtsp://admin:{PASSWORD}@[::1]:554/live"), NO_USER),
    ("user-info-of-a-file", "Stream", a_spec(type="videofile", reference=f"http://a:{PASSWORD}@h/x.mp4"), NO_USER),
    ("user-info-behind-a-blank", "Stream", a_spec(reference=f" rtsp://admin:{PASSWORD}@camera/live"), NO_USER),
    ("user-info-behind-a-line", "Stream", a_spec(reference=f"\n\trtsp://admin:{PASSWORD}@camera/live\n"), NO_USER),
    ("user-info-behind-a-hard-blank", "Stream", a_spec(reference=f"\u00a0rtsp://a:{PASSWORD}/1@camera"), NO_USER),
    ("user-info-behind-a-hash", "Stream", a_spec(reference=f"#rtsp://admin:{PASSWORD}@camera/live"), NO_USER),
    ("blank-before-the-scheme", "Stream", a_spec(reference="\u3000rtsp://camera/live"), SCHEME),
    ("blank-before-a-protocol", "Stream", a_spec(type="videofile", reference="\t file:/etc/passwd"), SCHEME),
    ("concat", "Stream", a_spec(reference="concat:/etc/passwd|/etc/shadow"), SCHEME),
    ("exec", "Stream", a_spec(reference="exec:/bin/sh"), SCHEME),
    ("file-url", "Stream", a_spec(reference="file:///etc/passwd"), SCHEME),
    ("file-in-capitals", "Stream", a_spec(type="videofile", reference="FILE:/etc/passwd"), SCHEME),
    ("subfile", "Stream", a_spec(reference="subfile,,start,1,end,2,,:/etc/passwd"), SCHEME),
    ("long-reference", "Stream", a_spec(reference=f"rtsp://admin:{PASSWORD}@" + "x" * 512), "512"),
    ("no-reference", "Stream", a_spec(reference=None), "Required value"),
    ("unknown-type", "Stream", a_spec(type="file"), '"tcp", "udp", "videofile", "images"'),
    ("secret-for-a-file", "Stream", a_spec(type="videofile", reference="/x.mp4", referenceFrom=SECRET), "is a URL"),
    ("secret-without-key", "Stream", a_spec(referenceFrom={"name": "camera"}), "key: Required value"),
    ("images-without-mask", "Stream", a_spec(type="images", reference="/x"), "mask is required for type images"),
    ("mask-elsewhere", "Stream", a_spec(mask="a%d.jpg"), "mask is permitted for type images only"),
    ("endless-file", "Stream", a_spec(type="videofile", endless=True), "endless is permitted for types tcp and udp"),
    ("endless-images", "Stream", a_spec(type="images", mask="a", endless=False), "endless is permitted for types"),
    ("no-analytics", "Stream", a_spec(analytics=[]), "should have at least 1 items"),
    ("17-analytics", "Stream", a_spec(analytics=[{"eventHandler": {"handlerId": HANDLER}}] * 17), "at most 16"),
    ("half-a-pixel", "Stream", a_spec(roi=a_region(x=0.5)), WHOLE),
    ("half-a-pixel-in-droi", "Stream", an_analysis(droi=a_region(height=1.5)), WHOLE),
    ("pixels-beyond", "Stream", a_spec(roi=a_region(width=65537)), "65536"),
    ("101-percent", "Stream", a_spec(roi=a_region(width=101, mode="percent")), "at most 100"),
    ("101-percent-in-droi", "Stream", an_analysis(droi=a_region(x=100.5, mode="percent")), "at most 100"),
    ("empty-percent", "Stream", a_spec(roi=a_region(width=0, mode="percent")), "must be greater than 0"),
    ("empty-percent-in-droi", "Stream", an_analysis(droi=a_region(height=0, mode="percent")), "greater than 0"),
    ("three-sides", "Stream", a_spec(roi={"x": 0, "y": 0, "width": 1}), "height: Required value"),
    ("no-authorization", "Stream", a_handler(authorization={}), "exactly one of accountId and tokenFrom"),
    (
        "two-authorizations",
        "Stream",
        a_handler(authorization={"accountId": ACCOUNT, "tokenFrom": SECRET}),
        "exactly one of accountId and tokenFrom",
    ),
    ("user-info-in-origin", "Stream", a_handler(origin=f"http://a:{PASSWORD}@luna"), "origin must not contain user"),
    ("user-info-in-store", "Stream", a_handler(frameStore=f"http://a:{PASSWORD}@luna"), "frameStore must not contain"),
    ("no-handler", "Stream", an_analysis(eventHandler={}), "handlerId is required for type luna_handler"),
    ("url-of-a-handler", "Stream", a_handler(url="http://hook"), "url is permitted for type cloudevents only"),
    ("webhook-without-url", "Stream", a_webhook(url=None), "url is required for type cloudevents"),
    ("handler-of-a-webhook", "Stream", a_webhook(handlerId=HANDLER), "are permitted for type luna_handler only"),
    ("origin-of-a-webhook", "Stream", a_webhook(origin="http://luna"), "are permitted for type luna_handler only"),
    ("account-of-a-webhook", "Stream", a_webhook(authorization={"accountId": ACCOUNT}), "authorized by tokenFrom"),
    ("user-info-of-a-webhook", "Stream", a_webhook(url=f"http://a:{PASSWORD}@hook"), "url must not contain user"),
    ("webhook-without-http", "Stream", a_webhook(url="file:///etc/passwd"), "should match"),
    ("webhook-without-host", "Stream", a_webhook(url="http://"), "should match"),
    ("unknown-receiver", "Stream", a_webhook(type="kafka"), '"luna_handler", "cloudevents"'),
    ("upper-case-uuid", "Stream", a_handler(handlerId=HANDLER.upper()), "should match"),
    ("uuid-and-a-line", "Stream", a_handler(handlerId=HANDLER + "\n"), "handlerId"),
    ("big-number", "Stream", an_analysis(filtering={"yawNumber": 2**31}), "yawNumber"),
    ("unknown-field", "Stream", a_spec(speed=7), 'unknown field "spec.data.speed"'),
    ("group-twice", "Stream", a_spec() | {"groups": ["a", "a"]}, "Duplicate value"),
    ("odd-group", "Stream", a_spec() | {"groups": ["a b"]}, "should match"),
    ("unknown-wish", "Stream", a_spec() | {"desiredStatus": "done"}, '"pending", "pause", "cancel"'),
    ("no-time", "Stream", a_spec() | {"restartedAt": "now"}, "restartedAt"),
    ("no-account", "Stream", {"data": a_spec()["data"]}, "accountId: Required value"),
    ("long-group-name", "StreamGroup", {"accountId": ACCOUNT, "groupName": "x" * 129}, "groupName"),
    ("no-group-name", "StreamGroup", {"accountId": ACCOUNT}, "groupName: Required value"),
    ("min-above-max", "StreamProcessor", {"minReplicas": 2, "maxReplicas": 1}, "minReplicas must not exceed"),
    ("min-above-default-max", "StreamProcessor", {"minReplicas": 2}, "minReplicas must not exceed maxReplicas"),
    ("no-gpu-at-all", "StreamProcessor", {"gpu": {"count": 2}}, "exactly one of resourceName, claimTemplate and"),
    (
        "gpu-in-three-ways",
        "StreamProcessor",
        {"gpu": {"resourceName": "nvidia.com/gpu", "claimTemplate": "gpu", "claimName": "gpu"}},
        "exactly one of resourceName, claimTemplate and claimName",
    ),
    ("odd-template", "StreamProcessor", {"podTemplate": {"specc": {}}}, 'unknown field "spec.podTemplate.specc"'),
    ("odd-label", "StreamProcessor", {"podTemplate": {"metadata": {"labels": {"a": 1}}}}, "labels.a"),
    (
        "gpu-in-two-ways",
        "StreamProcessor",
        {"gpu": {"resourceName": "nvidia.com/gpu", "claimTemplate": "gpu"}},
        "exactly one of resourceName, claimTemplate and claimName",
    ),
    ("user-info-of-platform", "StreamProcessor", {"platform": {"origin": f"http://a:{PASSWORD}@l"}}, "origin must not"),
    (
        "user-info-of-platform-behind-a-blank",
        "StreamProcessor",
        {"platform": {"origin": f" http://a:{PASSWORD}@l"}},
        "origin must not",
    ),
    ("user-info-of-origin", "Stream", a_handler(origin=f"\thttp://a:{PASSWORD}@l"), "origin must not"),
    ("user-info-of-store", "Stream", a_handler(frameStore=f"\u00a0http://a:{PASSWORD}@l"), "frameStore must not"),
    ("no-slots", "StreamProcessor", {"slotsPerPod": 0}, "slotsPerPod"),
]

ALLOWED: list[tuple[str, str, dict[str, Any]]] = [
    ("smallest", "Stream", a_spec()),
    ("at-in-path", "Stream", a_spec(reference="rtsp://camera:554/live@main")),
    ("at-in-query", "Stream", a_spec(reference="http://camera/x?user=a:b@c")),
    ("ipv6", "Stream", a_spec(reference="rtsp://[::1]:554/live@main")),
    ("capital-scheme", "Stream", a_spec(reference="RTSP://camera/live")),
    ("device", "Stream", a_spec(reference="/dev/video0")),
    ("device-number", "Stream", a_spec(reference="0")),
    ("blank-after-the-url", "Stream", a_spec(reference="rtsp://camera/live \n")),
    ("file-behind-a-blank", "Stream", a_spec(type="videofile", reference=" media/12:30.mp4")),
    ("file-with-colon", "Stream", a_spec(type="videofile", reference="/media/12:30.mp4")),
    ("file-by-http", "Stream", a_spec(type="videofile", reference="https://host/x.mp4")),
    ("secret", "Stream", a_spec(referenceFrom=SECRET)),
    ("images", "Stream", a_spec(type="images", reference="/x", mask="frame_%04d.jpg")),
    ("images-with-empty-mask", "Stream", a_spec(type="images", reference="/x", mask="")),
    ("endless-udp", "Stream", a_spec(type="udp", reference="udp://239.0.0.1:1234", endless=False)),
    ("pixels", "Stream", a_spec(roi=a_region(mode="abs"))),
    ("pixels-to-the-bound", "Stream", a_spec(roi=a_region(width=65536, height=0))),
    ("percent", "Stream", a_spec(roi=a_region(x=0.5, width=99.5, mode="percent"))),
    ("percent-in-droi", "Stream", an_analysis(droi=a_region(height=0.00001, mode="percent"))),
    ("token", "Stream", a_handler(authorization={"tokenFrom": SECRET})),
    ("account", "Stream", a_handler(authorization={"accountId": OTHER_ACCOUNT})),
    ("origin", "Stream", a_handler(origin="http://luna:5000/", frameStore="http://luna:5020/1/buckets/frames/images")),
    ("webhook", "Stream", a_webhook()),
    ("webhook-with-all", "Stream", a_webhook(authorization={"tokenFrom": SECRET}, frameStore="http://luna/6/images")),
    ("webhook-with-a-query", "Stream", a_webhook(url="http://[::1]:8080/a?b=c@d")),
    ("biggest-number", "Stream", an_analysis(filtering={"yawNumber": 2**31 - 1, "minScoreFace": -1e30})),
    ("group", "StreamGroup", {"accountId": ACCOUNT, "groupName": "x" * 128}),
    ("smallest-pool", "StreamProcessor", {}),
    ("asleep", "StreamProcessor", {"minReplicas": 0, "maxReplicas": 0}),
    ("gpu", "StreamProcessor", {"gpu": {"resourceName": "nvidia.com/mig-1g.10gb"}}),
    ("claim", "StreamProcessor", {"gpu": {"claimTemplate": "gpu"}}),
    ("shared-claim", "StreamProcessor", {"gpu": {"claimName": "gpu"}}),
    ("labels", "StreamProcessor", {"podTemplate": {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}}),
    ("template", "StreamProcessor", {"podTemplate": {"spec": {"tolerations": [{"operator": "Exists"}]}}}),
]


@pytest.mark.parametrize(("kind", "spec", "message"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_what_is_wrong_is_refused_with_a_reason(api: ApiServer, kind: str, spec: dict[str, Any], message: str) -> None:
    answer = create(api, kind, spec)
    assert answer.code in (400, 422), "it was accepted"
    assert message in answer.message
    assert PASSWORD not in json.dumps(answer.body)


@pytest.mark.parametrize(("kind", "spec"), [pytest.param(*row[1:], id=row[0]) for row in ALLOWED])
def test_what_is_right_is_allowed(api: ApiServer, kind: str, spec: dict[str, Any]) -> None:
    answer = create(api, kind, spec)
    assert answer.code == 201, answer.message


def test_every_rule_is_seen_to_refuse() -> None:
    refusals = " | ".join(row[3] for row in REFUSED) + " | " + " | ".join(change[3] for change in FROZEN)
    for kind, crd in crds().items():
        for rule in _rules(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
            assert any(part in rule["message"] for part in refusals.split(" | ")), (kind, rule["message"])


def _rules(schema: dict[str, Any]) -> list[dict[str, Any]]:
    below = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    own: list[dict[str, Any]] = schema.get("x-kubernetes-validations", [])
    return own + [rule for child in below for rule in _rules(child)]


# --- what may be changed --------------------------------------------------------------------------------------------

FROZEN: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # kind, before, change, what the message says
    (
        "StreamGroup",
        {"accountId": ACCOUNT, "groupName": "a"},
        {"accountId": OTHER_ACCOUNT},
        "accountId cannot be changed",
    ),
    ("StreamGroup", {"accountId": ACCOUNT, "groupName": "a"}, {"groupName": "b"}, "groupName cannot be changed"),
]
FREE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("StreamGroup", {"accountId": ACCOUNT, "groupName": "a"}, {"description": "other"}),
    ("Stream", a_spec(), {"accountId": OTHER_ACCOUNT}),
    ("Stream", a_spec(), {"data": {"type": "udp", "reference": "udp://239.0.0.1:1"}}),
    ("StreamProcessor", {}, {"selector": {"names": ["door"]}, "maxReplicas": 7, "slotsPerPod": 1}),
]


@pytest.mark.parametrize(("kind", "before", "change", "message"), FROZEN)
def test_what_names_a_group_cannot_be_changed(
    api: ApiServer, kind: str, before: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    name = unique("frozen")
    assert create(api, kind, before, name=name, dry=False).code == 201
    answer = patch(api, kind, name, {"spec": change})
    assert answer.code == 422
    assert message in answer.message


@pytest.mark.parametrize(("kind", "before", "change"), FREE)
def test_everything_else_can(api: ApiServer, kind: str, before: dict[str, Any], change: dict[str, Any]) -> None:
    name = unique("free")
    assert create(api, kind, before, name=name, dry=False).code == 201
    answer = patch(api, kind, name, {"spec": change})
    assert answer.code == 200, answer.message


def patch(server: ApiServer, kind: str, name: str, body: object, *, part: str = "") -> Answer:
    """Merge a change into an object or one of its parts."""
    path = path_of(kind, name) + (f"/{part}" if part else "")
    return call(server, "PATCH", path, body, Content_Type="application/merge-patch+json")


# --- defaults, status, scale, selection -------------------------------------------------------------------------------


def test_the_server_fills_in_the_defaults_of_the_model(api: ApiServer) -> None:
    answer = create(api, "Stream", a_spec(), dry=False, name=unique("defaults"))
    stored = answer.body["spec"]
    assert StreamSpec.from_resource(stored) == StreamSpec.from_resource(a_spec())
    assert stored["data"]["roi"] == {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"}
    assert stored["data"]["analytics"][0]["filtering"]["minScoreFace"] == 0.5187
    assert Stream.from_object(answer.body).spec.data_hash() == StreamSpec.from_resource(a_spec()).data_hash()


def test_spec_and_status_are_written_apart(api: ApiServer) -> None:
    name = unique("status")
    create(api, "Stream", a_spec(), name=name, dry=False)
    status = {"status": "pending", "version": 1, "dataHash": "x", "statusTime": "2026-01-31T12:00:00.5Z"}
    assert patch(api, "Stream", name, {"status": status}).body.get("status") is None
    written = patch(api, "Stream", name, {"status": status, "spec": {"priority": 9}}, part="status")
    assert written.body["status"] == status
    assert (written.body["spec"]["priority"], written.body["metadata"]["generation"]) == (0, 1)


def test_a_status_that_is_none_is_refused(api: ApiServer) -> None:
    name = unique("status")
    create(api, "Stream", a_spec(), name=name, dry=False)
    answer = patch(api, "Stream", name, {"status": {"status": "restart"}}, part="status")
    assert (answer.code, "Unsupported value" in answer.message) == (422, True)
    entry = {"seq": 1, "status": "pending", "version": 1, "logTime": "2026-01-31T12:00:00Z"}
    twice = patch(api, "Stream", name, {"status": {"history": [entry, entry]}}, part="status")
    assert (twice.code, "Duplicate value" in twice.message) == (422, True)


def test_a_pool_with_a_fixed_size_is_scaled(api: ApiServer) -> None:
    name = unique("pool")
    create(api, "StreamProcessor", {"replicas": 1, "maxReplicas": 9}, name=name, dry=False)
    patch(api, "StreamProcessor", name, {"status": {"replicas": 1, "labelSelector": "a=b"}}, part="status")
    scale = call(api, "GET", path_of("StreamProcessor", name) + "/scale")
    assert (scale.body["spec"]["replicas"], scale.body["status"]) == (1, {"replicas": 1, "selector": "a=b"})
    assert patch(api, "StreamProcessor", name, {"spec": {"replicas": 4}}, part="scale").code == 200
    assert call(api, "GET", path_of("StreamProcessor", name)).body["spec"]["replicas"] == 4


SELECTABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Stream": (
        a_spec(),
        a_spec(type="udp") | {"accountId": OTHER_ACCOUNT, "displayName": "the door", "desiredStatus": "pause"},
    ),
    "StreamGroup": (
        {"accountId": ACCOUNT, "groupName": "another"},
        {"accountId": OTHER_ACCOUNT, "groupName": "the-group"},
    ),
}
"""Of each kind, an object that no selector below means, and one that all do."""


@pytest.mark.parametrize(
    ("kind", "selector"),
    [
        ("Stream", f"spec.accountId={OTHER_ACCOUNT}"),
        ("Stream", "spec.displayName=the door"),
        ("Stream", "spec.desiredStatus=pause"),
        ("Stream", "spec.data.type=udp"),
        ("Stream", "status.status=failure"),
        ("Stream", "status.processor.pool=gpu"),
        ("Stream", "status.processor.pod=gpu-0"),
        ("StreamGroup", f"spec.accountId={OTHER_ACCOUNT}"),
        ("StreamGroup", "spec.groupName=the-group"),
    ],
)
def test_objects_are_selected_by_their_fields(api: ApiServer, kind: str, selector: str) -> None:
    label = unique()
    plain, wanted = SELECTABLE[kind]
    for name, spec in ((unique("other"), plain), (unique("wanted"), wanted)):
        assert create(api, kind, spec, name=name, dry=False).code == 201
        patch(api, kind, name, {"metadata": {"labels": {"test": label}}})
        if name.startswith("wanted") and kind == "Stream":
            status = {"status": "failure", "processor": {"pool": "gpu", "pod": "gpu-0"}}
            patch(api, kind, name, {"status": status}, part="status")
    query = f"?labelSelector=test%3D{label}&fieldSelector={selector.replace(' ', '%20')}"
    found = call(api, "GET", path_of(kind, query=query)).body["items"]
    assert [item["metadata"]["name"].split("-")[0] for item in found] == ["wanted"]


def test_the_table_answers_at_a_glance(api: ApiServer) -> None:
    name = unique("table")
    create(api, "Stream", a_spec() | {"displayName": "door"}, name=name, dry=False)
    now = "2026-01-31T12:00:00Z"
    ready = {"type": "Ready", "status": "False", "reason": "Failed", "lastTransitionTime": now}
    other = {"type": "Scheduled", "status": "True", "reason": "Assigned", "lastTransitionTime": now}
    status = {
        "status": "failure",
        "version": 3,
        "lastError": "no picture",
        "processor": {"pod": "gpu-0"},
        "conditions": [other, ready],
    }
    patch(api, "Stream", name, {"status": status}, part="status")
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = call(api, "GET", path_of("Stream", name), Accept=accept).body
    columns = [(column["name"], column["priority"]) for column in table["columnDefinitions"]]
    cells = dict(zip([name for name, _ in columns], table["rows"][0]["cells"], strict=True))
    assert [name for name, priority in columns if not priority] == [
        "Name", "Status", "Reason", "Processor", "FPS", "Display-Name", "Age",
    ]  # fmt: skip
    del cells["Age"]
    assert cells == {
        "Name": name, "Status": "failure", "Reason": "Failed", "Processor": "gpu-0", "Type": "tcp",
        "Display-Name": "door", "Version": 3, "Account": ACCOUNT, "Error": "no picture",
        "FPS": None, "Width": None, "Height": None, "Groups": None, "Pool": None,
    }  # fmt: skip


# --- kubectl ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kubectl(api: ApiServer) -> Path:
    """Return kubectl; skips where there is none."""
    assets = kubernetes_assets()
    if assets is None or not (assets / "kubectl").exists():
        pytest.skip("no kubectl: set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl")
    return assets / "kubectl"


def run(kubectl: Path, api: ApiServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run kubectl against a server."""
    command = [str(kubectl), f"--kubeconfig={api.kubeconfig}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("stream.spec.data", "-required-"),
        ("stream.spec.data.reference", "Without user and password"),
        ("stream.spec.data.analytics.eventHandler.authorization", "Unset means by the account"),
        ("streamgroup.spec", "groupName"),
        ("lsp.spec.gpu", "nvidia.com/gpu"),
    ],
)
def test_kubectl_explains_a_field(kubectl: Path, api: ApiServer, field: str, text: str) -> None:
    answer = run(kubectl, api, "explain", field)
    assert text in answer.stdout, answer.stderr


@pytest.mark.parametrize("example", sorted((ROOT / "crds" / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_kubectl_applies_an_example(kubectl: Path, api: ApiServer, example: Path) -> None:
    answer = run(kubectl, api, "apply", "--server-side", "--force-conflicts", "-f", str(example))
    assert answer.returncode == 0, answer.stderr
    again = run(kubectl, api, "diff", "--server-side", "--force-conflicts", "-f", str(example))
    assert (again.returncode, again.stdout) == (0, "")


def test_kubectl_knows_the_short_names_and_the_category(kubectl: Path, api: ApiServer) -> None:
    listed = run(kubectl, api, "api-resources", "--categories=luna", "--no-headers").stdout.split()
    assert {"lst", "lsg", "lsp", "streams", "streamgroups", "streamprocessors"} <= set(listed)
    assert all(field.path[0] in PLURALS for field in all_fields())
