"""Luna-Request-Id: the client's own, or a new one in the documented form."""

from __future__ import annotations

import re
import time
import uuid
from typing import Final

HEADER: Final = "Luna-Request-Id"
_PRINTABLE = re.compile(r"[!-~]{1,128}")


def request_id(given: str | None) -> str:
    """Return the id of a request; what a client sends is echoed whatever its form, as long as it is harmless."""
    if given is not None and _PRINTABLE.fullmatch(given):
        return given
    return f"{int(time.time())},{uuid.uuid4()}"
