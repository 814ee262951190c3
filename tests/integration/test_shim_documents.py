"""docs/spec and docs/dev of a running shim: which form a client gets, links between pages, what is refused."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from luna_api_shim.app import API_VERSION, ROUTES
from luna_api_shim.pages.documents import Documents
from support.apiservers import ApiServer
from support.repository import ROOT
from support.shims import Shim, a_deployment

YAML, HTML = "application/x-yaml", "text/html"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
async def shim(embedded_api: ApiServer) -> AsyncIterator[Shim]:
    async with a_deployment(embedded_api) as deployment, deployment.shim(wait=False) as shim:
        yield shim


@pytest.mark.parametrize("api", [1, 2])
async def test_the_specification_comes_in_the_form_that_is_wanted(shim: Shim, api: int) -> None:
    text = (ROOT / "docs" / "openapi.yaml").read_text()
    for accept in (YAML, "*/*", "", f"{HTML};q=0.5, {YAML}", "application/*"):
        answer = await shim.http.get(f"/{api}/docs/spec", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, YAML), accept
        assert answer.text == text
    for accept in (HTML, BROWSER, f"{YAML};q=0.5, {HTML}", "text/*"):
        answer = await shim.http.get(f"/{api}/docs/spec", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), accept
        assert answer.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("api", [1, 2])
async def test_another_form_is_refused_as_documented(shim: Shim, api: int) -> None:
    for accept in ("application/json", "image/png", "text/plain, application/yaml", f"{YAML};q=0"):
        answer = await shim.http.get(f"/{api}/docs/spec", headers={"Accept": accept})
        body = answer.json()
        told = (answer.status_code, body["error_code"], body["desc"], body["detail"])
        assert told == (415, 12024, "Unsupported media type", "Bad/incomplete input data"), accept


async def test_what_a_client_has_is_not_sent_again(shim: Shim) -> None:
    for path, accept in (("/2/docs/spec", YAML), ("/2/docs/spec", HTML), ("/1/docs/dev", HTML)):
        first = await shim.http.get(path, headers={"Accept": accept})
        tags = f'"other", W/{first.headers["ETag"]}'
        again = await shim.http.get(path, headers={"Accept": accept, "If-None-Match": tags})
        assert (again.status_code, again.content) == (304, b"")
        changed = await shim.http.get(path, headers={"Accept": accept, "If-None-Match": '"other"'})
        assert changed.content == first.content


@pytest.mark.parametrize("api", [1, 2])
async def test_the_manual_can_be_read_from_page_to_page(shim: Shim, api: int) -> None:
    start = f"{shim.url}/{api}/docs/dev"
    read, waiting = {}, [start]
    while waiting:
        url = waiting.pop()
        answer = await shim.http.get(url)
        assert answer.status_code == 200, url
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        read[url] = answer.text
        links = {urljoin(url, link).partition("#")[0] for link in re.findall(r'href="([^"]+)"', answer.text)}
        waiting += [link for link in links if link.startswith(start) and link not in (*read, *waiting)]
    assert len(read) == len(list((ROOT / "docs").rglob("*.md"))) + 2  # the README at two addresses
    assert "<h1" in read[f"{start}/rest.html"]


async def test_the_manual_is_html_whatever_is_accepted(shim: Shim) -> None:
    for accept in ("application/json", "application/msgpack", HTML, "*/*"):
        answer = await shim.http.get("/2/docs/dev", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


async def test_a_page_that_is_not_part_of_the_manual_is_not_found(shim: Shim) -> None:
    for page in ("nothing.html", "%2e%2e/%2e%2e/pyproject.toml", "rest.md", "rest.html/", "/", "adr", "docs/rest.html"):
        answer = await shim.http.get(f"/2/docs/dev/{page}")
        assert (answer.status_code, answer.json()["error_code"]) == (404, 12013), page


async def test_a_manual_that_was_not_installed_is_told_as_documented(shim: Shim, tmp_path: Path) -> None:
    shim.service.app.state.documents = Documents(ROUTES, API_VERSION, tmp_path / "a" / "luna_api_shim")
    answer = await shim.http.get("/2/docs/dev")
    assert (answer.status_code, answer.json()["error_code"]) == (500, 12032)
    assert answer.json()["detail"] == "Document file not found"
    assert (await shim.http.get("/2/docs/spec")).status_code == 200
