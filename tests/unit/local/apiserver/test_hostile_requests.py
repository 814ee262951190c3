"""Nothing a client sends gives a 500: documents, patches, queries and paths that nobody means."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luna_local.apiserver import EmbeddedApiServer
from support.apiservers import ApiServer, unique
from support.hostile_json import ANY_JSON, spoilt
from support.kubernetes_api import (
    APPLY,
    CAMERAS,
    CONFIGMAPS,
    DEFINITIONS,
    JSON_PATCH,
    MERGE,
    PODS,
    STRATEGIC,
    Api,
    a_camera,
    a_config_map,
    a_definition,
    a_pod,
)

_SERVER = EmbeddedApiServer()
_SERVER.apply(a_definition())
for _manifest in (
    a_camera("one", spec={"zones": ["a"], "filters": [{"name": "x"}]}),
    a_pod("one"),
    a_config_map("one"),
):
    _SERVER.apply(_manifest)

READ_TYPES = ("application/vnd.kubernetes.protobuf", "application/yaml", "application/json")
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@asynccontextmanager
async def connected() -> AsyncIterator[Api]:
    transport = httpx.ASGITransport(_SERVER.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield Api(ApiServer("embedded", "http://127.0.0.1", Path()), client)


def _is_answered(status: int) -> bool:
    return 200 <= status < 500 or status == 501


_A_FULL_POD = a_pod("p", "x:1", "y:1", volumes=[{"name": "v", "projected": {"sources": []}}])
_A_FULL_POD["spec"]["containers"][0] |= {
    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    "ports": [{"containerPort": 1}],
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "readinessProbe": {"httpGet": {"port": 1}},
    "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": 1}},
}
_METADATA: dict[str, Any] = {
    "labels": {"a": "b"},
    "annotations": {"c": "d"},
    "finalizers": ["a/b"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "n", "uid": "u"}],
    "managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {"f:url": {}}}}],
    "resourceVersion": "1",
    "generateName": "g-",
    "creationTimestamp": None,
}
_DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
    "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, **_A_FULL_POD}},
}  # fmt: skip


@MANY
@given(body=spoilt([a_camera("c", **_METADATA), a_camera("c", spec={"filters": [{"name": "x"}], "shift": 1})]))
async def test_a_spoilt_custom_object_is_accepted_or_refused(body: Any) -> None:
    async with connected() as api:
        for reply in (
            await api.post(CAMERAS, body, dryRun="All"),
            await api.put(f"{CAMERAS}/one", body, dryRun="All"),
            await api.put(f"{CAMERAS}/one/status", body, dryRun="All"),
            await api.patch(f"{CAMERAS}/one", body, APPLY, fieldManager="m", force="true"),
            await api.patch(f"{CAMERAS}/one/status", body, APPLY, fieldManager="m", force="true"),
        ):
            assert _is_answered(reply.status), reply.text


@MANY
@given(
    case=st.one_of(
        st.tuples(st.just(PODS), spoilt([{**_A_FULL_POD, "metadata": {"name": "p", **_METADATA}}])),
        st.tuples(st.just(CONFIGMAPS), spoilt([{**a_config_map("c"), "binaryData": {"a": "b"}, "immutable": True}])),
        st.tuples(st.just("/apis/apps/v1/namespaces/default/deployments"), spoilt([_DEPLOYMENT])),
        st.tuples(
            st.just("/api/v1/namespaces/default/secrets"),
            spoilt([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}]),
        ),
        st.tuples(
            st.just("/api/v1/namespaces"),
            spoilt(
                [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}, "spec": {"finalizers": ["a"]}}]
            ),
        ),
    )
)
async def test_a_spoilt_built_in_object_is_accepted_or_refused(case: tuple[str, Any]) -> None:
    path, body = case
    async with connected() as api:
        assert _is_answered((await api.post(path, body, dryRun="All")).status)
        assert _is_answered((await api.put(f"{path}/one", body, dryRun="All")).status)
        assert _is_answered((await api.patch(f"{path}/one", body, STRATEGIC, dryRun="All")).status)
        assert _is_answered((await api.patch(f"{path}/one", body, APPLY, dryRun="All", fieldManager="m")).status)


@MANY
@given(body=spoilt([a_definition("things", "Thing")]))
async def test_a_spoilt_definition_is_accepted_or_refused(body: Any) -> None:
    async with connected() as api:
        created = await api.post(DEFINITIONS, body)
        assert _is_answered(created.status), created.text
        if created.status == 201:
            name = created.metadata["name"]
            plural = created.document["spec"]["names"]["plural"]
            path = f"/apis/contract.luna.test/v1/namespaces/default/{plural}"
            assert _is_answered((await api.post(path, {**a_camera("x"), "kind": "Thing"})).status)
            for look in (path, "/apis", "/openapi/v3/apis/contract.luna.test/v1", "/apis/contract.luna.test/v1"):
                assert _is_answered((await api.get(look)).status)
            table = await api.get(path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
            assert _is_answered(table.status), table.text
            _SERVER.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
            _SERVER._collector._work(100)


_OPERATION = {"op": "replace", "path": "/spec/url", "value": "x", "from": "/spec"}
_OPERATIONS = [[_OPERATION], [{**_OPERATION, "op": "move"}], [{"op": "add", "path": ""}]]
_POINTERS = ["", "/", "/spec", "/spec/zones/0", "/spec/zones/-", "/metadata/name", "/~2"]
_DIRECTIVES = [
    {"spec": {"containers": [{"name": "a", "$patch": "delete"}], "$setElementOrder/containers": [{"name": "a"}]}},
    {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "$retainKeys": ["name"]}},
]


@MANY
@given(
    case=st.one_of(
        st.tuples(st.just(MERGE), ANY_JSON),
        st.tuples(st.just(MERGE), spoilt([{"metadata": _METADATA, "spec": {"url": "x"}, "status": {}}])),
        st.tuples(st.just(JSON_PATCH), spoilt(_OPERATIONS)),
        st.tuples(
            st.just(JSON_PATCH),
            st.lists(
                st.fixed_dictionaries(
                    {
                        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
                        "path": st.sampled_from(_POINTERS),
                        "from": st.sampled_from(["", "/spec", "/metadata/labels", "/x/y"]),
                        "value": ANY_JSON,
                    }
                ),
                max_size=3,
            ),
        ),
        st.tuples(
            st.just(STRATEGIC),
            spoilt(_DIRECTIVES),
        ),
    )
)
async def test_a_patch_that_makes_no_sense_is_refused(case: tuple[str, Any]) -> None:
    content_type, patch = case
    path = PODS if content_type == STRATEGIC else CAMERAS
    async with connected() as api:
        for place in (f"{path}/one", f"{path}/one/status", f"{path}/one/scale"):
            reply = await api.patch(place, patch, content_type, dryRun="All")
            assert _is_answered(reply.status), reply.text


_QUERY_NAMES = st.sampled_from([
    "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "dryRun",
    "fieldValidation", "fieldManager", "propagationPolicy", "gracePeriodSeconds", "includeObject", "container",
    "tailLines", "sinceTime", "limitBytes", "pretty",
])  # fmt: skip
_QUERY_VALUES = st.one_of(st.text(max_size=12), st.sampled_from(["1", "-1", "9" * 20, "a=b", "a in (", "True"]))
_PATHS = st.one_of(
    st.sampled_from([
        CAMERAS, f"{CAMERAS}/one", f"{CAMERAS}/one/scale", f"{PODS}/one/log", f"{PODS}/one/exec", PODS, "/api/v1/pods",
        "/api/v1/namespaces/default", "/openapi/v3/api/v1", "/openapi/v3/x", "/openapi", "/apis", "/", "//", "/api/v2",
    ]),
    st.text("/abcps.-_%0", max_size=30).map(lambda text: f"/{text}"),
)  # fmt: skip


@MANY
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
    path=_PATHS,
    query=st.dictionaries(_QUERY_NAMES, _QUERY_VALUES, max_size=3),
    accept=st.sampled_from(
        ["", "*/*", "application/json;as=Table;v=v1;g=meta.k8s.io", "text/html", ";;,=", "a/b;as=c"]
    ),
)
async def test_a_request_that_makes_no_sense_is_refused(
    method: str, path: str, query: dict[str, str], accept: str
) -> None:
    async with connected() as api:
        query = {**query, "dryRun": "All"} if method != "GET" else query
        reply = await api.call(method, path, accept=accept, **query)
        assert _is_answered(reply.status) or reply.status == 504, reply.text


@MANY
@given(
    body=st.one_of(
        st.binary(max_size=60), st.binary(max_size=60).map(lambda raw: b"k8s\x00" + raw),
        st.binary(max_size=40).map(lambda raw: b"k8s\x00\n\x0b\n\x02v1\x12\x03Pod\x12" + bytes([len(raw)]) + raw),
    ),
    content_type=st.sampled_from([*READ_TYPES, APPLY]),
)  # fmt: skip
async def test_bytes_that_are_no_document_are_refused(body: bytes, content_type: str) -> None:
    async with connected() as api:
        reply = await api.call("POST", PODS, body, content_type=content_type, dryRun="All")
        assert _is_answered(reply.status), reply.text
        reply = await api.call("PATCH", f"{PODS}/one", body, content_type=content_type, dryRun="All", fieldManager="m")
        assert _is_answered(reply.status), reply.text


_TOKEN_REQUEST = {
    "spec": {"audiences": ["a"], "expirationSeconds": 600, "boundObjectRef": {"kind": "Pod", "name": "one"}}
}
_AUTHENTICATION = "/apis/authentication.k8s.io/v1"


@MANY
@given(
    case=st.one_of(
        st.tuples(st.just("/api/v1/namespaces/default/serviceaccounts/default/token"), spoilt([_TOKEN_REQUEST])),
        st.tuples(
            st.just(f"{_AUTHENTICATION}/tokenreviews"), spoilt([{"spec": {"token": "a.b.c", "audiences": ["a"]}}])
        ),
        st.tuples(st.just(f"{_AUTHENTICATION}/selfsubjectreviews"), ANY_JSON),
        st.tuples(st.just(f"{PODS}/one/binding"), spoilt([{"target": {"name": ""}, "metadata": {}}])),
        st.tuples(st.just(f"{PODS}/none/eviction"), spoilt([{"deleteOptions": {"preconditions": {"uid": "u"}}}])),
    )
)
async def test_a_subresource_that_is_asked_nonsense_refuses(case: tuple[str, Any]) -> None:
    path, body = case
    async with connected() as api:
        assert _is_answered((await api.post(path, body)).status)
        options = await api.delete(f"{PODS}/none-{unique()}", body)
        assert _is_answered(options.status)


@pytest.mark.parametrize(
    "body",
    [b"[" * 5000, b'{"a":' * 5000, b'{"apiVersion":"v1","data":' + b"[" * 900 + b"]" * 900 + b"}", b"a: &a [*a, *a]"],
    ids=["lists", "objects", "deep but closed", "yaml alias"],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/yaml"])
async def test_nesting_without_end_is_refused(body: bytes, content_type: str) -> None:
    async with connected() as api:
        assert (await api.call("POST", CONFIGMAPS, body, content_type=content_type)).status in (400, 422)


@pytest.mark.parametrize("levels", [200, 254, 300, 480, 900])
async def test_an_object_nested_deeper_than_json_can_be_written_is_refused(levels: int) -> None:
    deep: Any = 1
    for _ in range(levels):
        deep = {"a": deep}
    keyed = a_camera("one", spec={"filters": [{"name": deep}]})
    async with connected() as api:
        path = f"{CAMERAS}/one"
        merged = await api.patch(f"{path}/status", {"status": deep}, dryRun="All")
        assert merged.status == (200 if levels == 200 else 400)
        added = [{"op": "add", "path": "/status/deeper", "value": deep}]
        for reply in (
            await api.patch(f"{path}/status", added, JSON_PATCH, dryRun="All"),
            await api.patch(path, keyed, APPLY, fieldManager="m", dryRun="All"),
            await api.post(CAMERAS, keyed, dryRun="All"),
        ):
            assert 400 <= reply.status < 500
        assert (await api.get(path)).status == 200


async def test_a_body_beyond_three_mebibytes_is_refused() -> None:
    async with connected() as api:
        body = {**a_config_map("big"), "data": {"a": "x" * (3 * 2**20)}}
        reply = await api.post(CONFIGMAPS, body)
        assert (reply.status, reply.reason) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.test"}, {"Host": "evil.test"}, {"Host": "evil.test:80"}], ids=str
)
async def test_what_a_foreign_web_page_could_send_is_refused(headers: dict[str, str]) -> None:
    transport = httpx.ASGITransport(_SERVER.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get("/api", headers=headers)).status_code == 403
        assert (await client.get("/api")).status_code == 200


async def test_a_bug_is_told_as_an_internal_error_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("luna_local.apiserver.discovery.group_list", lambda registry: 1 / 0)
    with caplog.at_level(logging.ERROR):
        async with connected() as api:
            reply = await api.get("/apis")
    assert (reply.status, reply.reason) == (500, "InternalError")
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in reply.text
