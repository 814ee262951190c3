"""The OpenAPI document as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

try:  # where libyaml is there, as in every wheel of PyYAML: the same text in a fifth of the time
    from yaml import CSafeDumper as SafeDumper
except ImportError:
    from yaml import SafeDumper  # type: ignore[assignment]  # of the same form


class _Dumper(SafeDumper):
    """Writes every part out where it stands, and long texts as they are."""

    def ignore_aliases(self, data: object) -> bool:
        """Refer to nothing: readers of OpenAPI know `$ref`, not every one knows anchors."""
        return True


def _text(dumper: SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def as_yaml(document: Mapping[str, Any]) -> str:
    """Return a document as text."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
