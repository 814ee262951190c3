"""The packaged schemas of the built-in kinds are those of kube-apiserver."""

from __future__ import annotations

import httpx
import pytest

from luna_local.apiserver.app import GIT_VERSION
from luna_local.apiserver.builtin_schemas import EMULATED_MINOR, definitions
from support.apiservers import ApiServer
from support.builtin_schemas import fetch


def test_the_version_names_the_release_that_is_emulated() -> None:
    assert f"v1.{EMULATED_MINOR}.0+luna-embedded" == GIT_VERSION


@pytest.mark.apiserver
def test_the_packaged_schemas_are_those_of_kube_apiserver(real_api: ApiServer) -> None:
    version = httpx.get(f"{real_api.url}/version", **real_api.client_options()).json()
    if version["minor"] != str(EMULATED_MINOR):
        pytest.skip(f"this kube-apiserver is 1.{version['minor']}, the packaged schemas are of 1.{EMULATED_MINOR}")
    # To renew them: PYTHONPATH=tests python -m support.builtin_schemas
    assert fetch(real_api) == definitions()
