"""`executor: temporal`: each run is a workflow, and this process is the worker of those it owns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from controller.errors import AlmaError
from controller.plan.step import Fence
from controller.runtime.clock import backoff_s
from controller.runtime.live_run import Hooks, LiveRun, Means
from controller.runtime.run import Begun, RunState
from controller.settings import TemporalSettings
from controller.temporal.activities import Activities, Owned
from controller.temporal.connection import ServerAway, connected
from controller.temporal.messages import Order
from controller.temporal.workflow import RunWorkflow

_log = structlog.get_logger("temporal")
_PASSES = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED)
_AGAIN_S = 10.0  # at most this long until the server is tried again
Handle = WorkflowHandle[RunWorkflow, str]


class TemporalExecutor:
    """Carries runs out as workflows. While the server is away, runs wait; none is lost, for the journal has them."""

    def __init__(
        self,
        means: Means,
        where: TemporalSettings,
        install: str,
        queues: Mapping[str, str] | None = None,
        controller: str = "",
    ) -> None:
        """`queues`: where the legs of targets go that this process does not reach, by target; `controller`: under
        which name it holds its leases."""
        self._means, self._where, self._install = means, where, install
        self._queues = dict(queues or {})
        self._activities = Activities(means.log, controller if self._queues else "")
        self._client: Client | None = None
        self._worker: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._signals: set[asyncio.Task[None]] = set()

    async def run(self, begun: Begun, fence: Fence, hooks: Hooks) -> RunState:
        """Begin `begun.run`, or go on with it if the journal knows it. Raises LeaseLost; engine errors are data."""
        live = LiveRun(self._means, fence, hooks)
        await live.recall(begun)
        async with self._activities.owning(live) as owned:
            while live.going:
                await self._patiently(lambda: self._carried(owned))
                if self._queues:
                    await live.catch_up()
        return live.state

    def cancel(self, run: str, by: str) -> bool:
        owned = self._activities.owned(run)
        if owned is None or not owned.live.going:
            return False
        self._signal(run, "cancel", by)
        return True

    def nudge(self, run: str) -> None:
        if self._activities.owned(run) is not None:
            self._signal(run, "nudge")

    def rest(self) -> None:
        """Runs are left when the worker ends; until then the server hands out their work."""

    async def close(self) -> None:
        """What has not ended is left to the next process; the server keeps where it was."""
        tasks = [*self._signals, *([self._worker] if self._worker else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carried(self, owned: Owned) -> None:
        """Start the workflow, or join it, and wait for its end. Raises what the run could not go on for."""
        state = owned.live.state
        handle: Handle = await (await self._served()).start_workflow(
            RunWorkflow.run,
            Order(state.run, self._means.bounds.in_flight, float(self._where.heartbeat_timeout), queues=self._queues),
            id=self._id(state.run),
            task_queue=self._where.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"{state.plan.scope} at {state.plan.revision[:12]}",
        )
        try:
            await self._result(handle)
        except WorkflowFailureError as e:
            # Without a reason of our own somebody ended it at the server; the run itself is not over.
            if owned.broke is not None:
                raise owned.broke from None
            _log.warning("a workflow was ended from outside; it is started again", run=state.run, how=str(e.cause))

    async def _result(self, handle: Handle) -> None:
        """Waits for the workflow's end. Raises ServerAway when this process's worker ends before it."""
        assert self._worker is not None, "the workflow was started through `_served`"
        result = asyncio.ensure_future(handle.result())
        try:
            await asyncio.wait({result, self._worker}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise ServerAway(f"the worker ended: {self._worker.exception()}")
            result.result()
        finally:
            result.cancel()

    async def _patiently(self, call: Callable[[], Awaitable[None]]) -> None:
        """Once, and again for as long as the server cannot be reached."""
        tries = 0
        while True:
            try:
                return await call()
            except (RPCError, ServerAway) as e:
                if isinstance(e, RPCError) and e.status not in _PASSES:
                    raise AlmaError(f"Temporal at {self._where.address}: {e.message}") from e
                _log.warning("Temporal does not answer; runs wait", address=self._where.address, reason=str(e)[:200])
            await asyncio.sleep(backoff_s(tries, self._means.clock.jitter(), most_s=_AGAIN_S))
            tries += 1

    async def _served(self) -> Client:
        """The connection; with it a worker takes work. Raises ServerAway."""
        async with self._starting:
            if self._client is None:
                self._client = await connected(self._where)
            if self._worker is None or self._worker.done():
                self._worker = asyncio.create_task(self._work(self._client), name="temporal worker")
        return self._client

    async def _work(self, client: Client) -> None:
        worker = Worker(
            client,
            task_queue=self._where.task_queue,
            workflows=[RunWorkflow],
            activities=self._activities.all(),
            # So long a server waits for the process that had the workflow in mind before it asks another.
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=self._where.heartbeat_timeout),
        )
        await worker.run()

    def _id(self, run: str) -> str:
        return f"{self._install}/{run}"

    def _signal(self, run: str, name: str, *args: str) -> None:
        async def send() -> None:
            if self._activities.owned(run) is None:
                return  # it is over
            handle = (await self._served()).get_workflow_handle(self._id(run))
            try:
                await handle.signal(name, *args)
            except RPCError as e:
                if e.status is RPCStatusCode.NOT_FOUND:
                    raise ServerAway(f"the workflow of {run} is not there yet") from e
                raise

        self._kept(self._patiently(send))

    def _kept(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(sending)
        self._signals.add(task)
        task.add_done_callback(self._signals.discard)
