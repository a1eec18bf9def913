"""When the next request may leave: one gate per forge for limits and outages, one turn for writes (B6, B7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LIMITED_FIRST_S = 60.0  # a limit that names no moment: at least this long, and doubling
OUTAGE_FIRST_S = 1.0
WAIT_MOST_S = 300.0  # our own delays; so that a comment follows at most five minutes after the forge is back (I19)
STATED_MOST_S = 86_400.0  # a delay the forge states; a longer one is a mistake of its clock


@dataclass(slots=True)
class Gate:
    """Closed until a permitted moment, in monotonic seconds. Delays double until a request succeeds."""

    not_before_s: float = 0.0
    limits: int = 0
    outages: int = 0

    def left_s(self, now_s: float) -> float:
        """Seconds until a request may leave; 0 when open."""
        return max(0.0, self.not_before_s - now_s)

    def open(self) -> None:
        """A request went through: the next delay starts small again. A stated moment still stands."""
        self.limits = self.outages = 0

    def close_for(self, now_s: float, wait_s: float) -> None:
        self.not_before_s = max(self.not_before_s, now_s + wait_s)

    def limited(self, now_s: float, stated_s: float | None, jitter: float) -> None:
        """A rate limit. Without a stated delay: 60 to 120 s, then 120 to 240 s, then up to 5 minutes."""
        least_s = min(LIMITED_FIRST_S * 2 ** min(self.limits, 8), WAIT_MOST_S)
        drawn_s = min(least_s * (1 + jitter), WAIT_MOST_S)
        self.limits += 1
        self.close_for(now_s, drawn_s if stated_s is None else stated_s)

    def down(self, now_s: float, stated_s: float | None, jitter: float) -> None:
        """An outage: a delay drawn from up to 1, 2, 4 … 300 s, never less than 1 s once it repeats."""
        most_s = min(OUTAGE_FIRST_S * 2 ** min(self.outages, 16), WAIT_MOST_S)
        drawn_s = max(min(OUTAGE_FIRST_S, most_s / 2), jitter * most_s)
        self.outages += 1
        self.close_for(now_s, drawn_s if stated_s is None else stated_s)


class WriteTurn:
    """Keeps writes `gap_s` apart, counted from the end of the one before."""

    def __init__(self, gap_s: float, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._gap_s = gap_s
        self._clock = clock
        self._sleep = sleep
        self._free_at_s = float("-inf")

    async def wait(self) -> None:
        left_s = self._free_at_s - self._clock()
        if left_s > 0:
            await self._sleep(left_s)

    def done(self) -> None:
        self._free_at_s = self._clock() + self._gap_s


def stated_delay_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    """The longest delay the answer demands: Retry-After, and the reset of a used-up limit. None: it names none."""
    demanded = [delay for delay in (_retry_after_s(headers, wall_s), _reset_s(headers, wall_s)) if delay is not None]
    return min(max(demanded), STATED_MOST_S) if demanded else None


def remaining(headers: Mapping[str, str]) -> int | None:
    """Requests left in the window, as GitHub, GitLab and proxies before Gitea tell."""
    text = headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining"))
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None


def _retry_after_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    text = headers.get("retry-after", "").strip()
    seconds = _whole(text)
    if seconds is not None:
        return seconds
    moment = _moment(text)
    return None if moment is None else max(0.0, moment - _server_now(headers, wall_s))


def _reset_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    if remaining(headers) != 0:
        return None
    reset = _whole(headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", "")))
    # Whole seconds on both clocks: one more, or the request leaves in the last instant of the old window.
    return None if reset is None else max(0.0, reset - _server_now(headers, wall_s)) + 1.0


def _server_now(headers: Mapping[str, str], wall_s: float) -> float:
    """The forge's own clock where it tells it, so that ours may be wrong (B13)."""
    told = _moment(headers.get("date", ""))
    return wall_s if told is None else told


def _whole(text: str) -> float | None:
    stripped = text.strip()
    return float(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 16 else None


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def iso_stamp(wall_s: float) -> str:
    """`2026-03-01T10:00:00Z`, for what people read."""
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
