"""Errors of the processor, named by what happens next; their text is read by people in logs and in `last_error`."""

from __future__ import annotations


class ProcessorError(Exception):
    """Anything this package raises on purpose."""


class StartupError(ProcessorError):
    """The process cannot start: the text is printed and the exit status is not zero."""


class UnsuitableStream(ProcessorError):
    """The stream asks for what cannot be done: it fails and is not tried again by itself."""


class UnsuitableSource(UnsuitableStream):
    """The source can be read, but what is in it does not fit the stream."""


class SourceFailed(ProcessorError):
    """The source could not be opened or read: a live one is tried again by the healthcheck policy."""


class SourceEnded(ProcessorError):
    """A live source came to its end, which is an error for an endless stream."""


class DeliveryRefused(ProcessorError):
    """LUNA PLATFORM refuses this worker's authorization: every further event would be refused, too."""


class EngineFailed(ProcessorError):
    """Inference failed; the stream whose picture it was fails, others go on."""


class DeviceLost(EngineFailed):
    """The GPU is gone for this process: streams say so, go to other workers, and the process ends."""


class ServerUnavailable(ProcessorError):
    """The LUNA Streams server did not answer properly: ask again later."""


class ReportRefused(ProcessorError):
    """The server finds a report or request invalid: repeating it changes nothing."""
