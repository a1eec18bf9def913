"""One pull request: its review in one comment edited in place, its commands, its run's progress, its one final state.

A pass looks at the forge and brings what we say there in line; any pass may be the last before a kill, and the next one
goes on (I19). Nothing here changes a target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from controller.errors import InvalidInput
from controller.forges.forge import (
    Annotating,
    Annotation,
    Comment,
    Forge,
    ForgeError,
    ForgeRefused,
    Permission,
    PullRequest,
    PullState,
    Reaction,
    Status,
    StatusState,
)
from controller.forges.marker import bears
from controller.journal.projections import Document, Entry
from controller.plan.codec import from_json, to_json
from controller.plan.limits import Listed
from controller.review.annotations import notes
from controller.review.command_answer import refused_answer
from controller.review.finding import Severity
from controller.review.markdown import rendered
from controller.review.report import Review, RunProgress, Verdict, findings_text
from controller.review.statuses import statuses
from controller.runtime.approving import seen_now
from controller.runtime.clearances import at_merge
from controller.runtime.clock import Clock
from controller.runtime.command import Command, parse_command
from controller.runtime.ipr_runs import IprRuns
from controller.runtime.missed import missed
from controller.runtime.records import IprRecord, Records, RunRecord
from controller.runtime.reviewing import Judged, Reviewing, monthly_costs
from controller.runtime.source import RepositorySource
from controller.telemetry import Metrics

_log = structlog.get_logger("ipr")
_MERGE_SETTLES_S = 60.0  # a pull request whose content is on the branch this long, and still open, was not merged


class Answering(Protocol):
    """Carries out a command of a comment, with the author's role looked up now; returns the answer's body."""

    async def answer(self, record: IprRecord, pull: PullRequest, comment: Comment, marker: str) -> str: ...


class Iprs:
    """All pull requests of one repository."""

    def __init__(
        self,
        *,
        repository: RepositorySource,
        forge: Forge,
        reviewing: Reviewing,
        answering: Answering,
        records: Records,
        clock: Clock,
        metrics: Metrics,
        install: str,
        branch: str,
        runs: IprRuns,
    ) -> None:
        self._repository, self._forge, self._reviewing = repository, forge, reviewing
        self._answering, self._records, self._clock, self._metrics = answering, records, clock, metrics
        self._install, self._branch, self._runs = install, branch, runs
        self._open_scopes: dict[int, frozenset[str]] = {}  # open pull request → scopes it touches
        self._emptied: dict[int, float] = {}  # open pull request → since when the branch holds all it brings

    def run_moved(self, run: RunRecord) -> None:
        """Newest progress of a run that one of our pull requests may show."""
        self._runs.moved(run)

    def touching(self, scope: str) -> tuple[int, ...]:
        """Open pull requests whose plan was made against this scope: to be planned again when it moves."""
        return tuple(n for n, scopes in self._open_scopes.items() if scope in scopes)

    async def look(self, number: int) -> float | None:
        """Bring what we say on one pull request in line with what is. Returns seconds until the next look is due, None
        if only news makes one due; raises ForgeUnavailable when the forge must be left alone for a while."""
        pull = await self._forge.pull(number)
        record = await self._records.get(IprRecord, f"{self._repository.name}/{number}")
        if self._repository.head is None:
            return 1.0  # its repository was not looked at yet
        if pull is None or pull.base != self._branch:
            return None  # not there, or on its way to a branch that nothing is deployed from
        record = record or IprRecord(self._repository.name, number)
        record = replace(
            record,
            title=pull.title[:200],
            head_branch=pull.head[:200],
            author=pull.author.login,
            state=pull.state,
            merge_sha=pull.merge_sha,
            stamp=pull.updated,
        )
        record = await self._approvals_seen(record)
        if pull.state is PullState.MERGED:
            record = at_merge(record, pull)
        record = await self._answer_commands(record, pull)
        if pull.state is PullState.OPEN:
            return await self._open(record, pull)
        self._open_scopes.pop(number, None)
        return await self._ended(record, pull)

    # --- open: the review ---

    async def _open(self, record: IprRecord, pull: PullRequest) -> float:
        began_s = self._clock.now_s()
        await self._repository.mirror.fetch(commits=[pull.head_sha])
        if await self._is_being_merged(record, pull):
            return 1.0
        judged = await self._reviewing.review(
            self._repository, pull, await self._trusted(pull), self._clock.wall().date()
        )
        if _other_plan(record, pull, judged):
            record = await self._approvals_seen(record)  # those of the last moment are for what was shown
            record = replace(record, confirmed=(), confirmed_by="")  # given for what is no longer there (I3)
        record = replace(record, head_sha=pull.head_sha, base_sha=self._repository.head or "")
        record = replace(record, final=False, final_at="", runs=())
        self._open_scopes[record.number] = frozenset(r.scope for r in judged.reviewed)
        record = await self._write(record, judged.review, (), judged)
        if record.head_sha == pull.head_sha:
            self._metrics.observe("alma_ipr_review_duration_seconds", self._clock.now_s() - began_s)
        self._show(judged)
        return 15.0 if any(s.unreadable for s in judged.review.scopes) else 600.0

    async def _approvals_seen(self, record: IprRecord) -> IprRecord:
        """Binds each approval to the plan that stood in the comment when it was given (I3)."""
        assert self._repository.head is not None, "a repository is looked at before its pull requests"
        try:
            policy = (await self._repository.config(self._repository.head)).policy.approvals
        except InvalidInput:
            return record
        if not policy.required and not policy.owners:
            return record
        return seen_now(record, await self._forge.approvals(record.number))

    async def _is_being_merged(self, record: IprRecord, pull: PullRequest) -> bool:
        """A forge moves the branch before it calls the pull request merged. A review made in between would find
        nothing to change and take the place of the one that the merge clears by (I2)."""
        if not await self._brings_nothing(pull):
            self._emptied.pop(pull.number, None)
            return False
        since_s = self._emptied.setdefault(pull.number, self._clock.now_s())
        return self._clock.now_s() - since_s < _MERGE_SETTLES_S

    async def _brings_nothing(self, pull: PullRequest) -> bool:
        base, mirror = self._repository.head, self._repository.mirror
        assert base is not None, "a repository is looked at before its pull requests"
        return (await mirror.merge_preview(base, pull.head_sha)).tree == await mirror.tree_id(base, "")

    async def _trusted(self, pull: PullRequest) -> bool:
        """A branch of the repository itself was pushed by someone with write access; a fork is trusted when its
        author has it too (I5)."""
        if not pull.fork:
            return True
        standing = await self._forge.standing(pull.author)
        return standing.permission in (Permission.WRITE, Permission.ADMIN)

    def _show(self, judged: Judged) -> None:
        for scope, cost in monthly_costs(judged.review).items():
            self._metrics.gauge("alma_monthly_cost", float(cost.total_after), scope, cost.currency)
        for scope_review in judged.review.scopes:
            if scope_review.audit:
                for severity in Severity:
                    count = scope_review.audit.count(severity)
                    self._metrics.gauge("alma_findings", count, scope_review.name, severity)

    # --- merged or closed: the run ---

    async def _ended(self, record: IprRecord, pull: PullRequest) -> float | None:
        if not record.head_sha and pull.state is PullState.CLOSED:
            await self._save(self._final(record))  # closed before we ever spoke: nothing to say
            return None
        if record.merge_sha and not await self._repository.mirror.has(record.merge_sha):
            return 15.0  # told of before its repository was looked at; its run asks for a look sooner
        review = await self._stored_review(record)
        if review is None:
            record, review = await self._missed(record, pull)
        runs = await self._runs.of(record, unreviewed=review.unreviewed)
        progress = self._runs.progress(runs)
        final = pull.state is PullState.CLOSED or await self._runs.is_final(record, runs)
        if not final:
            progress += await self._runs.not_begun(record, {r.scope for r in runs})
        if pull.state is PullState.CLOSED:
            progress = ()
        elif final and not runs:
            review = replace(review, nothing_ran=True)
        record = self._final(record) if final else replace(record, final=False, final_at="")
        await self._write(replace(record, runs=tuple(r.run for r in runs)), review, progress, None)
        return None if final else 30.0

    def _final(self, record: IprRecord) -> IprRecord:
        return replace(record, final=True, final_at=record.final_at or self._clock.wall().isoformat())

    async def _missed(self, record: IprRecord, pull: PullRequest) -> tuple[IprRecord, Review]:
        """Merged before we ever reviewed it: the scopes it touched are told of, and it clears nothing."""
        judged = Judged(Review(head=pull.head_sha), ())
        if record.merge_sha:
            judged = await missed(self._repository, pull, record.merge_sha)
        record = replace(record, head_sha=pull.head_sha, base_sha=judged.review.base, reviewed=judged.reviewed)
        await self._save(record, judged.review)
        return record, judged.review

    # --- what we say ---

    async def _write(
        self, record: IprRecord, review: Review, progress: Sequence[RunProgress], judged: Judged | None
    ) -> IprRecord:
        """The comment, then the aggregates, then the scopes (design.md 5); only what differs is sent."""
        if record.asked:
            review = replace(review, footer=f"Asked through ALMA: {'; '.join(record.asked)}.")
        made = rendered(review, progress, self._marker(record))
        if made.hidden and judged:
            # What the comment cannot show, nobody has seen: it always waits for confirm (design.md 5).
            review = _waiting_for_hidden(review, len(made.hidden))
            made = rendered(review, progress, self._marker(record))
        body_hash = hashlib.sha256(made.body.encode()).hexdigest()
        if judged:
            shown = frozenset(Listed.of(c) for c in made.listed)
            kept = tuple(replace(r, listed=tuple(x for x in r.listed if x in shown)) for r in judged.reviewed)
            record = replace(record, reviewed=kept)
            if await self._is_merged_meanwhile(record):
                return record  # nobody saw this before the merge, so it must clear nothing; the next look reports
            # Durable before it is shown: a merge may follow the comment at once, and clears what is stored (I2).
            await self._save(record, review)
        if body_hash != record.body_hash or record.comment_id is None:
            comment_id = await self._forge.write_comment(
                record.number, self._marker(record), made.body, record.comment_id
            )
            record = replace(record, comment_id=comment_id, body_hash=body_hash)
        for line in statuses(review, progress):
            status = Status(line.context, StatusState(line.state), line.description)
            await self._forge.write_status(record.head_sha, status)
        await self._save(record)
        if judged:
            await self._annotate(record, review)
        return record

    async def _annotate(self, record: IprRecord, review: Review) -> None:
        """Notes at the lines, where the forge shows such: beside what was said already, so a no stops nothing."""
        if not isinstance(self._forge, Annotating):
            return
        told = [Annotation(*note) for note in notes(review)]
        summary = f"{findings_text(review)}; the whole review is in the comment."
        try:
            await self._forge.annotate(record.head_sha, summary, review.verdict is Verdict.BLOCKED, told)
        except ForgeRefused as e:
            _log.warning("notes at the lines were refused", number=record.number, reason=str(e))

    def _marker(self, record: IprRecord) -> str:
        return f"<!-- alma:{self._install}:{record.repository}:{record.number} -->"

    # --- commands ---

    async def _answer_commands(self, record: IprRecord, pull: PullRequest) -> IprRecord:
        """New comments, oldest first, each answered once: 👀, then the answer in the thread (I6)."""
        comments = await self._forge.comments(record.number)
        before = record.answered
        for comment in comments:
            if comment.id in record.answered or comment.id == record.comment_id:
                continue
            command = None if comment.edited or comment.author.bot else parse_command(comment.body)
            marker = f"<!-- alma:{self._install}:answer:{comment.id} -->"
            # An answer that stands there already: the journal was lost, the command was not (I21).
            if command is not None and not any(c.author.bot and bears(marker, c.body) for c in comments):
                record = await self._answer(record, pull, comment, command, marker)
            record = replace(record, answered=(*record.answered, comment.id))
            if command is not None:
                await self._save(record)
        if record.answered != before:
            await self._save(record)
        return record

    async def _answer(
        self, record: IprRecord, pull: PullRequest, comment: Comment, command: Command, marker: str
    ) -> IprRecord:
        """Carry out one command at most once, whatever happens between it and its answer (I12)."""
        await self._forge.react(record.number, comment, Reaction.EYES)
        answer = record.pending.get(comment.id)
        if answer is None:
            record = await self._pending(record, comment, "")
            try:
                answer = await self._answering.answer(record, pull, comment, marker)
            except ForgeError:  # the author's rights could not be looked up: nothing was carried out
                await self._pending(record, comment, None)
                raise
            record = await self._pending(await self._records.get(IprRecord, record.key) or record, comment, answer)
        stopped = "the controller stopped meanwhile: look at /alma status before you ask again"
        told = answer or refused_answer(command.verb, comment.author.login, stopped, marker)
        await self._forge.reply(record.number, marker, told, comment)
        return replace(record, pending={k: v for k, v in record.pending.items() if k != comment.id})

    async def _pending(self, record: IprRecord, comment: Comment, answer: str | None) -> IprRecord:
        others = {k: v for k, v in record.pending.items() if k != comment.id}
        record = replace(record, pending=others if answer is None else {**others, comment.id: answer})
        await self._save(record)
        return record

    # --- storage ---

    async def _save(self, record: IprRecord, review: Review | None = None) -> None:
        known = await self._records.get(IprRecord, record.key)
        if known:
            # What a person asked for since this look began.
            record = replace(record, asked=known.asked, requested_by=known.requested_by, proposed=known.proposed)
        if known and known.state == PullState.MERGED and record.state == PullState.OPEN:
            # Merged while it was reviewed, and noted by the look at its repository: what a merge clears is not lost.
            record = replace(record, state=known.state, merge_sha=known.merge_sha)
        await self._records.save("ipr.seen", record)
        if review is not None:
            document = Document("review", record.key, to_json(review))
            head = {"head": record.head_sha}
            await self._records.journal.append(f"ipr:{record.key}", [Entry("ipr.reviewed", head)], [document])

    async def _is_merged_meanwhile(self, record: IprRecord) -> bool:
        stored = await self._records.get(IprRecord, record.key)
        return stored is not None and stored.state == PullState.MERGED != record.state

    async def _stored_review(self, record: IprRecord) -> Review | None:
        body = await self._records.journal.document("review", record.key)
        return None if body is None else from_json(Review, body)


def _other_plan(record: IprRecord, pull: PullRequest, judged: Judged) -> bool:
    """The head or a plan is not the one the comment showed before."""
    digests = {(r.scope, r.digest) for r in record.reviewed}
    return record.head_sha != pull.head_sha or digests != {(r.scope, r.digest) for r in judged.reviewed}


def _waiting_for_hidden(review: Review, hidden: int) -> Review:
    reason = f"{hidden} changes do not fit into the comment"
    scopes = tuple(
        replace(s, waits=(*s.waits, reason)) if s.plan and s.plan.changes and reason not in s.waits else s
        for s in review.scopes
    )
    return replace(review, scopes=scopes)
