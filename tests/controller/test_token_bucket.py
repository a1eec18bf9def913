"""A bucket gives what it holds, refills at its rate and never more than its burst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.token_bucket import TokenBucket


class Ticking:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_a_burst_goes_at_once_and_then_the_rate_rules() -> None:
    clock = Ticking()
    bucket = TokenBucket(per_minute=60, burst=3, clock=clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_s() == pytest.approx(1.0)
    clock.s = 1.0
    assert bucket.take() and not bucket.take()


def test_a_clock_that_goes_back_gives_nothing() -> None:
    clock = Ticking()
    bucket = TokenBucket(60, 1, clock)
    bucket.take()
    clock.s = -100
    assert not bucket.take()


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60), st.integers(1, 10), st.integers(1, 600))
def test_no_window_gives_more_than_burst_plus_rate(pauses: list[float], burst: int, per_minute: int) -> None:
    clock = Ticking()
    bucket = TokenBucket(per_minute, burst, clock)
    taken = 0
    for pause in pauses:
        clock.s += pause
        taken += bucket.take()
    assert taken <= burst + clock.s * per_minute / 60 + 1e-6


@pytest.mark.parametrize(("per_minute", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_gives_nothing_is_refused(per_minute: float, burst: int) -> None:
    with pytest.raises(ValueError, match="bucket"):
        TokenBucket(per_minute, burst, lambda: 0.0)
