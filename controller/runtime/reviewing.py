"""A pull request, judged: merge preview → scopes touched → plan, audit, cost → Review. Read-only, under the base's
policy and prices (I4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from controller.blueprint.entry import Entry
from controller.blueprint.repository import Repository, ScopeConfig
from controller.errors import AlmaError, InvalidInput, Problem, RefusedByPolicy, Unreachable
from controller.forges.forge import PullRequest
from controller.plan.limits import Listed, asked_for, over_budget
from controller.review.audit import audit
from controller.review.capacity import loads
from controller.review.compliance import compliance
from controller.review.cost import Budget, Cost, cost, within_budget
from controller.review.finding import Severity
from controller.review.narrative import Narrator
from controller.review.price_book import PriceBook, default_book
from controller.review.price_file import read_prices
from controller.review.report import Review, ScopeReview
from controller.review.rules.controls import FRAMEWORKS
from controller.review.rules.rule import ScopeView
from controller.review.wording import many
from controller.runtime.planning import Planned, Planning, with_left_targets
from controller.runtime.records import Reviewed, ScopeRecord
from controller.runtime.scope_policy import policy_of
from controller.runtime.source import TREE, RepositorySource
from controller.tools.mending import has_mend


@dataclass(frozen=True, slots=True)
class Judged:
    """A review, and per scope what a merge would clear."""

    review: Review
    reviewed: tuple[Reviewed, ...]


@dataclass(frozen=True, slots=True)
class _Ground:
    """What one review is made on: the base's configuration, and the tree the merge would give."""

    repository: RepositorySource
    base: str
    merged: str
    config: Repository
    book: PriceBook
    owner: str | None


class Remembering(Protocol):
    """What a review asks of memory: the edges of a scope's last deploy, by which removals are ordered."""

    async def get(self, cls: type[ScopeRecord], key: str) -> ScopeRecord | None: ...


class Reviewing:
    """Makes reviews; writes nothing."""

    def __init__(self, planning: Planning, records: Remembering, narrator: Narrator) -> None:
        self._planning, self._records, self._narrator = planning, records, narrator

    async def review(self, repository: RepositorySource, pull: PullRequest, trusted: bool, today: date) -> Judged:
        """Judge `pull` at its head against the tracked branch. `trusted` False (a fork without clearance): parsing
        and policy only, no target is asked (I5). Raises Unreachable when Git does not answer."""
        assert repository.head is not None, "a repository is looked at before its pull requests"
        base = repository.head
        preview = await repository.mirror.merge_preview(base, pull.head_sha)
        if preview.tree is None:
            return self._conflicts(base, pull, preview.conflicts)
        tree = f"{TREE}{preview.tree}"
        return await self.compare(repository, base, tree, pull.head_sha, trusted, today, owner=repository.name)

    async def compare(
        self,
        repository: RepositorySource,
        base: str,
        merged: str,
        head: str,
        trusted: bool,
        today: date,
        *,
        owner: str | None = None,
    ) -> Judged:
        """Judge what `merged` (a commit or tree) would change against the commit `base`. `owner`: the repository whose
        scopes these must be, None for a folder of anyone."""
        try:
            config = await repository.config(base)
            book = await book_of(repository, base, config)
        except InvalidInput as e:
            return Judged(Review((ScopeReview("alma.yaml", problems=e.problems),), head, base), ())
        ground = _Ground(repository, base, merged, config, book, owner)
        touched, problem = await self._touched(ground)
        scopes = [await self._scope(ground, s, new, trusted, today) for s, new in touched]
        if problem:
            scopes.append((problem, None))
        if owner and (unsigned := await repository.unsigned(base, head)):
            scopes.append((ScopeReview("signatures", refused=unsigned), None))
        return await self._whole(ground, head, scopes)

    def _conflicts(self, base: str, pull: PullRequest, paths: Sequence[str]) -> Judged:
        problems = tuple(Problem(None, f"{p} conflicts with {pull.base}") for p in list(paths)[:20])
        told = problems or (Problem(None, f"does not merge into {pull.base}"),)
        return Judged(Review((ScopeReview("merge", problems=told),), pull.head_sha, base), ())

    async def _touched(self, ground: _Ground) -> tuple[list[tuple[ScopeConfig, bool]], ScopeReview | None]:
        """Scopes whose content the merge changes, and those it adds or moves (planned read-only)."""
        source = ground.repository
        problem = None
        try:
            after = await source.config(ground.merged)
        except InvalidInput as e:
            after, problem = ground.config, ScopeReview("alma.yaml", problems=e.problems)
        touched: list[tuple[ScopeConfig, bool]] = []
        for scope in after.scopes:
            before = ground.config.scope(scope.name)
            if before is None or before.path != scope.path:
                touched.append((scope, True))
            elif await source.content_id(ground.base, before) != await source.content_id(ground.merged, before):
                touched.append((before, False))
        return touched, problem

    async def _scope(
        self, ground: _Ground, scope: ScopeConfig, new: bool, trusted: bool, today: date
    ) -> tuple[ScopeReview, Reviewed | None]:
        review = ScopeReview(scope.name, new=new)
        try:
            wanted = await ground.repository.wanted(ground.merged, scope, ground.config.prices)
            if not trusted:
                self._planning.graph(wanted)
                text = "from a fork whose author may not write here: it was checked, and nothing is planned"
                return replace(review, refused=text), None
            record = await self._records.get(ScopeRecord, scope.name)
            if record and ground.owner and (taken := record.taken_from(ground.owner)):
                return replace(review, refused=taken), None
            wanted = with_left_targets(wanted, record.targets if record else ())
            planned = await self._planning.plan(wanted, former_edges=record.edges if record else None)
        except InvalidInput as e:
            return replace(review, problems=e.problems), None
        except RefusedByPolicy as e:
            return replace(review, refused=str(e)), None
        except Unreachable as e:
            return replace(review, unreadable=str(e)), None
        return await self._judged(ground, scope, review, planned, wanted.tree, today)

    async def _judged(
        self, ground: _Ground, scope: ScopeConfig, review: ScopeReview, planned: Planned, tree: str, today: date
    ) -> tuple[ScopeReview, Reviewed]:
        plan = planned.plan
        before = await self._base_entries(ground, scope)
        audited = audit(ScopeView(planned.graph, plan, planned.snapshots), today)
        frameworks = [f for f in ground.config.policy.audit.frameworks if f in FRAMEWORKS]
        review = replace(
            review,
            plan=plan,
            audit=audited,
            loads=loads(plan, planned.snapshots),
            compliance=compliance(audited, frameworks),
            cost=cost(ground.book, before, planned.graph.entries),
            waits=_waits(planned, ground.config, scope),
        )
        pins = {k: v for effects in planned.effects.values() for e in effects for k, v in e.pins.items()}
        listed = tuple(Listed.of(c) for c in plan.changes)
        return review, Reviewed(scope.name, plan.digest, plan.fingerprint, listed, pins, tree)

    async def _base_entries(self, ground: _Ground, scope: ScopeConfig) -> Sequence[Entry]:
        try:
            return (await ground.repository.wanted(ground.base, scope, ground.config.prices)).entries
        except AlmaError:
            return ()

    async def _whole(self, ground: _Ground, head: str, scopes: Sequence[tuple[ScopeReview, Reviewed | None]]) -> Judged:
        policy = ground.config.policy
        costs = [s.cost for s, _ in scopes if s.cost]
        budget = (
            Budget(policy.budget.monthly_max, policy.budget.currency) if policy.budget.monthly_max is not None else None
        )
        review = Review(
            scopes=tuple(s for s, _ in scopes),
            head=head,
            base=ground.base,
            fail_on=None if policy.audit.fail_on == "never" else Severity(policy.audit.fail_on),
            budget=within_budget(costs, budget) if budget else None,
            commands=_commands(scopes),
            footer=" ".join(t for t in (_approvals_needed(ground.config), _unknown_frameworks(ground.config)) if t),
        )
        review = replace(review, narrative=await self._narrator.narrate(review))
        return Judged(review, tuple(r for _, r in scopes if r))


