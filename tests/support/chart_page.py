"""The table of values in the chart's README, made from the comments of values.yaml."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

_BEGIN, _END = "<!-- values: written by `make generate` -->", "<!-- end of values -->"


def explained(values: str) -> dict[str, str]:
    """Return what `# -- ` comments say of the values below them, by path."""
    texts, parents, text = dict[str, str](), list[str](), ""
    for line in values.splitlines():
        if match := re.match(r"( *)(\w+):", line):
            parents[len(match[1]) // 2 :] = [match[2]]
            if text:
                texts[".".join(parents)] = text
        comment = line.lstrip()
        text = comment.removeprefix("# -- ") if comment.startswith("# -- ") else ""
    return texts


def refreshed(chart: Path) -> str:
    """Return the README of a chart with its table of values as values.yaml has them."""
    page = (chart / "README.md").read_text()
    text = (chart / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows = [f"| `{path}` | {_shown(_value(values, path))} | {meaning} |" for path, meaning in explained(text).items()]
    table = "\n".join([_BEGIN, "| value | default | meaning |", "|---|---|---|", *rows, _END])
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + table + after


def _value(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`" if value not in ("", None) else "unset"
