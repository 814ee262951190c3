"""The pages: every link leads somewhere, nothing comes from elsewhere, an incomplete installation says so."""

from __future__ import annotations

import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_api_shim.app import API_VERSION, ROUTES
from luna_api_shim.errors import DocumentMissing
from luna_api_shim.http.replies import error_content
from luna_api_shim.openapi.original import served_document
from luna_api_shim.pages.documents import HTML, YAML, Documents
from luna_api_shim.pages.manual import INDEX, Manual, manual_folder
from luna_api_shim.pages.rendering import markdown
from luna_api_shim.pages.specification import specification_page
from support.repository import ROOT, pyproject

MANUAL = Manual(ROOT)


class _Page(HTMLParser):
    """What a page refers to, and what can be referred to in it."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        self.loaded += [f"{tag} {name}" for name in ("src", "srcset", "data") if name in given]
        if tag in ("script", "link", "iframe", "object", "form"):
            self.loaded.append(tag)


def page_at(place: str) -> _Page:
    page = MANUAL.page(place)
    assert page is not None, place
    return _Page(page)


def test_every_link_of_the_manual_leads_to_a_page_and_a_heading() -> None:
    pages = {place: page_at(place) for place in ("dev", "dev/", *(f"dev/{name}" for name in MANUAL.chapters))}
    for here, page in pages.items():
        for link in page.links:
            path, _, anchor = link.partition("#")
            if "://" in link:
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(here), path)) if path else here
            found = pages.get(target)
            assert found is not None, f"{here}: {link}"
            assert not anchor or anchor in found.anchors, f"{here}: {link}"


def test_the_manual_has_every_page_of_the_documentation() -> None:
    assert {chapter.source for chapter in MANUAL.chapters.values()} == {
        "README.md",
        *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
    }
    assert next(iter(MANUAL.chapters)) == INDEX


def test_no_page_loads_anything() -> None:
    page = specification_page(served_document(ROUTES, API_VERSION))
    assert _Page(page).loaded == []
    assert not re.search(rb"url\(|@import", page)
    assert all(page_at(f"dev/{name}").loaded == [] for name in MANUAL.chapters)


def test_the_page_of_the_specification_shows_every_operation_and_every_schema() -> None:
    document = served_document(ROUTES, API_VERSION)
    page = _Page(specification_page(document))
    operations = {one["operationId"] for methods in document["paths"].values() for one in methods.values()}
    assert page.anchors == operations | {f"schema-{name}" for name in document["components"]["schemas"]}
    assert {link.removeprefix("#") for link in page.links} == page.anchors


@given(st.text(st.sampled_from("ab<>&\"'[]()!-#`| \n"), max_size=40))
def test_no_text_becomes_an_element_of_its_own(text: str) -> None:
    page = _Page(f"<p>{markdown(text + '<script src=x>')}</p>".encode())
    assert page.loaded in ([], ["img src"])


def test_a_link_to_what_is_not_in_the_manual_is_its_text() -> None:
    assert markdown("see [that](x.py) and [this](y.md)", lambda link: link if link == "y.md" else None) == (
        '<p>see that and <a href="y.md">this</a></p>\n'
    )


def test_the_manual_lies_in_the_package_of_a_wheel(tmp_path: Path) -> None:
    included = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    (tmp_path / included["docs"]).mkdir(parents=True)
    (tmp_path / included["README.md"]).write_text("# Here\n")
    package = tmp_path / "luna_api_shim"
    assert manual_folder(package) == package / "manual"
    assert manual_folder() == ROOT


async def test_a_manual_that_was_not_installed_is_told(tmp_path: Path) -> None:
    documents = Documents(ROUTES, API_VERSION, tmp_path / "a" / "luna_api_shim")
    with pytest.raises(DocumentMissing) as caught:
        await documents.manual_page("dev")
    status, body = error_content(caught.value)
    assert (status, body["error_code"], body["detail"]) == (500, 12032, "Document file not found")


async def test_a_document_is_made_once_and_has_a_tag_of_its_own() -> None:
    documents = Documents(ROUTES, API_VERSION)
    first = await documents.specification(YAML)
    assert await documents.specification(YAML) is first
    assert first.content.decode() == (ROOT / "docs" / "openapi.yaml").read_text()
    assert first.etag != (await documents.specification(HTML)).etag
    assert await documents.manual_page("dev/../settings.html") is None
