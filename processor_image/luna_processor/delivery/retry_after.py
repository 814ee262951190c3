"""How long a server asks to be left alone. Pure.

Source: RFC 9110, section 10.2.3: `Retry-After` is a number of seconds or a date.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def parse_retry_after(header: str, now: datetime) -> float:
    """Return the seconds that a header asks for; 0 if it asks for none, or is none.

    Args:
        header: as it came.
        now: aware; a date counts from here.
    """
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)  # "-0000": UTC, place unknown
    return max(0.0, (aware - now).total_seconds())
