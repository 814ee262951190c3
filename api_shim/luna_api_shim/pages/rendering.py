"""HTML from templates and Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

Address = Callable[[str], str | None]
"""Turns the address of a link into the one on the page; None leaves only the text of the link."""

_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")
_TEMPLATES: Final = Environment(
    loader=PackageLoader("luna_api_shim.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> bytes:
    """Return a page."""
    return _TEMPLATES.get_template(template).render(**values).encode()


def _unchanged(link: str) -> str | None:
    return link


def markdown(text: str, address: Address = _unchanged) -> Markup:
    """Return Markdown as HTML; comments are left out, other HTML in it is shown as text, headings can be linked to."""
    tokens = _MARKDOWN.parse(_COMMENT.sub("", text))
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor_of(following.content))
        if token.type == "inline":
            _address(token.children or (), address)
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704  it escapes what it was given


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _address(tokens: Sequence[Token], address: Address) -> None:
    """Replace the addresses of links; a link that leads nowhere becomes its text."""
    is_dropped = False
    for token in tokens:
        if token.type == "link_open":
            target = address(str(token.attrGet("href")))
            is_dropped = target is None
            if target is not None:
                token.attrSet("href", target)
        if token.type in ("link_open", "link_close") and is_dropped:
            token.type, token.tag, token.nesting, token.attrs = "html_inline", "", 0, {}


_TEMPLATES.filters["markdown"] = markdown
