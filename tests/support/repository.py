"""The repository as files: what tests about it look at, and what parts of it are generated from others.

`python -m support.repository` (as `make generate` calls it, in this folder's parent) writes the generated files anew;
`tests/unit/test_repository.py` compares them with what stands there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from luna_api_shim.app import API_VERSION, ROUTES
from luna_api_shim.openapi.original import served_document
from luna_api_shim.openapi.text import as_yaml
from support import chart_page, reference_pages

ROOT = Path(__file__).parents[2]
COMPONENT_FOLDERS = ("crds", "operator", "api_shim", "processor_image", "local")
CHART = ROOT / "charts" / "luna-streams"

_NOT_OURS = {"__pycache__", "build", "dist", "htmlcov"}
_SETTINGS = (
    ("Operator", "luna_operator", "LUNA_OPERATOR_"),
    ("REST shim", "luna_api_shim", "LUNA_SHIM_"),
    ("Processor", "luna_processor", "LUNA_PROCESSOR_"),
)


def files() -> Iterator[Path]:
    """Yield the files of the repository; hidden folders other than .ci hold what tools made."""
    return _walk(ROOT)


def texts() -> Iterator[tuple[Path, str]]:
    """Yield the files that are text, with their contents."""
    for path in files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def packages() -> list[Path]:
    """Return the folders of our Python packages."""
    return sorted(path.parent for folder in COMPONENT_FOLDERS for path in (ROOT / folder).glob("*/__init__.py"))


def pyproject() -> dict[str, Any]:
    """Return the project's settings."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def generated() -> dict[Path, str]:
    """Return the files that are made from others, and what they must contain."""
    copies = {CHART / "crds" / path.name: path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml"))}
    pages = [ROOT / "docs" / name for name in ("resources.md", "lifecycle.md")]
    references = {page: reference_pages.refreshed(page.read_text()) for page in pages}
    references[CHART / "README.md"] = chart_page.refreshed(CHART)
    whole = {ROOT / "docs" / "settings.md": settings_page(), ROOT / "docs" / "openapi.yaml": openapi_text()}
    return {**whole, **references, **copies}


def openapi_text() -> str:
    """Return the OpenAPI document as the shim serves it."""
    return as_yaml(served_document(ROUTES, API_VERSION))


def settings_page() -> str:
    """Return the reference of all settings, from the classes that read them."""
    parts = [
        "# Settings\n\n"
        "Every component reads its settings from the environment, once, when it starts. A variable with a component's\n"
        "prefix that it does not know ends it with one clear line, so a misspelt name is never silently ignored.\n\n"
        "This page is written by `make generate` from the classes that read the settings.\n"
    ]
    for title, package, prefix in _SETTINGS:
        settings: type[BaseModel] = import_module(f"{package}.settings").Settings
        parts.append(f"\n## {title}\n\n| variable | default | meaning |\n|---|---|---|\n")
        for name, field in settings.model_fields.items():
            meaning = " ".join((field.description or "").split())
            parts.append(f"| `{prefix}{name.upper()}` | {_default(field)} | {meaning} |\n")
    return "".join(parts)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default_factory is not None:
        return "see meaning"
    if field.default is None or field.default in ("", (), {}):
        return "unset"
    return f"`{field.default}`"


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name == ".ci" or not (path.name.startswith(".") or path.name in _NOT_OURS):
                yield from _walk(path)
        elif path.is_file():
            yield path


if __name__ == "__main__":
    for target, content in generated().items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        print(f"wrote {target.relative_to(ROOT)}")
