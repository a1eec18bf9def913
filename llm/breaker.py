"""Leaves a provider alone that fails, and lets one request find out whether it is back."""

from __future__ import annotations

from llm.providers.provider import Failure, NoAnswer

_FAILURES = 3  # in a row, before it is left alone
_FIRST_S, _MOST_S = 30.0, 900.0


class Breaker:
    """Health of one provider; times are monotonic seconds given by the caller."""

    def __init__(self) -> None:
        self._failures = 0
        self._closed_until_s = float("-inf")

    def lets(self, now_s: float) -> bool:
        """True if it may be asked now. After a pause every failure begins the next, longer one."""
        return now_s >= self._closed_until_s

    def worked(self) -> None:
        self._failures = 0
        self._closed_until_s = float("-inf")

    def failed(self, error: NoAnswer, now_s: float) -> None:
        """A wrong configuration mends itself least: it waits longest at once. A 429 waits as long as it asks."""
        self._failures += 1
        if error.failure is Failure.DENIED:
            wait_s = _MOST_S
        elif error.failure is Failure.LIMITED:
            wait_s = _FIRST_S if error.retry_after_s is None else error.retry_after_s
        elif self._failures >= _FAILURES:
            wait_s = min(_MOST_S, _FIRST_S * 2 ** min(self._failures - _FAILURES, 10))
        else:
            return
        self._closed_until_s = max(self._closed_until_s, now_s + wait_s)
