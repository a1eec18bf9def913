"""One deploy or destroy by hand: every scope is planned, shown and asked for before anything runs, then each is carried
out in the order of `depends_on`; a failed one stops those that depend on it."""

from __future__ import annotations

import asyncio
import getpass
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from controller.blueprint.repository import ScopeConfig
from controller.cli.consent import Consent
from controller.cli.live import Watch, print_result
from controller.cli.scopes import coming_before, ordered, wanted_by_hand
from controller.cli.show import print_plans
from controller.errors import AlmaError, RefusedByPolicy, Unreachable
from controller.install import Install
from controller.operations.access import os_actor
from controller.operations.audit import Asked, audited
from controller.operations.deploy import LOCAL, Standalone
from controller.plan.change import Plan
from controller.plan.limits import PruneLimits
from controller.runtime.folder import Folder
from controller.runtime.planning import Planned, Wanted
from controller.runtime.records import RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.runtime.scope_policy import policy_of

_BY = "the person at the terminal"
T = TypeVar("T")


@dataclass(slots=True)
class Hand:
    """One call: the scopes of a folder, one after the other."""

    install: Install
    desk: Standalone
    watch: Watch
    folder: Folder
    consent: Consent
    taking_away: bool = False
    failed: set[str] = field(default_factory=set)
    agreed: set[str] = field(default_factory=set)  # digests
    planned: dict[str, Planned] = field(default_factory=dict)  # by scope, until something moves

    async def work(self) -> int:
        """0 when every scope is as it should be, 1 when one failed or the person said no."""
        before = coming_before(self.folder, taking_away=self.taking_away)
        order = ordered(self.folder, before)
        if not await self._sweep(order):
            click.echo("Nothing was changed.")
            return 1
        planned = [self.planned.get(s.name) or await self._plan(s) for s in order]
        print_plans([p.plan for p in planned], "text")
        due = [(s, p) for s, p in zip(order, planned, strict=True) if p.plan.changes]
        if not due:
            click.echo("Nothing to do.")
            return 0
        await self._refuse_parked([s for s, _ in due])
        if not await self._agree(due):
            click.echo("Nothing was changed.")
            return 1
        for scope in order:
            await self._carry(scope, sorted(before[scope.name] & self.failed))
        return 1 if self.failed else 0

    async def _sweep(self, order: Sequence[ScopeConfig]) -> bool:
        """End what runs that no journal knows left behind, before anything is planned beside it. False where the
        person said no, or a sweep failed."""
        left = [plan for scope in order if (plan := await self._left(scope))]
        if not left:
            return True
        click.echo("An earlier run was cut off and left parts behind. Before anything else:")
        print_plans(left, "text")
        if not await self.consent.plain(f"Do this in {', '.join(plan.scope for plan in left)}?"):
            return False
        self.planned.clear()
        runs = [await stoppable(self.install, self.watch, self.desk.sweep(plan)) for plan in left]
        for run in runs:
            print_result(run)
        return all(run.word is RunWord.DONE for run in runs)

    async def _left(self, scope: ScopeConfig) -> Plan | None:
        """What is left of the scope's earlier runs; its plan is kept, for it stands where nothing is."""
        planned: Planned | AlmaError
        try:
            planned = self.planned[scope.name] = await self._plan(scope)
        except Unreachable:
            raise
        except AlmaError as e:
            planned = e
        left = await self.desk.left(await self._wanted(scope), planned)
        if left is None and isinstance(planned, AlmaError):
            raise planned
        return left

    async def _plan(self, scope: ScopeConfig) -> Planned:
        return await self.desk.plan(await self._wanted(scope))

    async def _wanted(self, scope: ScopeConfig) -> Wanted:
        wanted = await wanted_by_hand(self.install, self.folder, scope)
        if self.taking_away:
            return Wanted(wanted.scope, "destroy", (), wanted.targets, wanted.allow)
        return wanted

    async def _refuse_parked(self, scopes: Sequence[ScopeConfig]) -> None:
        for scope in scopes:
            record = await self.install.records.get(ScopeRecord, scope.name)
            if record and record.parked:
                text = f"scope {scope.name} is parked: run {record.parked} could not be undone"
                raise RefusedByPolicy(text, hint=f"alma logs {record.parked}, then: alma unlock {record.parked}")

    def _limits(self, scope: ScopeConfig) -> PruneLimits:
        return policy_of(self.folder.repository, scope).prune

    async def _agree(self, due: Sequence[tuple[ScopeConfig, Planned]]) -> bool:
        plain = []
        for scope, planned in due:
            why = self.desk.needs_digest(planned, self._limits(scope), taking_away=self.taking_away)
            if why and not await self.consent.typed(why, planned.plan.digest):
                return False
            if not why and not self.consent.names(planned.plan.digest):
                plain.append(scope.name)
        verb = "Take all of this away from" if self.taking_away else "Do this in"
        if plain and not await self.consent.plain(f"{verb} {', '.join(plain)}?"):
            return False
        self.agreed |= {p.plan.digest for _, p in due}
        return True

    async def _carry(self, scope: ScopeConfig, stopped_by: Sequence[str]) -> None:
        if stopped_by:
            self.failed.add(scope.name)
            click.secho(f"scope {scope.name}: not started, because {', '.join(stopped_by)} failed", fg="red")
            return
        planned = await self._plan(scope)  # again: while others ran, or were asked for, it may have moved
        if not planned.plan.changes:
            return
        if planned.plan.digest not in self.agreed:
            click.secho(f"scope {scope.name}: what would change is no longer what was shown", fg="yellow")
            print_plans([planned.plan], "text")
            if not await self._agree([(scope, planned)]):
                self.failed.add(scope.name)
                return
        await self._run(scope, planned)

    async def _run(self, scope: ScopeConfig, planned: Planned) -> None:
        digest = planned.plan.digest
        verb = "destroy" if self.taking_away else "deploy"
        about = {"scope": scope.name, "digest": digest}
        asked = Asked(os_actor(getpass.getuser(), ()), verb, "command line", LOCAL, about)

        async def going() -> RunRecord:
            return await self.desk.deploy(planned, self._limits(scope), digest, taking_away=self.taking_away)

        run = await stoppable(self.install, self.watch, audited(self.install.journal, asked, True, going))
        print_result(run)
        if run.word is not RunWord.DONE:
            self.failed.add(scope.name)
            _why(run, f"alma {verb} {self.folder.root}")


