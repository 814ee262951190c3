"""Batches across callers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from luna_processor.engines.batcher import Batcher
from luna_processor.engines.port import BatchPolicy
from luna_processor.engines.preparation import NetworkInput, host_arrays
from luna_processor.errors import EngineFailed
from luna_processor.vision.detections import FloatArray
from support.waiting import PATIENCE_S, eventually_blocking


class Doubler:
    """An engine that doubles; remembers batches, can be held up and broken."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def run(self, pictures: Sequence[NetworkInput]) -> list[FloatArray]:
        self.entered.set()
        self.gate.wait(PATIENCE_S)
        batch = np.stack(host_arrays(pictures))
        self.batches.append(batch.shape)
        if (batch < 0).any():
            raise EngineFailed("negative picture")
        return [np.asarray(batch * 2), np.asarray(batch.sum(axis=1, keepdims=True))]


@pytest.fixture
def engine() -> Doubler:
    return Doubler()


def batcher(engine: Doubler, **policy: Any) -> Batcher:
    return Batcher(engine, BatchPolicy(**{"workers": 1, **policy}), "test")


def picture(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_each_caller_gets_its_own_answer(engine: Doubler) -> None:
    runner = batcher(engine, workers=2, max_batch=4)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: runner.run(picture(n, n + 1)), range(32)))
    runner.close()
    for number, (doubled, total) in enumerate(answers):
        assert doubled.tolist() == [2 * number, 2 * number + 2]
        assert total.tolist() == [2 * number + 1]


def test_pictures_that_wait_are_batched_up_to_the_limit(engine: Doubler) -> None:
    engine.gate.clear()
    runner = batcher(engine, max_batch=4)
    with ThreadPoolExecutor(9) as pool:
        answers = [pool.submit(runner.run, picture(0, 0))]
        assert engine.entered.wait(PATIENCE_S)  # the first alone; those that come now wait for it
        answers += [pool.submit(runner.run, picture(n, n)) for n in range(1, 9)]
        eventually_blocking(lambda: runner.waiting_count == 8)
        engine.gate.set()
        for answer in answers:
            answer.result(PATIENCE_S)
    runner.close()
    assert sorted(shape[0] for shape in engine.batches) == [1, 4, 4]


def test_pictures_of_different_shapes_are_never_in_one_batch(engine: Doubler) -> None:
    engine.gate.clear()
    runner = batcher(engine, max_batch=8)
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(runner.run, picture(*range(2)))]
        assert engine.entered.wait(PATIENCE_S)
        answers += [pool.submit(runner.run, picture(*range(2 + n % 2))) for n in range(1, 6)]
        eventually_blocking(lambda: runner.waiting_count == 5)
        engine.gate.set()
        assert all(len(answer.result(PATIENCE_S)[0]) == 2 + n % 2 for n, answer in enumerate(answers))
    runner.close()


def test_the_first_picture_waits_no_longer_than_the_deadline(engine: Doubler) -> None:
    runner = batcher(engine, max_batch=8, deadline_s=0.05)
    assert runner.run(picture(1, 1))[0].tolist() == [2, 2]
    runner.close()


def test_a_failure_reaches_only_its_batch(engine: Doubler) -> None:
    runner = batcher(engine)
    with pytest.raises(EngineFailed, match="negative"):
        runner.run(picture(-1, 0))
    assert runner.run(picture(1, 1))[0].tolist() == [2, 2]
    runner.close()


def test_a_hanging_engine_is_noticed_and_an_idle_one_is_not(engine: Doubler) -> None:
    runner = batcher(engine)
    assert runner.is_alive(patience_s=0)
    engine.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(runner.run, picture(1)) for _ in range(2)]
        while runner.waiting_count < 1:
            pass
        assert runner.is_alive(patience_s=60)
        assert not runner.is_alive(patience_s=0)
        engine.gate.set()
        for answer in answers:
            answer.result(PATIENCE_S)
    assert runner.is_alive(patience_s=0)
    runner.close()


def test_closing_answers_those_who_wait_and_refuses_those_who_come(engine: Doubler) -> None:
    engine.gate.clear()
    runner = batcher(engine)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(runner.run, picture(1))]
        assert engine.entered.wait(PATIENCE_S)
        answers += [pool.submit(runner.run, picture(1)) for _ in range(2)]
        eventually_blocking(lambda: runner.waiting_count == 2)
        engine.gate.set()
        runner.close()
        outcomes = [answer.exception(PATIENCE_S) for answer in answers]
    assert any(outcome is None for outcome in outcomes)
    with pytest.raises(EngineFailed, match="stopped"):
        runner.run(picture(1))


def test_an_engine_that_hangs_does_not_keep_the_process_from_its_end(engine: Doubler) -> None:
    engine.gate.clear()
    runner = batcher(engine)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(runner.run, picture(1))
        assert engine.entered.wait(PATIENCE_S)
        waiting = pool.submit(runner.run, picture(2))
        eventually_blocking(lambda: runner.waiting_count == 1)
        runner.close(patience_s=0.05)
        assert isinstance(waiting.exception(PATIENCE_S), EngineFailed)
        engine.gate.set()
        assert running.result(PATIENCE_S)[0].tolist() == [2], "what was running is answered, should it end after all"


def test_a_batch_that_is_full_waits_for_nothing(engine: Doubler) -> None:
    runner = batcher(engine, max_batch=2, deadline_s=600.0)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(runner.run, picture(*shape)) for shape in ((1, 1), (1,), (2, 2), (2,))]
        assert [len(answer.result(PATIENCE_S)[0]) for answer in answers] == [2, 1, 2, 1]
    runner.close()
    assert sorted(engine.batches) == [(2, 1), (2, 2)]
