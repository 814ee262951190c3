"""Small rules at the edges: tokens, addresses, request ids, error forms, settings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from luna_api_shim import errors
from luna_api_shim.errors import BadBody, StartupError
from luna_api_shim.http.replies import ERRORS, INTERNAL, error_form
from luna_api_shim.http.request_ids import request_id
from luna_api_shim.replicas.election import identity_of, origin_of
from luna_api_shim.service import origin_of as advertised
from luna_api_shim.settings import Settings, load
from luna_api_shim.workers.identity import Pod, pod_of
from luna_api_shim.workers.news import News, news
from luna_kube import Conflict, Unavailable
from luna_streams import errors as domain_errors
from luna_streams.policies import Preview, PreviewUrl, VideoInfo
from support.builders import NOW, a_record


def a_review(**changes: Any) -> dict[str, Any]:
    extra = {
        "authentication.kubernetes.io/pod-name": ["pod-0"],
        "authentication.kubernetes.io/pod-uid": ["u-1"],
    }
    user = {"username": "system:serviceaccount:cameras:processor", "extra": extra}
    return {"status": {"authenticated": True, "audiences": ["luna-streams"], "user": user} | changes}


def test_a_token_bound_to_a_pod_names_it() -> None:
    assert pod_of(a_review()) == Pod("cameras", "pod-0", "u-1")


@pytest.mark.parametrize(
    "review",
    [
        {},
        {"status": {}},
        a_review(authenticated=False),
        a_review(audiences=["https://kubernetes.default.svc"]),
        a_review(audiences=[]),
        a_review(user={"username": "system:serviceaccount:cameras:processor"}),
        a_review(user={"username": "admin", "extra": a_review()["status"]["user"]["extra"]}),
    ],
)
def test_other_tokens_name_no_pod(review: dict[str, Any]) -> None:
    assert pod_of(review) is None


def test_the_lease_tells_where_its_holder_is() -> None:
    assert origin_of(identity_of("shim-0", "http://10.0.0.1:5160")) == "http://10.0.0.1:5160"
    assert origin_of("") is None
    assert origin_of("somebody-else") is None


@pytest.mark.parametrize(
    ("given_settings", "origin"),
    [
        ({"host": "127.0.0.1"}, "http://127.0.0.1:5160"),
        ({"host": "0.0.0.0", "advertised_host": "10.0.0.1"}, "http://10.0.0.1:5160"),  # noqa: S104  not bound here
        ({"host": "::", "advertised_host": "fd00::1"}, "http://[fd00::1]:5160"),
    ],
)
def test_a_replica_is_reached_at_what_it_advertises(given_settings: dict[str, Any], origin: str) -> None:
    assert advertised(Settings(**given_settings), 5160) == origin


@pytest.mark.parametrize("given_id", [None, "", "a b", "x" * 129, "ü"])
def test_a_request_without_a_usable_id_gets_one_in_the_documented_form(given_id: str | None) -> None:
    assert re.fullmatch(r"[0-9]{10},[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}", request_id(given_id))


def test_the_id_of_a_client_is_echoed_whatever_its_form() -> None:
    assert request_id("my-own/id:1") == "my-own/id:1"


def test_every_refusal_and_every_error_of_the_domain_has_a_documented_form() -> None:
    kinds = {kind for module in (errors, domain_errors) for kind in vars(module).values() if isinstance(kind, type)}
    answered = {kind for kind in kinds if issubclass(kind, errors.Refusal | domain_errors.DomainError)}
    assert answered - {errors.Refusal, domain_errors.DomainError} <= set(ERRORS)
    assert error_form(Conflict("x", "y")) == error_form(Unavailable("x", "y")) == ERRORS[errors.NotReady]
    assert error_form(ZeroDivisionError()) == INTERNAL
    for kind in answered - {errors.Refusal, domain_errors.DomainError}:
        assert 400 <= ERRORS[kind].status < 500
        assert ERRORS[kind].code == getattr(kind, "code", ERRORS[kind].code)
        assert ERRORS[kind].desc == getattr(kind, "desc", ERRORS[kind].desc)
    assert ERRORS[BadBody].code == 12022


def info(**changes: Any) -> VideoInfo:
    return VideoInfo(**{
        "width": 1, "height": 1, "frame_rate": 25, "bit_rate": 1, "gop_size": 1, "start_time": NOW, "progress": 0.5
    } | changes)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, News.NONE),
        ({"video_info": info()}, News.NONE),
        ({"video_info": info(progress=0.505)}, News.LITTLE),
        ({"video_info": info(progress=0.51)}, News.FIGURES),
        ({"video_info": info(progress=0.1)}, News.FIGURES),
        ({"video_info": info(gop_size=2)}, News.FIGURES),
        ({"video_info": info(frame_rate=2, bit_rate=2)}, News.FIGURES),
        ({"video_info": info(width=2)}, News.FIRM),
        ({"video_info": info(duration=2.0)}, News.FIRM),
        ({"video_info": None}, News.FIRM),
        ({"last_error": "x"}, News.FIRM),
        ({"preview": Preview(live=PreviewUrl(url="http://a/b"))}, News.FIRM),
        ({"status": "done", "video_info": info(progress=0.505)}, News.FIRM),
    ],
)
def test_only_figures_are_not_written_at_once(changes: dict[str, Any], said: News) -> None:
    old = a_record(status="in_progress").model_copy(update={"video_info": info()})
    assert news(old, old.model_copy(update=changes)) is said


def test_settings_come_from_the_environment_and_flags_win() -> None:
    loaded = load({"port": 7}, {"LUNA_SHIM_PORT": "8", "LUNA_SHIM_ALL_NAMESPACES": "true", "OTHER": "x"})
    assert (loaded.port, loaded.all_namespaces) == (7, True)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LUNA_SHIM_PROT": "1"}, "unknown variable LUNA_SHIM_PROT; known: LUNA_SHIM_KUBECONFIG"),
        ({"LUNA_SHIM_PORT": "x"}, "LUNA_SHIM_PORT: "),
        ({"LUNA_SHIM_LEASE_DURATION": "30"}, "lease_duration must be shorter than obsoleting_period"),
    ],
)
def test_wrong_settings_say_which(environment: dict[str, str], said: str) -> None:
    with pytest.raises(StartupError, match=re.escape(said)):
        load({}, environment)