async def finish_unfinished(install: Install, desk: Standalone, watch: Watch) -> None:
    """Runs that an earlier process left behind come to one of their ends before anything new begins (I11)."""
    for record in await install.records.all(ScopeRecord):
        if record.run:
            click.echo(f"scope {record.scope}: run {record.run} was left unfinished; it is finished first")
            run = await stoppable(install, watch, desk.finish(record))
            if run is not None:
                print_result(run)


def _why(run: RunRecord, again: str) -> None:
    if run.reason.startswith("cancelled by"):
        raise click.exceptions.Exit(130)
    click.secho(f"  reason: {run.reason or run.word}", fg="red", err=True)
    click.echo(f"  next: {run.next_step if run.word is RunWord.PARKED else f'mend it, then: {again}'}", err=True)


async def stoppable(install: Install, watch: Watch, going: Coroutine[Any, Any, T]) -> T:
    """Carry a run to its end. The first SIGINT or SIGTERM turns it round, and what it changed is taken back; the
    second leaves at once, and the next deploy finishes the run."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(going)

    def stop() -> None:
        run = watch.run
        if run is not None and run.word is not RunWord.UNDOING and install.executor.cancel(run.run, _BY):
            click.echo("stopping: what this run changed is taken back; once more leaves at once", err=True)
            loop.add_signal_handler(signal.SIGINT, task.cancel)
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        watch.rest()
        click.echo("interrupted; the run is left unfinished, the next alma deploy finishes it", err=True)
        raise click.exceptions.Exit(130) from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
