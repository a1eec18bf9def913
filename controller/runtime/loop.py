"""The loop: looks at repositories, scopes and pull requests when something says "look", and at intervals anyway (I21).

Keys of the queue: `repo:NAME`, `scope:NAME`, `ipr:REPOSITORY/NUMBER`, `push:REPOSITORY/COMMIT`, `revert:SCOPE`,
`prune:`. Webhooks, polls, file events, engine hints and people only add keys; any of them alone reaches the same end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from controller.errors import AlmaError
from controller.forges.forge import ForgeError, ForgeUnavailable
from controller.journal.failure import JournalDamaged, JournalUnavailable
from controller.runtime.clock import Clock, backoff_s
from controller.runtime.ipr import Iprs
from controller.runtime.push_status import PushStatuses
from controller.runtime.reconciler import Reconciler
from controller.runtime.repository_look import RepositoryLook
from controller.runtime.retention import Retention
from controller.runtime.reverting import LateReverts
from controller.runtime.sharing import Share
from controller.runtime.work_queue import Item, Priority, WorkQueue
from controller.telemetry import Metrics
from controller.token_bucket import TokenBucket
from engines.engine import Engine, EngineError

_log = structlog.get_logger("loop")
_WORKERS = 8
_GRACE_S = 20.0  # from the signal on; a platform that waits for its containers kills at 30 s
_JOURNAL_AGAIN_S = 15.0  # the longest delay: a run that was begun goes on soon after the journal is back
_PRUNE_FIRST_S = 60.0  # after the start: what waits for a look goes first
_PRUNE_EVERY_S = 86_400.0
_QUICK_WORKERS = 3  # never taken by a run: looks and reviews go on beside slow deploys


def _is_quick(item: Item) -> bool:
    return not item.key.startswith("scope:")


@dataclass(frozen=True, slots=True)
class Rates:
    """Token buckets of scopes: passes per minute and how many at once."""

    per_minute: float = 6
    burst: int = 3


class Loop:
    """Takes keys from the queue and makes one pass each."""

    def __init__(
        self,
        *,
        queue: WorkQueue,
        reconciler: Reconciler,
        repositories: Mapping[str, RepositoryLook],
        iprs: Mapping[str, Iprs],
        pushes: Mapping[str, PushStatuses],
        reverts: LateReverts,
        retention: Retention,
        engines: Mapping[str, Engine],
        new_id: Callable[[], str],
        clock: Clock,
        metrics: Metrics,
        rates: Rates = Rates(),
        interval_s: float = 60.0,
        share: Share | None = None,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue, self._reconciler, self._repositories, self._iprs = queue, reconciler, repositories, iprs
        self._pushes, self._reverts, self._new_id = pushes, reverts, new_id
        self._retention = retention
        self._engines, self._clock, self._metrics = engines, clock, metrics
        self._rates, self._interval_s = rates, interval_s
        self._share = share  # None: this controller is the only one
        self._rest = rest  # tells runs to begin nothing more
        self._buckets: dict[str, TokenBucket] = {}
        self._failures: dict[str, int] = {}

    async def run(self, stop: asyncio.Event, watches: Sequence[Callable[[], AsyncIterator[str]]] = ()) -> None:
        """Until `stop` is set; passes under way are finished first, runs between two of their steps, and what takes
        longer is cut off and taken up by the next start. Where others took this controller for dead it ends at once.
        `watches` yield keys to look at at once."""
        if self._share:
            await self._share.step()
        for scope in await self.left_behind():
            self._queue.add(f"scope:{scope}", Priority.PERSON)
        for name in self._repositories:
            self._queue.add(f"repo:{name}", Priority.POLL)
        for name, pushes in self._pushes.items():
            for revision in await pushes.unsettled():
                self._queue.add(f"push:{name}/{revision}", Priority.POLL)
        self._queue.add("prune:", Priority.POLL, _PRUNE_FIRST_S)
        helpers = [asyncio.create_task(self._hints(t, e)) for t, e in self._engines.items()]
        helpers += [asyncio.create_task(self._watched(w)) for w in watches]
        helpers += [asyncio.create_task(self._share.run())] if self._share else []
        workers = [asyncio.create_task(self._work(stop, None)) for _ in range(_WORKERS)]
        workers += [asyncio.create_task(self._work(stop, _is_quick)) for _ in range(_QUICK_WORKERS)]
        enders = [asyncio.create_task(stop.wait())]
        enders += [asyncio.create_task(self._share.lost.wait())] if self._share else []
        try:
            await asyncio.wait({*enders, *workers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            for task in (*helpers, *enders):
                task.cancel()
            await asyncio.gather(*helpers, *enders, return_exceptions=True)
            await self._end(workers)

    @property
    def is_lost(self) -> bool:
        """True if it ended because others took this controller for dead: it may begin anew."""
        return self._share is not None and self._share.lost.is_set()

    async def left_behind(self) -> tuple[str, ...]:
        """Scopes that a process looks at when it begins, whether or not Git can be read."""
        return await self._reconciler.left_behind(frozenset(self._repositories))

    async def _end(self, workers: Sequence[asyncio.Task[None]]) -> None:
        """Idle workers end at once, busy ones after their pass or their time; a defect in one of them surfaces."""
        self._rest()
        for worker in workers:
            if self.is_lost or worker.get_name() != "busy":
                worker.cancel()
        _, late = await asyncio.wait(workers, timeout=_GRACE_S)
        for worker in late:
            worker.cancel()  # a run that waits for a step or a site goes on at the next start
        for result in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _work(self, stop: asyncio.Event, only: Callable[[Item], bool] | None) -> None:
        me = asyncio.current_task()
        assert me is not None, "runs as a task"
        while not stop.is_set():
            me.set_name("idle")
            item = await self._queue.take(only)
            me.set_name("busy")
            await self.one(item)

    async def one(self, item: Item) -> None:
        """One key taken from the queue: its pass, and when to look again."""
        try:
            with structlog.contextvars.bound_contextvars(trace_id=self._new_id()):
                await self._pass(item)
        finally:
            self._queue.over(item.key)
            self._show_depth()

    async def _pass(self, item: Item) -> None:
        """One pass; whatever goes wrong with it concerns this key only, and is tried again with a growing delay."""
        try:
            after_s, priority = await self._dispatch(item)
            self._failures.pop(item.key, None)
        except ForgeUnavailable as e:
            _log.warning("forge unavailable", key=item.key, retry_after_s=round(e.retry_after_s, 1), reason=str(e))
            after_s, priority = e.retry_after_s, item.priority
        except (JournalDamaged, JournalUnavailable) as e:
            _log.error("journal unavailable, nothing is changed", key=item.key, reason=str(e))
            after_s, priority = min(_JOURNAL_AGAIN_S, self._delay_s(item.key)), item.priority
        except (AlmaError, ForgeError, EngineError) as e:
            _log.warning("pass failed", key=item.key, reason=str(e))
            after_s, priority = self._delay_s(item.key), Priority.POLL
        except Exception:
            _log.exception("defect in a pass", key=item.key)
            after_s, priority = self._delay_s(item.key), Priority.POLL
        if after_s is not None:
            self._queue.add(item.key, priority, after_s)

    async def _dispatch(self, item: Item) -> tuple[float | None, Priority]:
        what, _, name = item.key.partition(":")
        if self._share and not await self._share.admits(item):
            return None, Priority.POLL
        if what == "touch":
            repository, _, scope = name.partition("/")
            for touched in self._iprs[repository].touching(scope):
                self._queue.add(f"ipr:{repository}/{touched}", Priority.PULL_REQUEST)
            return None, Priority.POLL
        if what == "repo":
            await self._repositories[name].look()
            return self._interval_s, Priority.POLL
        if what == "ipr":
            repository, _, number = name.rpartition("/")
            after_s = await self._iprs[repository].look(int(number))
            return after_s, Priority.PULL_REQUEST
        if what == "push":
            repository, _, revision = name.rpartition("/")
            await self._pushes[repository].look(revision)
            return None, Priority.POLL
        if what == "prune":
            await self._retention.prune()
            return _PRUNE_EVERY_S, Priority.POLL
        if what == "revert":
            await self._reverts.look(name)
            return None, Priority.POLL
        wait_s = self._throttled(name, item.priority)
        if wait_s:
            return wait_s, item.priority
        requeue = await self._reconciler.reconcile(name, item.priority)
        return requeue.after_s, requeue.priority

    def _throttled(self, scope: str, priority: Priority) -> float:
        """Seconds until the scope's bucket has a token; 0 when one was taken. People wait for none."""
        bucket = self._buckets.get(scope)
        if bucket is None:
            bucket = TokenBucket(self._rates.per_minute, self._rates.burst, self._clock.now_s)
            self._buckets[scope] = bucket
        if priority is Priority.PERSON or bucket.take():
            self._metrics.gauge("alma_token_bucket_tokens", bucket.tokens, f"scope:{scope}")
            return 0.0
        self._metrics.count("alma_reconcile_throttled", scope)
        return max(0.05, bucket.wait_s())

    def _delay_s(self, key: str) -> float:
        self._failures[key] = self._failures.get(key, 0) + 1
        return backoff_s(self._failures[key] - 1, self._clock.jitter())

    def _show_depth(self) -> None:
        for priority, depth in self._queue.depth().items():
            self._metrics.gauge("alma_queue_depth", depth, priority.name.lower())

    async def _hints(self, target: str, engine: Engine) -> None:
        """Events of a target only shorten the wait for the next look; when they end, they are asked for again."""
        attempt = 0
        while True:
            try:
                async for hint in engine.hints():
                    attempt = 0
                    if hint.scope:
                        self._queue.add(f"scope:{hint.scope}", Priority.DRIFT, 0.2)
            except EngineError as e:
                _log.info("hints ended", target=target, reason=str(e))
            attempt += 1
            await self._clock.sleep(backoff_s(attempt, self._clock.jitter(), most_s=60.0))

    async def _watched(self, watch: Callable[[], AsyncIterator[str]]) -> None:
        async for key in watch():
            self._queue.add(key, Priority.WEBHOOK)
