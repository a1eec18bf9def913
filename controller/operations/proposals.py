"""The verbs of a comment that change its branch: a draft, judged as any commit is, then pushed to that branch (I30).

Only to a branch of this repository that is not the tracked one, only blueprints of its scopes, and only if the review
with the commit holds nothing new that policy fails on. What is pushed is reviewed like anyone's.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from controller.blueprint.loader import load_scope
from controller.blueprint.repository import Repository, ScopeConfig, blueprint_files
from controller.errors import InvalidInput, RefusedByPolicy, Unreachable
from controller.forges.forge import PullRequest, PullState
from controller.git.authoring import Author
from controller.journal.projections import Entry
from controller.operations.access import Actor
from controller.operations.comment_reads import key_values, stored_review
from controller.operations.context import Context
from controller.review.command_answer import told_answer
from controller.review.objections import objections
from controller.review.report import Review
from controller.runtime.command import Command
from controller.runtime.records import IprRecord, told
from controller.runtime.reviewing import Reviewing, book_of
from controller.runtime.source import TREE, RepositorySource
from controller.runtime.work_queue import Priority
from controller.tools.drafting import (
    Draft,
    Written,
    draft_create,
    draft_fix,
    draft_move,
    draft_optimize,
    draft_set,
    draft_template,
)
from controller.tools.tool import Ground

_SHARE = re.compile(r"([1-9][0-9]?)%?")
_ASKED_KEPT = 20
_TOLD_MAX = 5


@dataclass(frozen=True, slots=True)
class Wished:
    """One wish on one open pull request, with the review of exactly its head."""

    command: Command
    record: IprRecord
    pull: PullRequest
    review: Review
    config: Repository
    base: str


@dataclass(frozen=True, slots=True)
class ProposalDesk:
    """Commits to the branches of one repository's pull requests. `reviewing` must not ask a model: only rules judge."""

    about: Context
    source: RepositorySource
    reviewing: Reviewing
    branch: str  # the tracked one, which nothing is ever pushed to

    async def propose(self, command: Command, record: IprRecord, pull: PullRequest, actor: Actor, marker: str) -> str:
        """The answer's body, once the commit is pushed. Raises AlmaError where nothing was."""
        wished = await self._wished(command, record, pull)
        draft = await _DRAFTS[command.verb](self, wished)
        self._refuse_other_files(draft, wished)
        commit = await self._commit(draft, wished, actor)
        before = wished.review
        after = await self._judged(commit, wished)
        against = objections(before, after)
        if against:
            more = f" (and {len(against) - _TOLD_MAX} more)" if len(against) > _TOLD_MAX else ""
            raise RefusedByPolicy(f"the result would be worse: {'; '.join(against[:_TOLD_MAX])}{more}")
        await self._intend(record, actor, command.verb, commit)
        await self.source.mirror.push(commit, pull.head, pull.head_sha)
        await self._note(record, actor, command.verb, commit)
        self.about.queue.add(f"repo:{record.repository}", Priority.PERSON)
        self.about.queue.add(f"ipr:{record.key}", Priority.PERSON)
        pushed = f"Pushed to this branch as {commit[:12]}."
        return told_answer(replace(draft.told, sentences=(*draft.told.sentences, pushed)), marker)

    async def _wished(self, command: Command, record: IprRecord, pull: PullRequest) -> Wished:
        if pull.state is not PullState.OPEN:
            raise InvalidInput("the pull request is over", hint="open another one")
        if pull.fork:
            raise RefusedByPolicy("its branch is in a fork: only its owner writes there")
        if pull.head in (self.branch, pull.base):
            raise RefusedByPolicy(f"{pull.head} is the tracked branch")
        if self.source.signed_only:
            raise RefusedByPolicy(
                "only signed commits are deployed here, and ALMA signs none", hint="commit it yourself"
            )
        base, review = self.source.head, await stored_review(self.about, record)
        if base is None:
            raise Unreachable("the repository was not read yet", hint="ask again in a moment")
        if review is None or review.head != pull.head_sha:
            raise InvalidInput("the review of the newest commit is on its way", hint="ask again once it is there")
        return Wished(command, record, pull, review, await self.source.config(base), base)

    # --- drafts ---

    async def optimize(self, wished: Wished) -> Draft:
        words = wished.command.args or ("25%",)
        share = _SHARE.fullmatch(words[0])
        if share is None or len(words) > 1:
            raise InvalidInput("optimize takes the share to save", hint="/alma optimize 30%")
        book = await book_of(self.source, wished.base, wished.config)
        return draft_optimize(await self._written(wished), Decimal(share[1]) / 100, book)

    async def fix(self, wished: Wished) -> Draft:
        return draft_fix(await self._written(wished))

    async def set_fields(self, wished: Wished) -> Draft:
        names, values = [a for a in wished.command.args if "=" not in a], key_values(wished.command)
        if len(names) != 1 or not values:
            raise InvalidInput("set takes a resource and key=value", hint="/alma set web memory=512MB")
        return draft_set(await self._written(wished), names[0], values)

    async def migrate(self, wished: Wished) -> Draft:
        return await self._moved(wished, beside=False)

    async def translate(self, wished: Wished) -> Draft:
        return await self._moved(wished, beside=True)

    async def _moved(self, wished: Wished, *, beside: bool) -> Draft:
        if len(wished.command.args) != 1:
            raise InvalidInput(f"{wished.command.verb} takes one engine", hint=f"/alma {wished.command.verb} docker")
        book = await book_of(self.source, wished.base, wished.config)
        return draft_move(await self._written(wished), wished.command.args[0], book, beside=beside)

    async def template(self, wished: Wished) -> Draft:
        names = [a for a in wished.command.args if "=" not in a]
        if len(names) != 1:
            raise InvalidInput("template takes one name", hint="/alma template ha-web-app instance_count=3")
        return draft_template(await self._one(wished), names[0], key_values(wished.command))

    async def create(self, wished: Wished) -> Draft:
        book = await book_of(self.source, wished.base, wished.config)
        ground = Ground(book, self.about.clock.wall().date())
        return draft_create(await self._one(wished), wished.command.text, ground)

    async def _one(self, wished: Wished) -> Written:
        """The one scope that is meant. Raises InvalidInput where it must be named."""
        touched = [s.name for s in wished.review.scopes]
        names = wished.command.scopes or tuple(touched) or tuple(s.name for s in wished.config.scopes)
        if len(names) != 1:
            raise InvalidInput(f"say which scope: {', '.join(names)}", hint="-s SCOPE")
        [found] = await self._of(wished, names)
        return found

    async def _written(self, wished: Wished) -> list[Written]:
        names = wished.command.scopes or tuple(s.name for s in wished.review.scopes)
        if not names:
            raise InvalidInput("this pull request touches no scope", hint="name one with -s")
        return await self._of(wished, names)

    async def _of(self, wished: Wished, names: Collection[str]) -> list[Written]:
        """As the branch itself writes them: what is pushed goes on top of it, not of the merge."""
        tree = await self.source.mirror.tree_id(wished.pull.head_sha, "")
        found = []
        for name in names:
            scope = wished.config.scope(name)
            if scope is None:
                raise InvalidInput(f"the tracked branch has no scope {name}")
            await self.source.wanted(
                f"{TREE}{tree}", scope, wished.config.prices
            )  # parsed apart, and its mistakes told
            files = await self.source.blueprints(f"{TREE}{tree}", scope, wished.config.prices)
            audits = [s.audit for s in wished.review.scopes if s.name == name and s.audit]
            findings = tuple(f for a in audits for f in a.notable)
            engines = tuple(self.source.targets(scope))
            found.append(Written(scope, files, load_scope(files, scope).entries, findings, engines))
        return found

    # --- the commit ---

    def _refuse_other_files(self, draft: Draft, wished: Wished) -> None:
        """I4: what judges a pull request is never part of what is proposed."""
        scopes: tuple[ScopeConfig, ...] = wished.config.scopes
        ours = {f for s in scopes for f in blueprint_files(draft.files, s, wished.config.prices)}
        if set(draft.files) - ours:
            raise RefusedByPolicy(f"{min(set(draft.files) - ours)} is no blueprint of a scope")

    async def _commit(self, draft: Draft, wished: Wished, actor: Actor) -> str:
        asked = f"Asked for by {actor.id} on pull request {wished.record.number}."
        author = Author("ALMA", "alma@localhost", int(self.about.clock.wall().timestamp()))
        message = f"{draft.subject}\n\n{asked}"
        return await self.source.mirror.commit_files(wished.pull.head_sha, draft.files, message, author)

    async def _judged(self, commit: str, wished: Wished) -> Review:
        proposed = replace(wished.pull, head_sha=commit)
        judged = await self.reviewing.review(self.source, proposed, True, self.about.clock.wall().date())
        return judged.review

    async def _intend(self, record: IprRecord, actor: Actor, verb: str, commit: str) -> None:
        """Who asked is durable before the branch moves: it counts as theirs (I3)."""
        asked = Entry("ipr.proposed", {"by": actor.id, "verb": verb, "number": record.number, "commit": commit})
        now = await self.about.records.get(IprRecord, record.key) or record
        _, documents = told("ipr.proposed", replace(now, proposed={**now.proposed, commit: actor.shown}))
        await self.about.records.journal.append(f"ipr:{record.key}", [asked], documents)

    async def _note(self, record: IprRecord, actor: Actor, verb: str, commit: str) -> None:
        """Who asked is told in our comment."""
        now = await self.about.records.get(IprRecord, record.key) or record
        ask = f"{verb} as {commit[:8]} by {actor.shown} ({actor.id})"
        noted = replace(now, asked=(*now.asked, ask)[-_ASKED_KEPT:])
        await self.about.records.save("ipr.asked", noted)


_DRAFTS: Mapping[str, Callable[[ProposalDesk, Wished], Awaitable[Draft]]] = {
    "optimize": ProposalDesk.optimize,
    "fix": ProposalDesk.fix,
    "set": ProposalDesk.set_fields,
    "migrate": ProposalDesk.migrate,
    "translate": ProposalDesk.translate,
    "template": ProposalDesk.template,
    "create": ProposalDesk.create,
}
