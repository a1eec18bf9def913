"""The verbs of a comment that only read: one table, verb → answer. Targets are asked for nothing by them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from controller.blueprint.entry import Entry
from controller.errors import AlmaError, InvalidInput
from controller.forges.forge import PullRequest
from controller.operations.contents import Content, Contents
from controller.operations.context import Context
from controller.plan.codec import from_json
from controller.review import command_answer as answer
from controller.review.command_answer import ScopeStatus
from controller.review.compliance import compliance
from controller.review.narrative import told_by_rules
from controller.review.price_book import default_book
from controller.review.report import Review
from controller.review.rules.controls import FRAMEWORKS
from controller.runtime.command import VERBS, Command
from controller.runtime.records import IprRecord, RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Priority
from controller.tools import telling
from controller.tools.authoring import lacking, matching
from controller.tools.comparing import compared
from controller.tools.council import Speaker, convene, council_told
from controller.tools.forecasting import FORECAST_METRICS, ForecastGives
from controller.tools.persona import persona_of, personas
from controller.tools.queueing import CALCULATE_CAPACITY, CapacityGives
from controller.tools.tool import Ground
from controller.tools.troubles import examined


@dataclass(frozen=True, slots=True)
class Asked:
    """One question on one pull request. `review` holds only the scopes that are meant."""

    command: Command
    record: IprRecord
    pull: PullRequest
    review: Review
    marker: str


@dataclass(frozen=True, slots=True)
class ReadDesk:
    """Answers on one repository's pull requests."""

    about: Context
    contents: Contents
    speaker: Speaker

    async def answer(self, command: Command, record: IprRecord, pull: PullRequest, marker: str) -> str:
        """The answer's body. Raises AlmaError for what cannot be answered."""
        if command.verb == "help":
            return answer.help_answer(list(VERBS.values()), marker)
        if command.verb == "as":
            return answer.told_answer(telling.personas_told(personas().values()), marker)
        if command.verb == "status":
            return answer.status_answer([_status(s) for s in await scopes_of(self.about, command, record)], marker)
        if command.verb == "plan":
            self.about.queue.add(f"ipr:{record.key}", Priority.PERSON)
        review = await stored_review(self.about, record)
        if review is None:
            return answer.done_answer(command.verb, "the review is on its way", marker)
        return await _ANSWERS[command.verb](self, Asked(command, record, pull, _meant(review, command), marker))

    async def plan(self, asked: Asked) -> str:
        return answer.plan_answer(asked.review, asked.marker)

    async def audit(self, asked: Asked) -> str:
        return answer.audit_answer(asked.review, asked.marker)

    async def cost(self, asked: Asked) -> str:
        return answer.cost_answer(asked.review, asked.marker)

    async def explain(self, asked: Asked) -> str:
        """One resource step by step; without a name, the whole in sentences."""
        if not asked.command.args:
            return answer.done_answer("explain", told_by_rules(asked.review).text, asked.marker)
        return answer.explain_answer(asked.review, asked.command.args[0], asked.marker)

    async def compliance(self, asked: Asked) -> str:
        """Of the frameworks named, else of those that policy names, else of all."""
        named = [w for a in asked.command.args for w in a.split(",") if w]
        policy = dict.fromkeys(c.framework for s in asked.review.scopes for c in s.compliance)
        wanted = named or list(policy) or list(FRAMEWORKS)
        try:
            found = [replace(s, compliance=compliance(s.audit, wanted)) if s.audit else s for s in asked.review.scopes]
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        return answer.compliance_answer(replace(asked.review, scopes=tuple(found)), asked.marker)

    async def capacity(self, asked: Asked) -> str:
        if not asked.command.args:
            return answer.capacity_answer(asked.review, asked.marker)
        names = {"users": "users", "rps": "requests_per_second", "ms": "service_time_ms", "parallel": "parallel"}
        given = CALCULATE_CAPACITY.call(_options(asked.command, names), self._ground())
        return answer.told_answer(telling.capacity_told(CapacityGives.model_validate(given)), asked.marker)

    async def suggest(self, asked: Asked) -> str:
        found = matching(asked.command.text) if asked.command.text else None
        findings = [f for s in asked.review.scopes if s.audit for f in s.audit.findings]
        told = telling.suggest_told(found.name if found else "", found.use if found else "", lacking(findings))
        return answer.told_answer(told, asked.marker)

    async def compare(self, asked: Asked) -> str:
        content = await self.contents.of(asked.pull, [s.name for s in asked.review.scopes])
        before, after = (_by_id(content, side) for side in ("before", "after"))
        return answer.told_answer(telling.compare_told(compared(before, after, content.book)), asked.marker)

    async def forecast(self, asked: Asked) -> str:
        values = [a for a in asked.command.args if "=" not in a]
        if not values:
            raise InvalidInput("no measurements are kept here", hint="/alma forecast 61 64 66 71 limit=100")
        options = _options(asked.command, {"steps": "horizon", "limit": "limit"}, plain=len(values))
        given = FORECAST_METRICS.call({"metric": "given", "values": values, **options}, self._ground())
        return answer.told_answer(telling.forecast_told(ForecastGives.model_validate(given)), asked.marker)

    async def council(self, asked: Asked) -> str:
        minutes = convene(asked.review, asked.command.text)
        persona = persona_of("council", asked.command.persona)
        worded = await self.speaker.put(minutes, asked.review, persona.tone if persona else "")
        return answer.told_answer(council_told(worded), asked.marker)

    async def troubleshoot(self, asked: Asked) -> str:
        """What was said, else what the engine said as the newest run of this pull request failed."""
        about, message = "", asked.command.text
        if not message:
            run = await self.failure(asked.record)
            if run is None:
                raise InvalidInput("no run of this pull request failed", hint="write the message after the verb")
            about, message = f"Run {run.run} of {run.scope}: {run.reason.splitlines()[0][:300]}", run.reason
        told = telling.trouble_told(about, examined(message, await self._entries(asked)))
        return answer.told_answer(told, asked.marker)

    async def failure(self, record: IprRecord) -> RunRecord | None:
        """The newest run of this pull request that failed."""
        failed = [
            r
            for r in await self.about.records.all(RunRecord)
            if r.repository == record.repository
            and record.number in r.pulls
            and r.word in (RunWord.UNDONE, RunWord.PARKED, RunWord.UNDOING)
            and r.reason
        ]
        return max(failed, key=lambda r: r.created, default=None)

    async def _entries(self, asked: Asked) -> tuple[Entry, ...]:
        """As evidence where they can be had."""
        try:
            content = await self.contents.of(asked.pull, [s.name for s in asked.review.scopes])
        except AlmaError:
            return ()
        return tuple(e for s in content.scopes for e in s.after)

    def _ground(self) -> Ground:
        return Ground(default_book(), self.about.clock.wall().date())


