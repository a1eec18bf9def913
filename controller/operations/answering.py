"""Commands in comments → operations, with the author's role looked up at the forge right now (I3, I6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from controller.errors import AlmaError, InvalidInput
from controller.forges.forge import Account, Comment, Forge, ForgeError, PullRequest, PullState, Standing
from controller.operations import runs, scopes
from controller.operations.access import Actor, Role, RoleRules, require
from controller.operations.asking import AskDesk
from controller.operations.audit import Asked, audited
from controller.operations.comment_reads import ReadDesk, scopes_of, stored_review
from controller.operations.context import Context
from controller.operations.manner import in_manner
from controller.operations.proposals import ProposalDesk
from controller.operations.rights import BEYOND_LIMITS, RIGHTS, require_right
from controller.operations.rollback import RollbackDesk
from controller.review.command_answer import VerbKind, done_answer, refused_answer, unknown_answer
from controller.review.inert import prose
from controller.runtime.command import VERBS, Command, parse_command
from controller.runtime.records import Breaker, IprRecord, RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.telemetry import Metrics

T = TypeVar("T")
# Verb of a comment → the right it needs; those that only read need the role of a reader.
OF_COMMENT = {
    word: r.verb
    for r in RIGHTS.values()
    if r.acts and r.verb != BEYOND_LIMITS
    for word in r.comment.split(", ")
    if word
}


def role_for(verb: str) -> Role:
    """What the author of a comment needs for its verb."""
    return RIGHTS[OF_COMMENT[verb]].role if verb in OF_COMMENT else Role.READ


@dataclass(frozen=True, slots=True)
class CommentDesk:
    """Answers the comments of one repository's pull requests."""

    about: Context
    rollbacks: RollbackDesk
    forge: Forge
    rules: RoleRules
    actor_of: Callable[[Account, Standing], Actor]  # a comment's author, with their rights of this moment
    reads: ReadDesk
    proposals: ProposalDesk
    asking: AskDesk
    metrics: Metrics

    async def answer(self, record: IprRecord, pull: PullRequest, comment: Comment, marker: str) -> str:
        """The answer's body, beginning with `marker`; a refusal is an answer too. Raises ForgeError only."""
        command = parse_command(comment.body)
        assert command is not None, "the caller found a command"
        if command.verb not in VERBS:
            self.metrics.count("alma_commands", "other", "unknown")
            return unknown_answer(command.verb, list(VERBS.values()), marker)
        if command.wrong:
            self.metrics.count("alma_commands", command.verb, "refused")
            return refused_answer(command.verb, comment.author.login, command.wrong, marker)
        verb = VERBS[command.verb]
        actor = self.actor_of(comment.author, await self.forge.standing(comment.author))
        try:
            meant, said = await self._meant(command, record, pull, comment, actor)
            body = await self._audited(
                meant, record, actor, lambda: self._carried_out(meant, record, pull, actor, marker)
            )
            body = await in_manner(body.removeprefix(marker).strip(), meant, record, self.reads)
        except AlmaError as e:
            if isinstance(e, ForgeError):
                raise
            self.metrics.count("alma_commands", verb.name, "refused")
            reason = f"{e} ({e.hint})" if e.hint else str(e)
            return refused_answer(command.verb, comment.author.login, reason, marker)
        self.metrics.count("alma_commands", verb.name, "answered")
        return "\n\n".join(filter(None, (marker, prose(said), body))) + "\n"

    async def _meant(
        self, command: Command, record: IprRecord, pull: PullRequest, comment: Comment, actor: Actor
    ) -> tuple[Command, str]:
        """The command itself; for `ask` the one its words are taken for, and what is said of that."""
        if command.verb != "ask":
            return command, ""
        found = await self._audited(command, record, actor, lambda: self.asking.taken(command, record, pull, comment))
        return replace(command, verb=found.verb, args=found.args, text=""), found.said

    async def _audited(self, command: Command, record: IprRecord, actor: Actor, work: Callable[[], Awaitable[T]]) -> T:
        """`work`, if the actor may; noted in the audit log (I46)."""
        verb = VERBS[command.verb]
        door = f"comment {record.repository}#{record.number}"
        about = {"scope": " ".join(command.scopes), "of": " ".join(command.args)}
        asked = Asked(actor, verb.name, door, record.repository, {k: v[:100] for k, v in about.items() if v})

        async def carry_out() -> T:
            require(actor, self.rules, role_for(verb.name), verb.name)
            return await work()

        return await audited(self.about.records.journal, asked, verb.kind is not VerbKind.READ, carry_out)

    async def _carried_out(
        self, command: Command, record: IprRecord, pull: PullRequest, actor: Actor, marker: str
    ) -> str:
        match VERBS[command.verb].kind:
            case VerbKind.READ:
                return await self.reads.answer(command, record, pull, marker)
            case VerbKind.BRANCH:
                return await self.proposals.propose(command, record, pull, actor, marker)
            case VerbKind.ACT:
                return done_answer(command.verb, await self._act(command, record, pull, actor), marker)

    # --- act ---

    async def _act(self, command: Command, record: IprRecord, pull: PullRequest, actor: Actor) -> str:
        match command.verb:
            case "confirm":
                return await self._confirm(command, record, pull, actor)
            case "break-glass":
                return await self._break_glass(command, record, actor)
            case "deploy":
                names = [s.scope for s in await self._named(command, record)]
                for name in names:
                    await scopes.reconcile(self.about, actor, name)
                return f"Looking at {_listed(names)} now."
            case "pause":
                return await self._each(command, record, actor, "pause")
            case "resume":
                return await self._each(command, record, actor, "resume")
            case "retry":
                return await self._retry(command, record, actor)
            case "rollback":
                return await self._rollback(command, record, actor)
            case "cancel":
                run = await self._run(command, record)
                await runs.cancel(self.about, actor, run.run)
                return f"Run {run.run} is cancelled."
            case "unlock":
                run = await self._run(command, record)
                scope = await runs.unlock(self.about, actor, run.run)
                return f"Scope {scope.scope} goes on; what failed stays in quarantine."
        raise InvalidInput(f"{command.verb} is not carried out from comments")

    async def _confirm(self, command: Command, record: IprRecord, pull: PullRequest, actor: Actor) -> str:
        """Before the merge: exactly what the comment lists (I17). After it, or where one is named: the run that
        waits."""
        if pull.state is not PullState.OPEN or await self._names_a_waiting_run(command, record):
            run = await self._run(command, record)
            await runs.confirm(self.about, actor, run.run)
            return f"Run {run.run} goes on with exactly the changes it listed."
        if pull.head_sha != record.head_sha:
            raise InvalidInput("the branch has moved since the comment was written", hint="look at the new plan first")
        digests = {r.digest for r in record.reviewed}
        if command.args and not any(d.startswith(command.args[0]) for d in digests):
            raise InvalidInput(f"no plan here has the digest {command.args[0]}")
        review = await stored_review(self.about, record)
        if any(s.waits for s in review.scopes) if review else False:
            require_right(actor, self.rules, BEYOND_LIMITS)
        listed = tuple(x for r in record.reviewed for x in r.listed)
        await self.about.records.save("ipr.confirmed", replace(record, confirmed=listed, confirmed_by=actor.id))
        return f"Once merged, exactly the {len(listed)} listed changes run, as long as head and plan stay as they are."

    async def _break_glass(self, command: Command, record: IprRecord, actor: Actor) -> str:
        run = await self._run(command, record)

        async def as_now(earlier: Breaker) -> Actor:
            account = Account(earlier.by if self.forge.kind == "local" else earlier.by.partition(":")[2], earlier.name)
            return self.actor_of(account, await self.forge.standing(account))

        after = await runs.break_glass(self.about, actor, run.run, command.reason, as_now)
        if len(after.breakers) < 2:
            ends = f"{self.about.glass_s / 60:g} minutes"
            return f"A second admin lets run {run.run} go: /alma break-glass {run.run} --reason …, within {ends}."
        return f"The glass is broken: run {run.run} goes on with exactly the changes it listed."

    async def _each(self, command: Command, record: IprRecord, actor: Actor, verb: str) -> str:
        names = [s.scope for s in await self._named(command, record)]
        for name in names:
            if verb == "pause":
                await scopes.pause(self.about, actor, name, command.reason, command.until or None)
            else:
                await scopes.resume(self.about, actor, name)
        return f"{'Paused' if verb == 'pause' else 'Resumed'}: {_listed(names)}."

    async def _retry(self, command: Command, record: IprRecord, actor: Actor) -> str:
        if command.args:
            names = [await self._of_this_repository(name, record) for name in command.args]
        else:
            names = [s.scope for s in await self._named(command, record)]
        for name in names:
            await runs.retry(self.about, actor, name)
        return f"Trying again: {_listed(names)}."

    async def _of_this_repository(self, name: str, record: IprRecord) -> str:
        """A scope, or the scope of a run; the author's rights hold for this repository only."""
        scope = await self.about.records.get(ScopeRecord, name)
        if scope is None:
            return (await self._run(Command("retry", (name,)), record)).scope
        if scope.repository != record.repository:
            raise InvalidInput(f"no run {name} here")
        return name

    async def _rollback(self, command: Command, record: IprRecord, actor: Actor) -> str:
        told = []
        for scope in await self._named(command, record):
            revision = command.args[0] if command.args else None
            after = await self.rollbacks.rollback(actor, scope.scope, revision, command.reason)
            assert after.pin is not None, "rollback pins"
            told.append(f"{scope.scope} to {after.pin.revision[:12]}")
        return f"Rolling back {_listed(told)}; pinned until its content on the branch changes, or /alma resume."

    async def _named(self, command: Command, record: IprRecord) -> list[ScopeRecord]:
        """Scopes named with -s, else all that the pull request touches; only of this repository."""
        found = await scopes_of(self.about, command, record)
        if not found:
            raise InvalidInput("this pull request touches no scope that was deployed here", hint="name one with -s")
        return found

    async def _names_a_waiting_run(self, command: Command, record: IprRecord) -> bool:
        found = await self.about.records.all(RunRecord, command.args[0]) if command.args else ()
        return any(r.repository == record.repository and r.word is RunWord.WAITING for r in found)

    async def _run(self, command: Command, record: IprRecord) -> RunRecord:
        """The run named, else the newest unfinished or parked one of this pull request's scopes."""
        if command.args:
            fitting = await self.about.records.all(RunRecord, command.args[0])
            fitting = tuple(r for r in fitting if r.repository == record.repository)
            if len(fitting) != 1:
                raise InvalidInput(f"no run {command.args[0]} here")
            return fitting[0]
        names = {s.scope for s in await scopes_of(self.about, command, record)}
        open_runs = [
            r
            for r in await self.about.records.all(RunRecord)
            if r.scope in names and record.number in r.pulls and (not r.word.ended or r.word is RunWord.PARKED)
        ]
        if not open_runs:
            raise InvalidInput("no run of this pull request waits or runs", hint="/alma status, then name the run")
        return max(open_runs, key=lambda r: r.created)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"{n}" for n in names)
