"""`alma doctor`: what is not as it should be, and the exact next step. Looks at everything, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from controller.journal.chain import ChainReport
from controller.operations.access import Actor
from controller.operations.context import Context
from controller.operations.rights import require_right
from controller.plan.codec import to_json
from controller.plan.resource import Part, Seen, Snapshot
from controller.runtime.records import RepositoryRecord, RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from engines.engine import Ask, Engine, EngineError

Json = Any
_NAMED = 5  # objects of one kind that are named


class State(StrEnum):
    OK = "ok"
    LOOK = "look"  # a person should know; nothing is broken
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    what: str
    state: State
    detail: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class DoctorDesk:
    """The journal, the scopes and the live marks of one install, held against each other."""

    about: Context
    install: str
    engines: Mapping[str, Engine]
    offered: frozenset[str] = frozenset()  # of them, those looked at only where a scope has objects

    async def examine(self, actor: Actor) -> Json:
        """`{"format": "alma.doctor/v1", "checks": […]}`. Needs the role operate on every repository."""
        scopes = await self.about.records.all(ScopeRecord)
        for repository in sorted({s.repository for s in scopes} | {""}):
            require_right(actor, self.about.rules(repository), "doctor")
        runs = {r.run: r for r in await self.about.records.all(RunRecord)}
        checks = [*journal_checks(await self.about.records.journal.verify())]
        checks += [c for r in await self.about.records.all(RepositoryRecord) for c in _repository_checks(r)]
        checks += [c for s in scopes for c in scope_checks(s, runs)]
        held = {t for s in scopes for t in s.targets}
        for target in self.engines:
            if target in held or target not in self.offered:
                checks += await self._target_checks(target, self.engines[target], scopes)
        return {"format": "alma.doctor/v1", "checks": [to_json(c) for c in checks]}

    async def verify(self, actor: Actor) -> Json:
        """The journal alone: `{"format": "alma.journal/v1", …}`."""
        require_right(actor, self.about.rules(""), "journal verify")
        return report_json(await self.about.records.journal.verify())

    async def _target_checks(self, target: str, engine: Engine, scopes: tuple[ScopeRecord, ...]) -> list[Check]:
        what = f"target {target}"
        try:
            info = await engine.about()
            snapshot = await engine.observe(Ask(self.install, frozenset(s.scope for s in scopes), everything=True))
        except EngineError as e:
            return [
                Check(what, State.BAD, f"cannot be read: {e}", f"mend the connection to {target}; it is tried again")
            ]
        checks = [Check(what, State.BAD, f"lacks a right: {right}") for right in info.missing]
        checks += [Check(what, State.BAD, f"{g.kind} could not be read in full: {g.reason}") for g in snapshot.gaps]
        checks += mark_checks(target, self.install, snapshot, scopes)
        return checks or [Check(what, State.OK, info.version)]


def report_json(report: ChainReport) -> Json:
    """`alma.journal/v1`."""
    return {
        "format": "alma.journal/v1",
        "intact": report.intact,
        "records": report.records,
        "documents": report.documents,
        "head": report.head_seq,
        "hash": report.head_hash,
        "damages": [{"record": d.seq, "what": d.what} for d in report.damages],
    }


def journal_checks(report: ChainReport) -> Iterator[Check]:
    """One line when it is intact, else one per damaged place."""
    if report.intact:
        yield Check("journal", State.OK, f"{report.records:,} records and {report.documents:,} documents are intact")
    for damage in report.damages:
        yield Check("journal", State.BAD, str(damage), "stop the controller and restore the database from a backup")


def _repository_checks(record: RepositoryRecord) -> Iterator[Check]:
    if record.problem:
        yield Check(f"repository {record.repository}", State.BAD, record.problem, "push what mends it")
    else:
        yield Check(f"repository {record.repository}", State.OK, f"at {(record.head or 'no commit')[:10]}")


def scope_checks(scope: ScopeRecord, runs: Mapping[str, RunRecord]) -> list[Check]:
    """What holds a scope back, each with its next step."""
    what = f"scope {scope.scope}"
    found = [*_run_checks(what, scope, runs)]
    if scope.quarantine:
        step = f"push other content, merge the revert, or: alma retry {scope.scope}"
        found.append(Check(what, State.LOOK, f"{len(scope.quarantine)} contents are in quarantine", step))
    if scope.pause:
        until = f" until {scope.pause.until}" if scope.pause.until else ""
        told = f"paused{until} by {scope.pause.by}: {scope.pause.reason}"
        found.append(Check(what, State.LOOK, told, f"alma resume {scope.scope}"))
    if scope.pin:
        told = f"pinned to {scope.pin.revision[:10]} by {scope.pin.by}: {scope.pin.reason}"
        found.append(Check(what, State.LOOK, told, f"push other content, or: alma resume {scope.scope}"))
    if scope.contested:
        told = "contested: someone keeps undoing what is healed"
        found.append(Check(what, State.BAD, told, f"find who, then: alma reconcile {scope.scope}"))
    if scope.rewritten:
        found.append(Check(what, State.BAD, scope.rewritten, f"look at the branch, then: alma reconcile {scope.scope}"))
    if scope.orphaned:
        told = "in no alma.yaml any more; nothing was deleted"
        found.append(Check(what, State.LOOK, told, f"alma destroy --scope {scope.scope}, or name it again"))
    return found or [Check(what, State.OK, f"{scope.sync}, {scope.health}")]


def _run_checks(what: str, scope: ScopeRecord, runs: Mapping[str, RunRecord]) -> Iterator[Check]:
    if scope.parked:
        run = runs.get(scope.parked)
        step = run.next_step if run else f"alma unlock {scope.parked}"
        yield Check(
            what, State.BAD, f"parked by run {scope.parked}: {run.reason if run else 'its record is gone'}", step
        )
    if scope.run:
        word = runs[scope.run].word if scope.run in runs else RunWord.RUNNING
        yield Check(what, State.LOOK, f"run {scope.run} is {word}", f"alma logs {scope.run}")
    waiting = runs.get(scope.waiting) if scope.waiting else None
    if waiting:
        yield Check(what, State.LOOK, f"run {waiting.run} waits: {waiting.reason}", waiting.next_step)


def mark_checks(target: str, install: str, snapshot: Snapshot, scopes: tuple[ScopeRecord, ...]) -> Iterator[Check]:
    """Marks on live objects against what the journal knows."""
    known = {s.scope: s for s in scopes}
    ours = [s for s in snapshot.objects if s.mark and s.mark.install == install]
    what = f"target {target}"
    lost = [s for s in ours if s.mark and s.mark.scope not in known]
    for name in sorted({s.mark.scope for s in lost if s.mark}):
        of_it = [s for s in lost if s.mark and s.mark.scope == name]
        step = f"name scope {name} in alma.yaml again, then: alma reconcile {name}"
        yield Check(what, State.LOOK, f"scope {name}, which the journal does not know, owns {_named(of_it)}", step)
    parts = [s for s in ours if s.part is not Part.CURRENT and s.mark and s.mark.scope in known]
    left = [s for s in parts if s.mark and not known[s.mark.scope].run]
    for name in sorted({s.mark.scope for s in left if s.mark}):
        of_it = [s for s in left if s.mark and s.mark.scope == name]
        yield Check(what, State.LOOK, f"a run of scope {name} left {_named(of_it)}", f"alma reconcile {name}")
    for name, scope in sorted(known.items()):
        gone = sorted(set(_verified_on(scope, target, snapshot)) - {s.mark.resource for s in ours if s.mark})
        if gone and not scope.run and not scope.orphaned:
            told = f"verified of scope {name} and not here: {', '.join(gone[:_NAMED])}"
            yield Check(what, State.LOOK, told, f"alma reconcile {name}")


def _verified_on(scope: ScopeRecord, target: str, snapshot: Snapshot) -> Iterator[str]:
    """Resources with outputs at the last verified look, where the scope has this one target and it was read whole."""
    if scope.targets == (target,) and not snapshot.gaps:
        yield from scope.outputs


def _named(objects: list[Seen]) -> str:
    names = [str(o.key) for o in sorted(objects, key=lambda o: o.key)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
