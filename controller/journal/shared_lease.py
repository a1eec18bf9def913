"""Leases of one journal that several controllers write to (I13, I14, B16).

Every process registers; a registration stands in the chain as a document, and every commit of its process is refused
once it is gone. A process that stops saying that it lives is evicted by another: its registration and all its leases
go in one commit, so whatever it still tries to write is refused, and only then may others take what it held. No clock
is compared between machines: each watches, by its own monotonic clock, whether the others' beats move (I23).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from controller.journal.failure import Evicted, JournalUnavailable, StaleStream
from controller.journal.journal import Journal
from controller.journal.lease import EPOCHS, Lease, ScopeBusy
from controller.journal.projections import Document, Entry

CONTROLLER, LEASE = "journal.controller", "journal.lease"  # kinds of documents: name → registration, unit → holder
LEASE_S = 15.0
BEATS = 3  # in a lease
_SURE = 2 / 3  # of a lease: for the rest of it nothing is begun, since a call under way takes time (I14)


class Signals(Protocol):
    """What controllers tell each other outside of the chain. Raises JournalUnavailable."""

    heard: Callable[[str], None]  # called with what others sent

    async def beat(self, controller: str) -> Mapping[str, int]:
        """Say that `controller` lives; how often each controller has said so."""
        ...

    async def forget(self, controller: str) -> None: ...

    async def send(self, text: str) -> None:
        """To every controller that listens now. May be lost."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Registration:
    """One process: `name` outlives it (its state folder's), `start` does not."""

    name: str
    start: str
    where: str
    serves: bool  # takes its share of scopes; a command takes only what it is asked to change

    def body(self) -> Mapping[str, object]:
        return {"start": self.start, "where": self.where, "serves": self.serves}


