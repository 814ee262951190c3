"""JSONPath of printer columns."""

from __future__ import annotations

from typing import Any

import pytest

from luna_local.apiserver.jsonpath import JsonPath

DOCUMENT: dict[str, Any] = {
    "spec": {"url": "rtsp://a", "list": [{"n": 1, "v": "x"}, {"n": 2, "v": "y"}, {"n": 3}], "flags": [True, False]},
    "metadata": {"annotations": {"a.b/c": "dotted"}},
    "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.url", ["rtsp://a"]),
        ("spec.url", ["rtsp://a"]),
        ("{.spec.url}", ["rtsp://a"]),
        ("$.spec.url", ["rtsp://a"]),
        (".spec.missing.deeper", []),
        (".spec.list[0].n", [1]),
        (".spec.list[-1].n", [3]),
        (".spec.list[9].n", []),
        (".spec.list[*].n", [1, 2, 3]),
        (".spec.list[0:2].n", [1, 2]),
        (".spec.list[1:].n", [2, 3]),
        (".spec['url']", ["rtsp://a"]),
        ('.spec["url"]', ["rtsp://a"]),
        (r".metadata.annotations.a\.b/c", ["dotted"]),
        (".metadata.annotations['a.b/c']", ["dotted"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type == 'Ready')].status", ["True"]),
        (".status.conditions[?(@.type!='Ready')].status", ["False"]),
        (".spec.list[?(@.n>1)].n", [2, 3]),
        (".spec.list[?(@.n>=2)].v", ["y"]),
        (".spec.list[?(@.v)].n", [1, 2]),
        (".spec.list[?(@.v>1)].n", []),
        (".spec.flags[?(@==true)]", [True]),
        ("..v", ["x", "y"]),
        (".spec.url[0]", []),
        (".", [DOCUMENT]),
    ],
)
def test_a_path_finds_what_it_says(path: str, found: list[Any]) -> None:
    assert JsonPath(path).find(DOCUMENT) == found


@pytest.mark.parametrize("path", [".spec[", ".a[?(@.x==)]", ".a]", ".a[b]"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is no JSONPath"):
        JsonPath(path)
