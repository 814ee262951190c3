from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_local.kubelet.environment import (
    ObjectKey,
    PodFacts,
    Sources,
    container_environment,
    expand,
    field_value,
    referenced_objects,
)
from luna_local.kubelet.errors import ContainerConfigError
from support.pods import a_pod, parsed, parsed_container

FACTS = PodFacts(node_name="local", pod_ip="127.64.0.2", host_ip="127.0.0.1")
POD = parsed(a_pod(serviceAccountName="worker"), labels={"app.kubernetes.io/name": "x"}, annotations={"note": "y"})


# The cases of Kubernetes' own test of this function (third_party/forked/golang/expansion/expand_test.go).
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(VAR_A)", "A"),
        ("___$(VAR_B)___", "___B___"),
        ("$(VAR_A)-$(VAR_B)", "A-B"),
        ("$$(VAR_A)", "$(VAR_A)"),
        ("$$$(VAR_A)", "$A"),
        ("$$$$(VAR_A)", "$$(VAR_A)"),
        ("$(DOES_NOT_EXIST)", "$(DOES_NOT_EXIST)"),
        ("$VAR_A", "$VAR_A"),
        ("$(VAR_A", "$(VAR_A"),
        ("foo$", "foo$"),
        ("$(VAR_REF)", "$(VAR_A)"),
        ("$((VAR_A))", "$((VAR_A))"),
        ("$(VAR_EMPTY)x", "x"),
    ],
)
def test_references_expand_as_in_kubernetes(text: str, expected: str) -> None:
    variables = {"VAR_A": "A", "VAR_B": "B", "VAR_REF": "$(VAR_A)", "VAR_EMPTY": ""}
    assert expand(text, variables) == expected


@given(st.text(alphabet="ab$()"))
def test_text_with_doubled_dollars_expands_to_itself(text: str) -> None:
    assert expand(text.replace("$", "$$"), {"a": "x", "b": "y"}) == text


def test_a_variable_refers_to_those_before_it_only() -> None:
    container = parsed_container(
        env=[{"name": "ONE", "value": "$(TWO)"}, {"name": "TWO", "value": "2"}, {"name": "THREE", "value": "$(TWO)"}]
    )
    assert container_environment(container, {}, Sources(POD, FACTS)) == {"ONE": "$(TWO)", "TWO": "2", "THREE": "2"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "pod"),
        ("metadata.namespace", "default"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app.kubernetes.io/name']", "x"),
        ("metadata.labels['absent']", ""),
        ("metadata.annotations['note']", "y"),
        ("metadata.labels", 'app.kubernetes.io/name="x"'),
        ("spec.nodeName", "local"),
        ("spec.serviceAccountName", "worker"),
        ("status.podIP", "127.64.0.2"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_fields_of_the_pod_are_given_by_the_downward_api(path: str, expected: str) -> None:
    assert field_value(path, POD, FACTS) == expected


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(ContainerConfigError, match=r"status\.phase"):
        field_value("status.phase", POD, FACTS)


SECRET = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "camera", "key": "password"}}}


def test_a_secret_key_becomes_a_variable() -> None:
    sources = Sources(POD, FACTS, {ObjectKey("Secret", "camera"): {"password": b"p4ss"}})
    assert container_environment(parsed_container(env=[SECRET]), {}, sources) == {"PASSWORD": "p4ss"}


@pytest.mark.parametrize(
    ("data", "message"),
    [(None, 'secret "camera" not found'), ({"user": b"x"}, "couldn't find key password in Secret default/camera")],
    ids=["no secret", "no key"],
)
def test_a_missing_secret_keeps_the_container_waiting(data: dict[str, bytes] | None, message: str) -> None:
    sources = Sources(POD, FACTS, {ObjectKey("Secret", "camera"): data})
    with pytest.raises(ContainerConfigError, match=message):
        container_environment(parsed_container(env=[SECRET]), {}, sources)


def test_an_optional_key_that_is_missing_leaves_the_variable_out() -> None:
    optional = {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}}
    assert container_environment(parsed_container(env=[optional]), {}, Sources(POD, FACTS)) == {}


def test_env_wins_over_env_from_which_wins_over_the_base() -> None:
    container = parsed_container(
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}],
        env=[{"name": "A", "value": "env"}],
    )
    sources = Sources(
        POD,
        FACTS,
        {ObjectKey("ConfigMap", "c"): {"x": b"1"}, ObjectKey("Secret", "s"): {"A": b"from", "B": b"from"}},
    )
    environment = container_environment(container, {"A": "base", "B": "base", "C": "base"}, sources)
    assert environment == {"A": "env", "B": "from", "C": "base", "P_x": "1"}


def test_every_object_that_an_environment_needs_is_named() -> None:
    container = parsed_container(
        env=[SECRET, {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
        envFrom=[{"configMapRef": {"name": "all"}}, {"secretRef": {"name": "more"}}],
    )
    assert set(referenced_objects(container)) == {
        ObjectKey("Secret", "camera"),
        ObjectKey("ConfigMap", "c"),
        ObjectKey("ConfigMap", "all"),
        ObjectKey("Secret", "more"),
    }