class SharedLeases:
    """Every lease of this process. `clock` is monotonic, in seconds. A unit is a scope's name, or what else has one
    holder under a name no scope can have."""

    def __init__(
        self, journal: Journal, signals: Signals, me: Registration, clock: Callable[[], float], lease_s: float
    ) -> None:
        self.me, self.lease_s, self.signals = me, lease_s, signals
        self._journal, self._clock = journal, clock
        self._epochs: dict[str, int] = {}  # unit that is ours → its epoch
        self._running: set[str] = set()  # scopes with a run of ours
        self._seen: dict[str, tuple[int, float]] = {}  # controller → its beat, and when it last moved
        self._observed_s = float("-inf")
        self._sure_until_s = float("-inf")
        self._beating: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, journal: Journal, signals: Signals, me: Registration, clock: Callable[[], float], lease_s: float = LEASE_S
    ) -> SharedLeases:
        """Registered, and alive for others. Who had this name before has ended: its state lock is ours."""
        leases = cls(journal, signals, me, clock, lease_s)
        await leases.evict(me.name, "its process has ended")
        entry = Entry("journal.epoch", {"controller": me.name, "where": me.where})
        await journal.append(EPOCHS, [entry], [Document(CONTROLLER, me.name, me.body())])
        journal.require(CONTROLLER, me.name)
        await leases.beat()
        return leases

    @property
    def name(self) -> str:
        return self.me.name

    # --- as the runs of this process see it ---

    def take(self, scope: str) -> Lease:
        """The right of one run. Raises ScopeBusy unless the scope is held here and no other run has it."""
        if scope not in self._epochs:
            raise ScopeBusy(f"scope {scope} is not held by this controller", hint="alma status")
        if scope in self._running:
            raise ScopeBusy(f"scope {scope} is busy with another run", hint="wait for it, or cancel it")
        self._running.add(scope)
        return Lease(scope, self)

    def returned(self, scope: str) -> None:
        self._running.discard(scope)

    def epoch_of(self, scope: str) -> int:
        return self._epochs.get(scope, 0)

    def sure(self, scope: str) -> bool:
        """True if nobody can have taken our place, with time left for a call."""
        return scope in self._epochs and self._journal.writable and self._clock() < self._sure_until_s

    # --- units ---

    def holds(self, unit: str) -> bool:
        """True if it is ours as far as this process knows; a write finds out."""
        return unit in self._epochs

    def is_running(self, unit: str) -> bool:
        return unit in self._running

    async def holders(self) -> Mapping[str, str]:
        """Unit → the name of the controller that holds it."""
        return {unit: str(body["controller"]) for unit, body in (await self._journal.documents(LEASE)).items()}

    async def acquire(self, unit: str) -> str:
        """Take it if it is free; the name of who holds it then."""
        stream = f"lease:{unit}"
        version = await self._journal.version(stream)
        held = await self._journal.document(LEASE, unit)
        if held is not None:
            return str(held["controller"])
        body = {"controller": self.me.name, "epoch": version + 1}
        try:
            entry = Entry("lease.taken", {"unit": unit, **body})
            (record,) = await self._journal.append(stream, [entry], [Document(LEASE, unit, body)], expect=version)
        except StaleStream:
            return await self.acquire(unit)
        self._epochs[unit] = record.version
        return self.me.name

    async def hold(self, scope: str) -> None:
        """Take it or raise ScopeBusy naming who has it."""
        holder = await self.acquire(scope)
        if holder != self.me.name:
            known = await self._journal.document(CONTROLLER, holder)
            where = str(known["where"]) if known else holder
            raise ScopeBusy(
                f"scope {scope} is held by another controller ({where})",
                hint=f"ask that one; if it is gone, try again in {2 * self.lease_s:.0f} s",
            )

    async def release(self, unit: str) -> None:
        """Let another controller have it; for units with nothing under way."""
        epoch = self._epochs.pop(unit)
        entry = Entry("lease.released", {"unit": unit, "controller": self.me.name})
        try:
            await self._journal.append(f"lease:{unit}", [entry], [Document(LEASE, unit, None)])
        except JournalUnavailable:
            self._epochs[unit] = epoch  # still ours, as far as anybody knows
            raise

    # --- the others ---

    async def beat(self) -> None:
        """Say that we live, and see who else does. Raises JournalUnavailable, and Evicted when we were taken for
        dead."""
        began_s = self._clock()
        beats = await self.signals.beat(self.me.name)
        await self._journal.require_now()
        if began_s - self._observed_s > self.lease_s / 2:
            self._seen.clear()  # we were away ourselves: whose beats stood still meanwhile is not known
        for name, beat in beats.items():
            if name not in self._seen or self._seen[name][0] != beat:
                self._seen[name] = (beat, began_s)
        self._observed_s = began_s
        self._sure_until_s = began_s + self.lease_s * _SURE

    def beat_alone(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """For a process that takes no share: beat in the background until `close`."""

        async def beating() -> None:
            while self._journal.writable:
                await sleep(self.lease_s / BEATS)
                with suppress(JournalUnavailable, Evicted):  # unsure of its lease from then on: its run finds out
                    await self.beat()

        self._beating = asyncio.create_task(beating(), name="beats")

    async def others(self) -> Mapping[str, Mapping[str, object]]:
        """Registrations of all other processes, by name."""
        return {n: b for n, b in (await self._journal.documents(CONTROLLER)).items() if n != self.me.name}

    def is_dead(self, name: str) -> bool:
        """True if its beat has not moved for a whole lease, by our clock, while we were looking."""
        _, since_s = self._seen.setdefault(name, (0, self._clock()))
        return self._clock() - since_s >= self.lease_s

    async def evict(self, name: str, why: str) -> None:
        """Take a process's registration and all its leases away. Does nothing when it has none."""
        version = await self._journal.version(EPOCHS)
        if await self._journal.document(CONTROLLER, name) is None:
            return
        units = sorted(unit for unit, holder in (await self.holders()).items() if holder == name)
        gone = [Document(CONTROLLER, name, None), *(Document(LEASE, unit, None) for unit in units)]
        entry = Entry("controller.evicted", {"controller": name, "by": self.me.name, "why": why, "units": units})
        try:
            await self._journal.append(EPOCHS, [entry], gone, expect=version)
        except StaleStream:
            await self.evict(name, why)
            return
        self._seen.pop(name, None)
        await self.signals.forget(name)

    async def close(self) -> None:
        """Give everything back at once, so that nobody has to wait for a lease to end."""
        self._epochs.clear()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        try:
            if self._journal.writable:
                await self.evict(self.me.name, "it ended")
        finally:
            await self.signals.close()
