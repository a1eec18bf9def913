"""One token bucket per outside system: paces reconciles, engine calls, forge writes, webhooks."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """`burst` tokens at most, refilled at `per_minute`; time comes from a monotonic clock in seconds."""

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float]) -> None:
        if per_minute <= 0 or burst < 1:
            raise ValueError("a bucket needs a positive rate and a burst of at least 1")
        self._rate_per_s = per_minute / 60
        self._burst, self._clock = burst, clock
        self._tokens, self._at_s = float(burst), clock()

    @property
    def tokens(self) -> float:
        """How many are there now."""
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._at_s) * self._rate_per_s)
        self._at_s = now_s
        return self._tokens

    def take(self) -> bool:
        """Take one if there is one."""
        if self.tokens < 1:
            return False
        self._tokens -= 1
        return True

    def drain(self) -> None:
        """Take all there are."""
        self._tokens -= self.tokens

    def wait_s(self) -> float:
        """Seconds until the next token; 0 when one is there."""
        return max(0.0, (1 - self.tokens) / self._rate_per_s)
