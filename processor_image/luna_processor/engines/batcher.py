"""Gather pictures of many streams into batches for one engine.

Analysis threads hand in one picture each and wait; a worker thread takes what is there, pictures of one shape
together. On a CPU batching saves nothing, so the batch is what waits anyway, spread over a worker per core; on a GPU a
worker waits up to the deadline for the batch to fill.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from luna_processor.engines.port import BatchPolicy, Engine
from luna_processor.engines.preparation import NetworkInput
from luna_processor.errors import EngineFailed
from luna_processor.vision.detections import FloatArray

CLOSING_S = 5.0
"""An engine that hangs is left behind after so long: the process has to end."""


@dataclass(slots=True, eq=False)
class _Request:
    picture: NetworkInput
    answer: Future[list[FloatArray]] = field(default_factory=Future)
    arrived_s: float = field(default_factory=time.monotonic)


class Batcher:
    """Runs one engine for many callers; a failure reaches only the callers of that batch."""

    def __init__(self, engine: Engine, policy: BatchPolicy, name: str) -> None:
        self._engine = engine
        self._policy = policy
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._last_answer_s = time.monotonic()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(policy.workers)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, picture: NetworkInput) -> list[FloatArray]:
        """Return the outputs for one picture (without batch axis); blocks until they are there.

        Raises:
            EngineFailed: if the engine fails or the batcher is closed.
        """
        request = _Request(picture)
        with self._changed:
            if self._is_closed:
                raise EngineFailed("inference has been stopped")
            self._waiting.append(request)
            self._changed.notify()
        return request.answer.result()

    @property
    def waiting_count(self) -> int:
        """Pictures that wait for a worker."""
        return len(self._waiting)

    def is_alive(self, patience_s: float) -> bool:
        """Return whether no picture has waited longer than `patience_s` without any answer being given."""
        with self._changed:
            if not self._waiting:
                return all(thread.is_alive() for thread in self._threads)
            waited_s = time.monotonic() - max(self._waiting[0].arrived_s, self._last_answer_s)
        return waited_s < patience_s and all(thread.is_alive() for thread in self._threads)

    def close(self, patience_s: float = CLOSING_S) -> None:
        """Stop the workers; pictures that wait are answered with an error.

        Args:
            patience_s: how long a batch that runs is waited for, in seconds.
        """
        with self._changed:
            self._is_closed = True
            abandoned = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for request in abandoned:
            request.answer.set_exception(EngineFailed("inference has been stopped"))
        until_s = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                outputs = self._engine.run([request.picture for request in batch])
                for index, request in enumerate(batch):
                    request.answer.set_result([output[index] for output in outputs])
            except Exception as e:
                for request in batch:
                    if not request.answer.done():
                        request.answer.set_exception(e)
            self._last_answer_s = time.monotonic()

    def _next_batch(self) -> Sequence[_Request] | None:
        """Wait for the next batch; None when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if self._is_closed:
                return None
            first = self._waiting.popleft()
            batch = [first, *self._matching(first, self._policy.max_batch - 1)]
            deadline_s = first.arrived_s + self._policy.deadline_s
            while len(batch) < self._policy.max_batch and (remaining_s := deadline_s - time.monotonic()) > 0:
                self._changed.wait(remaining_s)
                batch += self._matching(first, self._policy.max_batch - len(batch))
            return batch

    def _matching(self, first: _Request, limit: int) -> list[_Request]:
        """Take up to `limit` waiting pictures of the same shape."""
        found = [request for request in self._waiting if request.picture.shape == first.picture.shape][:limit]
        for request in found:
            self._waiting.remove(request)
        return found
