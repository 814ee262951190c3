"""The page of the inbox: the last events, newest first, as one self-contained HTML document.

Everything that came from outside is escaped. A few lines of script fetch the page again and put the new list in place
when it changed; without scripts the page shows the same and is reloaded by hand.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from luna_local.inbox.events import Event
from luna_local.inbox.faults import Fault

SHOWN_EVENTS = 60
# Facts that the page shows by name, in this order; the rest of the query follows.
_FIRST_FACTS = ("source", "stream_id", "track_id")
_FIELD_LIMIT = 4000

_FOLDER = files("luna_local.inbox")
_TEMPLATE = Template(_FOLDER.joinpath("page.html").read_text("utf-8"))
_STYLE = _FOLDER.joinpath("page.css").read_text("utf-8")
_SCRIPT = _FOLDER.joinpath("page.js").read_text("utf-8")


def _hashed(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; img-src 'self'; connect-src 'self'; style-src {_hashed(_STYLE)}; "
    f"script-src {_hashed(_SCRIPT)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Allows exactly the page's own style and script, and the inbox's own pictures."""


def render_page(events: Iterable[Event], total: int, frames: int, fault: Fault) -> str:
    """Return the page.

    Args:
        events: what to show, newest first.
        total: how many events there are.
        frames: how many images the buckets hold.
        fault: what is wrong with the inbox on request.
    """
    cards = "".join(_card(event) for event in events)
    return _TEMPLATE.substitute(
        style=_STYLE,
        script=_SCRIPT,
        summary=f"{_count(total, 'event')}, {_count(frames, 'source frame')}",
        fault=f'<p class="fault">Fault on: {escape(fault.mode)}</p>' if fault.mode != "off" else "",
        cards=cards or '<p class="empty">Nothing has arrived yet. Best shots appear here as soon as they do.</p>',
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _card(event: Event) -> str:
    pictures = "".join(
        f'<a href="/pictures/{escape(image.file)}"><img src="/pictures/{escape(image.file)}" '
        f'alt="{escape(image.name)}" width="{image.width}" height="{image.height}" loading="lazy"></a>'
        for image in event.images
    )
    facts = {name: event.query[name] for name in _FIRST_FACTS if name in event.query}
    facts |= {"handler_id": event.handler_id or "none: a webhook"}
    facts |= {name: value for name, value in event.query.items() if name not in facts}
    facts |= {"request_id": event.request_id}
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd>" for name, value in facts.items())
    sizes = ", ".join(f"{image.width}×{image.height}" for image in event.images)  # noqa: RUF001  the sign for sizes
    return (
        f'<article><div class="pictures">{pictures}</div><div class="facts">'
        f"<h2>{escape(event.received_at[:19].replace('T', ' '))} UTC <small>{escape(sizes)}</small></h2>"
        f"<dl>{rows}</dl>{_fields(event.fields)}</div></article>"
    )


def _fields(fields: dict[str, Any]) -> str:
    if not fields:
        return ""
    text = json.dumps(fields, indent=2, ensure_ascii=False)[:_FIELD_LIMIT]
    return f"<details><summary>{escape(', '.join(fields))}</summary><pre>{escape(text)}</pre></details>"


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
