from __future__ import annotations

from luna_local.kubelet.backoff import FORGOTTEN_AFTER_S, RestartBackoff


def waits(runs_s: list[float]) -> list[float]:
    backoff, result = RestartBackoff(), []
    for ran_for_s in runs_s:
        backoff = backoff.after_run(ran_for_s)
        result.append(backoff.delay_s)
        backoff = backoff.next()
    return result


def test_the_first_restart_is_at_once_then_the_wait_doubles_to_ten_seconds() -> None:
    assert waits([0.1] * 8) == [0, 0.5, 1, 2, 4, 8, 10, 10]


def test_a_long_run_makes_the_next_restart_immediate_again() -> None:
    assert waits([0.1, 0.1, 0.1, FORGOTTEN_AFTER_S, 0.1]) == [0, 0.5, 1, 0, 0.5]
