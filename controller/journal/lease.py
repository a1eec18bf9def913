"""The right to mutate: one process per STATE directory, one holder per scope, and an epoch that only grows
(I13, I14, I23, B17).

A SQLite journal has one machine, so the kernel's lock is the truth: it ends with the process, a stopped process
keeps it, and no clock is asked. The monotonic clock only bounds how old the last look at the lock may be.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from controller.errors import AlmaError
from controller.journal.journal import Journal
from controller.journal.lock import MOUNTS, FileLock
from controller.journal.projections import Entry

EPOCHS = "journal.epochs"  # the stream with one record per process start; its version is the epoch
_LOOK_EVERY_S = 1.0


class ScopeBusy(AlmaError):
    """A run of this scope holds its lease (I13)."""


class Holder(Protocol):
    """Who gives leases."""

    def epoch_of(self, scope: str) -> int:
        """Grows whenever another process comes to hold the scope."""
        ...

    def sure(self, scope: str) -> bool:
        """True if no other process can mutate the scope now."""
        ...

    def returned(self, scope: str) -> None:
        """Called by a lease that is released."""


class Lease:
    """The right of one run to mutate one scope; fulfils `controller.plan.step.Fence`."""

    def __init__(self, scope: str, leases: Holder) -> None:
        self.scope = scope
        self._leases: Holder | None = leases

    @property
    def epoch(self) -> int:
        """The holder's for this scope. 0 once released."""
        return self._leases.epoch_of(self.scope) if self._leases else 0

    def holds(self) -> bool:
        """True if no other process or run can mutate this scope now. Unsure means False."""
        return self._leases is not None and self._leases.sure(self.scope)

    def release(self) -> None:
        """Let the next run have the scope. Safe to repeat; afterwards `holds` is False for good."""
        if self._leases is not None:
            self._leases.returned(self.scope)
            self._leases = None


class Leases:
    """Every lease of this process. `clock` is monotonic, in seconds."""

    def __init__(self, lock: FileLock, journal: Journal, epoch: int, clock: Callable[[], float]) -> None:
        self.epoch = epoch
        self._lock, self._journal, self._clock = lock, journal, clock
        self._held: set[str] = set()
        self._looked_s = float("-inf")

    @classmethod
    async def start(cls, lock: FileLock, journal: Journal, clock: Callable[[], float]) -> Leases:
        """A new epoch, durable before the first lease can be given."""
        (record,) = await journal.append(EPOCHS, [Entry("journal.epoch", {})])
        return cls(lock, journal, record.version, clock)

    def take(self, scope: str) -> Lease:
        """The lease of `scope`. Raises ScopeBusy while another run of this process has it."""
        if scope in self._held:
            raise ScopeBusy(f"scope {scope} is busy with another run", hint="wait for it, or cancel it")
        self._held.add(scope)
        return Lease(scope, self)

    async def hold(self, scope: str) -> None:
        """Every scope of a journal with one process is its own."""

    async def close(self) -> None:
        """Nothing to give back: the lock tells."""

    def returned(self, scope: str) -> None:
        self._held.discard(scope)

    def epoch_of(self, scope: str) -> int:
        """The process's."""
        return self.epoch

    def sure(self, scope: str) -> bool:
        """True if the lock was seen in our hands within the last second and the journal still takes records."""
        if not self._journal.writable:
            return False
        now_s = self._clock()
        if not 0 <= now_s - self._looked_s < _LOOK_EVERY_S:
            if not self._lock.intact():
                return False
            self._looked_s = now_s
        return True


def lock_state(state: Path, *, mounts: Path = MOUNTS) -> FileLock:
    """Make this process the only one that works with `state`. Raises LockHeld naming the holder's pid, AlmaError on a
    network file system. Never waits."""
    return FileLock.acquire(state / "lock", mounts=mounts)