_ANSWERS: Mapping[str, Callable[[ReadDesk, Asked], Awaitable[str]]] = {
    "plan": ReadDesk.plan,
    "audit": ReadDesk.audit,
    "cost": ReadDesk.cost,
    "explain": ReadDesk.explain,
    "compliance": ReadDesk.compliance,
    "capacity": ReadDesk.capacity,
    "suggest": ReadDesk.suggest,
    "compare": ReadDesk.compare,
    "forecast": ReadDesk.forecast,
    "council": ReadDesk.council,
    "troubleshoot": ReadDesk.troubleshoot,
}


async def scopes_of(about: Context, command: Command, record: IprRecord) -> list[ScopeRecord]:
    """Scopes named with -s, else all that the pull request touches; only of its repository."""
    names = command.scopes or tuple(r.scope for r in record.reviewed)
    found = [await about.records.get(ScopeRecord, n) for n in names]
    return [s for s in found if s is not None and s.repository == record.repository]


async def stored_review(about: Context, record: IprRecord) -> Review | None:
    """The newest review of a pull request."""
    stored = await about.records.journal.document("review", record.key)
    return from_json(Review, stored) if stored else None


def _meant(review: Review, command: Command) -> Review:
    """The scopes named with -s only. Raises InvalidInput for one that the pull request does not touch."""
    unknown = sorted(set(command.scopes) - {s.name for s in review.scopes})
    if unknown:
        raise InvalidInput(f"this pull request touches no scope {unknown[0]}")
    if not command.scopes:
        return review
    return replace(review, scopes=tuple(s for s in review.scopes if s.name in command.scopes))


def _by_id(content: Content, side: str) -> dict[str, Entry]:
    return {e.id: e for s in content.scopes for e in (s.before if side == "before" else s.after)}


def key_values(command: Command) -> dict[str, str]:
    """The arguments that are `key=value`."""
    pairs = (word.partition("=") for word in command.args)
    return {key: value for key, is_option, value in pairs if is_option}


def _options(command: Command, names: Mapping[str, str], plain: int = 0) -> dict[str, str]:
    """`key=value` arguments under the tool's own names. Raises InvalidInput for another key, or for a plain word
    where none is taken."""
    written = key_values(command)
    unknown = sorted(written.keys() - names.keys())
    if unknown:
        raise InvalidInput(f"{command.verb} takes no {unknown[0]}", hint=f"/alma {VERBS[command.verb].usage}")
    given = {names[key]: value for key, value in written.items()}
    if len(command.args) - plain > len(given):
        raise InvalidInput(f"{command.verb} takes key=value", hint=f"/alma {VERBS[command.verb].usage}")
    return given


def _status(record: ScopeRecord) -> ScopeStatus:
    return ScopeStatus(
        name=record.scope,
        sync=record.sync,
        health=record.health,
        revision=record.good_revision or "",
        drifted=len(record.drift),
        run=record.run or record.waiting or "",
        paused=record.pause.reason if record.pause else "",
    )
