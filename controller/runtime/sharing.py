"""Several controllers on one journal: which of them looks at what, and how the others wake it.

A key of the queue belongs to a unit, and a unit to one controller at a time, by lease. Who should have it is told by
rendezvous hashing over those that live, so every one of them comes to the same answer without asking; the lease alone
says who has it. A key that comes up where its unit is not held is sent to all, and the holder takes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import structlog

from controller.journal.failure import Evicted, JournalUnavailable
from controller.journal.shared_lease import BEATS, SharedLeases
from controller.runtime.clock import Clock
from controller.runtime.records import Records, ScopeRecord
from controller.runtime.work_queue import Item, Priority, WorkQueue

_log = structlog.get_logger("sharing")
_FORGE = "/"  # no scope has it in its name: `/infra` is what concerns the forge of repository infra, `/` what none does


def unit_of(key: str) -> str:
    """Scopes are held one by one; a repository's comments and statuses have one writer."""
    what, _, name = key.partition(":")
    if what in ("scope", "revert"):
        return name
    return _FORGE if what == "prune" else _FORGE + name.partition("/")[0]


def preferred(unit: str, controllers: Iterable[str]) -> str:
    """The one of them that should have the unit. One more or one fewer moves only that one's units."""
    return max(controllers, key=lambda name: hashlib.sha256(f"{name}\n{unit}".encode()).digest())


class Share:
    """This controller's share of the work. `lost` is set when others took it for dead: everything ends then."""

    def __init__(
        self,
        leases: SharedLeases,
        records: Records,
        queue: WorkQueue,
        clock: Clock,
        follow: Mapping[str, Callable[[], Awaitable[None]]],
    ) -> None:
        self._leases, self._records, self._queue, self._clock, self._follow = leases, records, queue, clock, follow
        self._live: Collection[str] = (leases.name,)
        self._sending: set[asyncio.Task[None]] = set()
        self.lost = asyncio.Event()
        leases.signals.heard = self._heard

    async def run(self) -> None:
        """Beats until cancelled, or until it is lost."""
        while True:
            await self._clock.sleep(self._leases.lease_s / BEATS)
            try:
                await self.step()
            except Evicted as e:
                _log.error("lost every lease", reason=str(e))
                self.lost.set()
                return
            except JournalUnavailable as e:
                _log.warning("no beat: sure of no lease until the next", reason=str(e))

    async def step(self) -> None:
        """One beat; the dead are evicted, and what is free and ours is taken."""
        await self._leases.beat()
        others = await self._leases.others()
        for name in [n for n in others if self._leases.is_dead(n)]:
            _log.warning("a controller is silent for a whole lease", controller=name, where=others[name].get("where"))
            await self._leases.evict(name, "silent for a whole lease")
        others = await self._leases.others()
        self._live = (self._leases.name, *(n for n, told in others.items() if told.get("serves")))
        holders = await self._leases.holders()
        for unit, key in await self._units():
            if unit not in holders and self._should_have(unit):
                await self._take(unit, key)
            elif self._leases.holds(unit) and not self._should_have(unit) and not self._is_used(unit, key):
                await self._leases.release(unit)
                self._tell(Item(key, Priority.WEBHOOK))

    async def admits(self, item: Item) -> bool:
        """True if this controller makes the pass now. Else its holder is woken, unless it was a poll: the holder polls
        by itself."""
        unit = unit_of(item.key)
        if not self._leases.holds(unit) and not (self._should_have(unit) and await self._got(unit)):
            if item.priority is not Priority.POLL:
                self._tell(item)
            return False
        # Where another controller looks at the repository, its last look is where we are too.
        for repository, follow in self._follow.items():
            if not self._leases.holds(_FORGE + repository):
                await follow()
        return True

    async def _units(self) -> list[tuple[str, str]]:
        """Every unit there is, and the key to look at when it was taken."""
        scopes = [
            (r.scope, f"scope:{r.scope}") for r in await self._records.all(ScopeRecord) if r.repository in self._follow
        ]
        repositories = [(_FORGE + name, f"repo:{name}") for name in self._follow]
        return [(_FORGE, "prune:"), *repositories, *scopes]

    def _should_have(self, unit: str) -> bool:
        return preferred(unit, self._live) == self._leases.name

    def _is_used(self, unit: str, key: str) -> bool:
        return self._leases.is_running(unit) or self._queue.is_busy(key)

    async def _take(self, unit: str, key: str) -> None:
        if await self._got(unit):
            self._queue.add(key, Priority.WEBHOOK)

    async def _got(self, unit: str) -> bool:
        return await self._leases.acquire(unit) == self._leases.name

    def _tell(self, item: Item) -> None:
        """Losing it changes latency only, so nothing waits for it."""
        text = json.dumps({"from": self._leases.name, "key": item.key, "priority": int(item.priority)})
        task = asyncio.create_task(self._send(text))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, text: str) -> None:
        try:
            await self._leases.signals.send(text)
        except JournalUnavailable as e:
            _log.info("nobody was woken", reason=str(e))

    def _heard(self, text: str) -> None:
        """From another controller, or from anyone else with the database's rights: only a hint (I21)."""
        try:
            told = json.loads(text)
            key, priority = str(told["key"]), Priority(told["priority"])
        except (ValueError, KeyError, TypeError):
            return
        unit = unit_of(key)
        if told.get("from") != self._leases.name and (self._leases.holds(unit) or self._should_have(unit)):
            self._queue.add(key, priority)
