"""Keeps a stream's own secrets out of what its worker reports: nobody but this shim knows what to look for."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.store import Store
from luna_streams.errors import CredentialsMissing
from luna_streams.lifecycle import Report
from luna_streams.stream import ERROR_LIMIT

_LONGEST: Final = 8 * ERROR_LIMIT
"""Characters that are looked through; what is kept of an error is far shorter."""


def redacted(report: Report, entry: Entry | None, store: Store) -> Report:
    """Return a report whose error quotes neither password nor token of the stream.

    Args:
        report: as a worker sent it.
        entry: the stream it is about; the report of an unknown one is returned as it is.
        store: knows the stream's secrets.
    """
    if entry is None or not report.error:
        return report
    try:
        credentials = store.credentials(entry.stream)
    except CredentialsMissing:  # then the worker cannot have got them from here
        return report
    return replace(report, error=credentials.hidden_in(report.error[:_LONGEST]))
