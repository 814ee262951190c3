"""Whose certificates are believed in tests: nobody outside this machine is asked anything.

Each client of httpx reads the authorities that it trusts anew. Those of the web are a hundred and more, which takes
longer than all the requests of most tests; programs that tests start read them as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import certifi
import pytest

_LAST_LINE = "-----END CERTIFICATE-----\n"


@pytest.fixture(scope="session", autouse=True)
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let one authority stand for those of the web, here and in the programs that tests start."""
    first, end, _ = certifi.contents().partition(_LAST_LINE)
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    path.write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield
