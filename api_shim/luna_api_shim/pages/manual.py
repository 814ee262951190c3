"""The manual: README and docs/ as pages that link to each other.

They are part of the wheel (`manual/` in this package); in a source tree they lie where they are written.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import luna_api_shim
from luna_api_shim.errors import DocumentMissing
from luna_api_shim.pages.rendering import markdown, render

INDEX: Final = "index.html"
_ROOT: Final = "dev"
PACKAGE: Final = Path(luna_api_shim.__file__).parent
_FIRST: Final = ("architecture", "rest", "resources", "lifecycle", "conditions", "settings")
"""Pages that the navigation names first; the others follow by name, decisions last."""


def manual_folder(package: Path = PACKAGE) -> Path:
    """Return the folder with README.md and docs/.

    Args:
        package: folder of the package luna_api_shim.

    Raises:
        DocumentMissing: if the installation is not complete.
    """
    for folder in (package / "manual", package.parents[1]):
        if (folder / "README.md").is_file() and (folder / "docs").is_dir():
            return folder
    raise DocumentMissing


@dataclass(frozen=True, slots=True)
class Chapter:
    """A page and where it comes from.

    Attributes:
        name: below /docs/dev, e.g. `adr/0001-layout.html`.
        source: below the folder of the manual, e.g. `docs/adr/0001-layout.md`.
    """

    name: str
    source: str
    title: str
    text: str


class Manual:
    """The manual in one folder.

    Args:
        folder: with README.md and docs/.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def chapters(self) -> Mapping[str, Chapter]:
        """The pages by name, in the order of the navigation."""
        sources = [Path("README.md"), *(path.relative_to(self._folder) for path in self._folder.glob("docs/**/*.md"))]
        chapters = [self._read(source) for source in sources]
        return {chapter.name: chapter for chapter in sorted(chapters, key=_rank)}

    def page(self, place: str) -> bytes | None:
        """Return a page as HTML, None if there is none.

        Args:
            place: path below /docs: `dev` or `dev/index.html` is the first page, `dev/rest.html` another.
        """
        chapter = self.chapters.get(place.removeprefix(_ROOT).removeprefix("/") or INDEX)
        if chapter is None:
            return None
        links = [
            {"title": one.title, "href": _relative(one, place), "is_current": one is chapter}
            for one in self.chapters.values()
        ]
        content = markdown(chapter.text, lambda link: self._address(chapter, link, place))
        return render("manual.html", title=chapter.title, links=links, content=content)

    def _read(self, source: Path) -> Chapter:
        text = (self._folder / source).read_text(encoding="utf-8")
        title = next((line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")), source.stem)
        inside = source.relative_to("docs") if source.parts[0] == "docs" else source
        name = inside.with_suffix(".html").as_posix()
        return Chapter(INDEX if source == Path("README.md") else name, source.as_posix(), title, text)

    def _address(self, chapter: Chapter, link: str, place: str) -> str | None:
        """Return where a link leads on the page; what is not part of the manual is not linked."""
        path, hash_, anchor = link.partition("#")
        if "://" in link or not path:
            return link
        target = posixpath.normpath(posixpath.join(posixpath.dirname(chapter.source), path))
        found = next((one for one in self.chapters.values() if one.source == target), None)
        return None if found is None else _relative(found, place) + hash_ + anchor


def _relative(target: Chapter, place: str) -> str:
    """Return the address of a page as seen from a place: relative, so that it holds behind a proxy, too."""
    return posixpath.relpath(f"{_ROOT}/{target.name}", posixpath.dirname(place) or ".")


def _rank(chapter: Chapter) -> tuple[bool, bool, int, str]:
    folder, stem = posixpath.split(posixpath.splitext(chapter.name)[0])
    place = _FIRST.index(stem) if stem in _FIRST else len(_FIRST)
    return folder != "", stem not in ("index", "README"), place, stem