def monthly_costs(review: Review) -> Mapping[str, Cost]:
    """Scope → its cost, for metrics."""
    return {s.name: s.cost for s in review.scopes if s.cost}


async def book_of(repository: RepositorySource, base: str, config: Repository) -> PriceBook:
    """The prices of a commit over the default ones. Raises InvalidInput."""
    text = await repository.prices(base, config)
    return default_book() if text is None else read_prices(text, config.prices or "prices.yaml", default_book())


def _approvals_needed(config: Repository) -> str:
    approvals = config.policy.approvals
    owned = f", and by its owners below {', '.join(approvals.owners)}" if approvals.owners else ""
    if not approvals.required and not owned:
        return ""
    return (
        f"Deploying needs {approvals.required} approvals of this head and this plan by people who neither wrote it nor"
        f" asked for it{owned}."
    )


def _unknown_frameworks(config: Repository) -> str:
    """A framework nobody here knows stops no pull request, and is not passed over in silence."""
    unknown = [f for f in config.policy.audit.frameworks if f not in FRAMEWORKS]
    return f"policy.audit.frameworks: {', '.join(unknown)} not known; known: {', '.join(FRAMEWORKS)}" if unknown else ""


def _waits(planned: Planned, config: Repository, scope: ScopeConfig) -> tuple[str, ...]:
    """What the run will wait for after the merge, as far as it is known now (I17)."""
    too_much = over_budget(planned.plan, policy_of(config, scope).prune)
    return tuple(reason for reason in (too_much, asked_for(planned.plan.changes)) if reason)


def _commands(scopes: Sequence[tuple[ScopeReview, Reviewed | None]]) -> dict[str, str]:
    commands = {"/alma plan": "plan again", "/alma help": "everything one can ask"}
    mendable = sum(has_mend(f) for s, _ in scopes if s.audit for f in s.audit.notable)
    if mendable:
        commands = {"/alma fix": f"mend {many(mendable, 'finding')} by a commit", **commands}
    if any(s.waits for s, _ in scopes):
        commands = {"/alma confirm": "let exactly the listed changes run after the merge", **commands}
    return commands
