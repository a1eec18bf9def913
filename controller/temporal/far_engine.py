"""The engine of a target that only the worker of its site reaches: readings are asked there, and nothing is ever sent
from here. The kinds are those of the plug-in, which plans without any connection.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import ClassVar, NoReturn, Self

from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from controller.blueprint.entry import Probe
from controller.errors import InvalidInput
from controller.plan.health import Health
from controller.plan.resource import Desired, Kind, ObjectKey, Part, Snapshot
from controller.plan.step import Effect, Fence, OpId, Prior, Receipt, Sealed, Step
from controller.seal import Key, SealBroken
from controller.settings import TemporalSettings
from controller.temporal.connection import ServerAway, connected, site_queue
from controller.temporal.site_call import ANSWER_S, NOT_UNDERSTOOD, OTHER_KEY, SiteCall
from controller.temporal.site_words import (
    About,
    Asked,
    Observe,
    Preview,
    Question,
    Sweep,
    effects_heard,
    info_heard,
    question_said,
    snapshot_heard,
)
from engines.engine import Ask, Binding, Found, Hint, Refused, Seal, TargetInfo, Transient, Values

_TAKEN_S = 10.0  # a worker that lives takes a question sooner
_SILENT_S = 90.0  # a poll lasts a minute


class Sites:
    """The workers of all sites of an install, behind one connection."""

    def __init__(self, where: TemporalSettings, install: str, key: Key) -> None:
        self._where, self._install, self._key = where, install, key
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    def engine(self, target: str, engine: str, site: str) -> FarEngine:
        return FarEngine(self, target, engine, site)

    async def ask(self, target: str, engine: str, site: str, question: Question) -> bytes:
        """The answer of a worker of `site`. Raises Transient saying who does not answer, and Refused for a worker that
        cannot understand."""
        asked = Asked(self._install, target, engine, version("alma-controller"), question)
        try:
            return await self._asked(site, question_said(asked))
        except ServerAway as e:
            raise Transient(f"Temporal at {self._where.address} does not answer ({str(e)[:200]})") from e
        except RPCError as e:
            raise Transient(f"Temporal at {self._where.address}: {e.message[:200]}") from e

    async def _asked(self, site: str, said: bytes) -> bytes:
        client, queue = await self._connected(), site_queue(self._where, self._install, site)
        polled = await _last_polled(client, queue)
        if polled is None or (datetime.now(UTC) - polled).total_seconds() > _SILENT_S:
            raise Transient(_away(site, polled))
        name = f"{queue}/{secrets.token_hex(8)}"
        handle = await client.start_workflow(
            SiteCall.run,
            self._key.seal(name, said).blob,
            id=name,
            task_queue=queue,
            execution_timeout=timedelta(seconds=2 * ANSWER_S),
        )
        try:
            answer = await _result(handle)
        except _NotTaken:
            raise Transient(_away(site, await _last_polled(client, queue))) from None
        except WorkflowFailureError as e:
            raise _told(site, e) from e
        return self._opened(site, f"{name}/answer", answer)

    def _opened(self, site: str, name: str, answer: str) -> bytes:
        """Nobody without the key can have made it, and it is the answer to this question and no other."""
        try:
            return self._key.sealer(name).open(Sealed(answer))
        except SealBroken as e:
            raise Transient(f"the answer of the worker of site {site} cannot be read: {e}") from e

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None:
                self._client = await connected(self._where)
        return self._client


class FarEngine:
    """One target beside a worker; fulfils `engines.engine.Engine`."""

    kinds: ClassVar[Mapping[str, Kind]] = {}
    schemes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, sites: Sites, target: str, engine: str, site: str) -> None:
        self._sites, self._target, self._engine, self._site = sites, target, engine, site

    @classmethod
    def open(cls, binding: Binding) -> Self:
        """It is made by `Sites.engine`: what a binding holds stays with the worker. Raises InvalidInput."""
        raise InvalidInput(f"targets.{binding.target} is reached by a worker only")

    async def close(self) -> None:
        """The connection is that of all sites and ends with the process."""

    async def about(self) -> TargetInfo:
        return info_heard(await self._ask(About()))

    async def observe(self, ask: Ask) -> Snapshot:
        return snapshot_heard(await self._ask(Observe(ask)))

    async def preview(self, wanted: Sequence[Desired], seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        return effects_heard(await self._ask(Preview(tuple(wanted), seen, scope)))

    async def sweep(self, seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        if all(one.part is Part.CURRENT for one in seen.objects):
            return ()  # no run left anything
        return effects_heard(await self._ask(Sweep(seen, scope)))

    async def prior(self, step: Step, seal: Seal) -> Prior:
        self._not_here()

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        self._not_here()

    async def poll(self, receipt: Receipt) -> Receipt:
        self._not_here()

    async def find(self, op: OpId, step: Step) -> Found:
        self._not_here()

    def inverse(self, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        self._not_here()

    async def check(self, key: ObjectKey, probe: Probe) -> Health:
        self._not_here()

    async def hints(self) -> AsyncIterator[Hint]:
        """None: timers look."""
        none: tuple[Hint, ...] = ()
        for hint in none:
            yield hint

    async def _ask(self, question: Question) -> bytes:
        return await self._sites.ask(self._target, self._engine, self._site, question)

    def _not_here(self) -> NoReturn:
        """What a run meets that began while the target was reached from here: it is undone or parked."""
        raise Refused(f"target {self._target} is reached by the worker of site {self._site} only")


class _NotTaken(Exception):
    """No worker has looked at the question."""


async def _result(handle: WorkflowHandle[SiteCall, str]) -> str:
    result = asyncio.ensure_future(handle.result())
    try:
        done, _ = await asyncio.wait({result}, timeout=_TAKEN_S)
        if not done and (await handle.describe()).history_length <= 2:  # started, and offered to whoever polls
            await handle.terminate("no worker took it")
            raise _NotTaken
        return await result
    finally:
        result.cancel()


async def _last_polled(client: Client, queue: str) -> datetime | None:
    told = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=1,  # type: ignore[arg-type]  # of workflows; the generated type is an int to Python
        )
    )
    return max((p.last_access_time.ToDatetime(UTC) for p in told.pollers), default=None)


def _away(site: str, polled: datetime | None) -> str:
    since = f"has answered since {polled:%H:%M:%S} UTC" if polled else "polls its queue"
    return f"no worker of site {site} {since}; is `alma worker {site}` running there?"


def _told(site: str, error: WorkflowFailureError) -> Transient | Refused:
    cause: BaseException | None = error.cause
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    if isinstance(cause, ApplicationError) and cause.type in (OTHER_KEY, NOT_UNDERSTOOD):
        return Refused(f"the worker of site {site} cannot be asked: {cause.message}")
    if isinstance(cause, ApplicationError):
        return Transient(f"the worker of site {site} failed in an unknown way ({cause.type}); its log says more")
    return Transient(f"the worker of site {site} was lost while it answered")
