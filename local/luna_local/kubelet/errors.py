"""Errors of the kubelet, named by what happens next."""

from __future__ import annotations


class ContainerConfigError(Exception):
    """A container cannot be started as its manifest stands now; it is tried again, something may appear."""


class ContainerStartError(Exception):
    """The command itself cannot be started; it counts as an end of the container."""


class MountError(Exception):
    """A volume cannot be provided now; it is tried again."""


class NoSuchLog(LookupError):
    """A container has not run here, or not twice; the text is for the person who asked."""
