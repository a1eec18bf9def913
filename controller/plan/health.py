"""Health of an object, and which of two is worse. Sync is a separate fact (as in Argo CD)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class HealthState(StrEnum):
    """From best to worst; the order of definition is the order of `worst`."""

    HEALTHY = "healthy"
    SUSPENDED = "suspended"
    PROGRESSING = "progressing"
    UNKNOWN = "unknown"
    MISSING = "missing"
    DEGRADED = "degraded"


class SyncState(StrEnum):
    SYNCED = "synced"
    OUT_OF_SYNC = "out-of-sync"
    UNKNOWN = "unknown"


_BADNESS = {state: rank for rank, state in enumerate(HealthState)}


@dataclass(frozen=True, slots=True)
class Health:
    """A state and, where it is not healthy, one redacted line that says why."""

    state: HealthState
    reason: str = ""


HEALTHY = Health(HealthState.HEALTHY)


def worst(healths: Iterable[Health]) -> Health:
    """The worst of them; healthy when there are none."""
    return max(healths, key=lambda h: _BADNESS[h.state], default=HEALTHY)
