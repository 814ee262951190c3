"""Errors of `luna-streams up`."""

from __future__ import annotations


class UpError(Exception):
    """Something a person has to change first; the text is one line that says what."""
