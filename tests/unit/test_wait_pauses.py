"""How long a wait pauses between attempts, and that it never pauses past its deadline."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState, Retrying

from entrypoint.postgres.refusals import ConnectFailedError, ConnectFailure, Phase, judge_answer
from entrypoint.postgres.wait import _Waiting

REFUSED = ConnectFailedError(
    [ConnectFailure(server="db:5432", reason="Connection refused", phase=Phase.CONNECT)]
)
NO_NAME = ConnectFailedError([ConnectFailure(server="db:5432", reason="no address", phase=Phase.RESOLVE)])
NO_DATABASE = ConnectFailedError([judge_answer("db:5432", "3D000", "missing")])


def make(first: ConnectFailedError, *, timeout_s: float, waited_s: float) -> _Waiting:
    return _Waiting(display="db", started=time.monotonic() - waited_s, timeout_s=timeout_s, first=first)


def state_of(attempt_number: int) -> RetryCallState:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt_number
    return state


attempt_numbers = st.integers(min_value=1, max_value=5000)


@given(attempt_numbers)
def test_a_fresh_wait_adds_at_most_a_tenth_of_a_second(number: int) -> None:
    assert 0 <= make(REFUSED, timeout_s=60, waited_s=1).choose_pause(state_of(number)) <= 0.1


@given(attempt_numbers, st.sampled_from([NO_NAME, NO_DATABASE]))
def test_later_and_for_names_and_databases_it_is_at_most_a_second(number: int, first: Any) -> None:
    assert 0 <= make(first, timeout_s=60, waited_s=1).choose_pause(state_of(number)) <= 1
    assert 0 <= make(REFUSED, timeout_s=60, waited_s=31).choose_pause(state_of(number)) <= 1


def test_the_jitter_is_full_and_grows() -> None:
    waiting = make(NO_NAME, timeout_s=60, waited_s=1)
    early = [waiting.choose_pause(state_of(1)) for _ in range(200)]
    late = [waiting.choose_pause(state_of(10)) for _ in range(200)]

    assert max(early) <= 0.05
    assert min(late) < 0.2
    assert max(late) > 0.8


@given(attempt_numbers, st.floats(min_value=0, max_value=10))
def test_no_pause_passes_the_deadline(number: int, waited_s: float) -> None:
    waiting = make(NO_NAME, timeout_s=10, waited_s=waited_s)

    assert waiting.choose_pause(state_of(number)) <= max(0.0, 10 - waited_s)


def test_an_attempt_without_time_left_is_not_made() -> None:
    assert make(REFUSED, timeout_s=10, waited_s=9.99).should_stop(state_of(3))
    assert not make(REFUSED, timeout_s=10, waited_s=9).should_stop(state_of(3))
