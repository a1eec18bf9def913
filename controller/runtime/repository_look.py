"""One look at a repository: one listing of refs, its scopes, its pull requests. Untouched scopes cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from controller.blueprint.repository import Repository
from controller.errors import AlmaError, InvalidInput, Unreachable
from controller.forges.forge import Forge, ForgeError, PullRequest, PullState
from controller.runtime.clearances import at_merge
from controller.runtime.records import IprRecord, Records, RepositoryRecord, ScopeRecord
from controller.runtime.source import RepositorySource
from controller.runtime.work_queue import Priority, WorkQueue

_log = structlog.get_logger("repository")


class RepositoryLook:
    """Finds out what moved and puts it in the queue; changes nothing but what we remember of refs and scopes."""

    def __init__(
        self,
        *,
        source: RepositorySource,
        forge: Forge,
        branch: str,
        records: Records,
        queue: WorkQueue,
        nudge: Callable[[str], None],
    ) -> None:
        self._source, self._forge, self._branch = source, forge, branch
        self._records, self._queue, self._nudge = records, queue, nudge
        self._from_before: set[int] = set()  # pull requests that were merged before anyone here looked
        self._known = False  # what the journal says was put to use since this process started

    async def look(self) -> None:
        """Raises Unreachable and ForgeUnavailable; nothing is derived from half a look (I9)."""
        record = await self._records.get(RepositoryRecord, self._source.name) or RepositoryRecord(self._source.name)
        listing = await self._source.mirror.refs()
        refs = listing.branches
        head = refs.get(self._branch)
        if head is None:
            text = f"branch {self._branch} is not there; branches: {', '.join(sorted(refs)[:10]) or 'none'}"
            await self._note(replace(record, problem=text))
            raise InvalidInput(text, hint="scopes stay as they are; push the branch or change `branch:`")
        silent: ForgeError | None = None
        merged: set[str] = set()
        try:
            # First: what a merge clears must be known before its scopes are looked at.
            merged = await self._pulls(record.told_at)
        except ForgeError as e:
            silent = e
        if head != self._source.head or head != record.head or record.taken:
            await self._source.mirror.fetch([self._branch], listing=listing)
            record = await self._moved(record, head)
        if not silent:
            record = replace(record, told_at=head)
        await self._note(replace(record, refs=dict(refs), head=head))
        for scope in sorted(merged):
            # Its run may have begun to wait before the forge called the pull request merged.
            self._queue.add(f"scope:{scope}", Priority.WEBHOOK)
        if silent:
            raise silent

    async def follow(self) -> None:
        """For a controller whose neighbour looks at this repository: be where that look was. Remembers nothing; runs of
        ours hear of the newer revision. Raises Unreachable."""
        record = await self._records.get(RepositoryRecord, self._source.name)
        if record is None or record.head is None or record.head == self._source.head:
            return
        mirror = self._source.mirror
        if not await mirror.has(record.head):
            await mirror.fetch([self._branch], listing=await mirror.refs())
        if not await mirror.has(record.head):
            raise Unreachable(
                f"{record.head[:8]} of {self._source.name} is not there yet", hint="it is looked for again"
            )
        self._source.head = record.head
        for scope in await self._records.all(ScopeRecord):
            if scope.run and scope.repository == self._source.name:
                self._nudge(scope.run)

    async def _moved(self, record: RepositoryRecord, head: str) -> RepositoryRecord:
        """The tracked branch is somewhere else than at the last look of this process."""
        rewritten = await self._rewritten(record.head, head)
        self._source.head = head
        try:
            config = await self._source.config(head)
            _refuse_a_deleted_file(config, record)
        except InvalidInput as e:
            await self._note(replace(record, head=head, problem=str(e)))
            await self._wake_all(record)
            return replace(record, head=head, problem=str(e))
        taken = await self._taken(config)
        own = replace(config, scopes=tuple(s for s in config.scopes if s.name not in taken))
        other_rules = await self._other_rules(record.head, config)
        names, due = await self._scopes(own, head, record, rewritten, other_rules=other_rules)
        after = replace(record, head=head, scopes=names, taken=tuple(taken), problem="; ".join(taken.values()))
        await self._note(after)
        # Only now: who holds one of them may be another controller, which looks at the head that is noted.
        for name in due:
            self._queue.add(f"scope:{name}", Priority.WEBHOOK)
        return after

    async def _rewritten(self, previous: str | None, head: str) -> str:
        """Why other content must wait for a person: history that was deployed is gone from the branch (B11)."""
        if not previous or previous == head:
            return ""
        if await self._source.mirror.has(previous) and await self._source.mirror.is_ancestor(previous, head):
            return ""
        _log.warning("the tracked branch was rewritten", repository=self._source.name, was=previous, now=head)
        return f"the tracked branch was rewritten: {previous[:10]} is not in its history any more"

    async def _other_rules(self, previous: str | None, config: Repository) -> bool:
        """Whether the policy is not what it was: each scope is then looked at, for what comes later is judged by it."""
        if not previous or not await self._source.mirror.has(previous):
            return False
        try:
            return (await self._source.config(previous)).policy != config.policy
        except InvalidInput:
            return True

    async def _taken(self, config: Repository) -> dict[str, str]:
        """Scope → why it is not this repository's, in the order of their names."""
        taken = {}
        for name in sorted(s.name for s in config.scopes):
            known = await self._records.get(ScopeRecord, name)
            if known and (why := known.taken_from(self._source.name)):
                _log.warning("scope name is taken", repository=self._source.name, reason=why)
                taken[name] = why
        return taken

    async def _scopes(
        self, config: Repository, head: str, record: RepositoryRecord, rewritten: str, *, other_rules: bool
    ) -> tuple[tuple[str, ...], list[str]]:
        """Remember every scope of `config`. Their names, with those that are gone; and those to look at, whose content
        is not what was verified last."""
        due: list[str] = []
        for scope in config.scopes:
            known = await self._records.get(ScopeRecord, scope.name)
            if known is None:
                known = ScopeRecord(scope.name, self._source.name, scope.path)
                await self._records.save("scope.found", known)
            content = await self._content(head, scope.name, config)
            if rewritten and known.good_tree and content != known.good_tree:
                known = replace(known, rewritten=rewritten)
                await self._records.save("scope.rewritten", known)
            moved = other_rules or content != known.good_tree or not self._known
            if moved or known.run or known.waiting or known.orphaned:
                due.append(scope.name)
            if known.run:
                self._nudge(known.run)
        gone = set(record.scopes) - {s.name for s in config.scopes}
        self._known = True
        return tuple(sorted({*(s.name for s in config.scopes), *gone})), [*due, *sorted(gone)]

    async def _content(self, head: str, name: str, config: Repository) -> str | None:
        scope = config.scope(name)
        try:
            return await self._source.content_id(head, scope) if scope else None
        except AlmaError:
            return None

    async def _wake_all(self, record: RepositoryRecord) -> None:
        """alma.yaml is broken: every scope says so, and heals its last good state."""
        for name in record.scopes:
            self._queue.add(f"scope:{name}", Priority.WEBHOOK)

    async def _pulls(self, previous: str | None) -> set[str]:
        """Puts pull requests that moved into the queue; the scopes of those that were merged since the last look, at
        which the tracked branch stood at `previous`."""
        merged: set[str] = set()
        for pull in await self._forge.pulls():
            known = await self._records.get(IprRecord, f"{self._source.name}/{pull.number}")
            if known is None and await self._came_between_looks(pull, previous):
                # Durable before the branch's new place is: the look that tells of it may be another process's.
                await self._records.save("ipr.merged", at_merge(IprRecord(self._source.name, pull.number), pull))
                self._queue.add(f"ipr:{self._source.name}/{pull.number}", Priority.PULL_REQUEST)
            elif known and pull.state is PullState.MERGED and known.state != pull.state:
                known = replace(at_merge(known, pull), final=False)
                await self._records.save("ipr.merged", known)
                merged.update(r.scope for r in known.reviewed)
                self._queue.add(f"ipr:{self._source.name}/{pull.number}", Priority.PULL_REQUEST)
            elif self._needs_a_look(pull, known):
                self._queue.add(f"ipr:{self._source.name}/{pull.number}", Priority.PULL_REQUEST)
        return merged

    async def _came_between_looks(self, pull: PullRequest, previous: str | None) -> bool:
        """Merged, though nobody ever saw it open; not one from before this repository was first looked at."""
        merge, mirror = pull.merge_sha, self._source.mirror
        if pull.state is not PullState.MERGED or merge is None or previous is None or pull.base != self._branch:
            return False
        if pull.number in self._from_before or not await mirror.has(previous):
            return False
        if await mirror.has(merge) and await self._is_included(merge, previous):
            self._from_before.add(pull.number)
            return False
        return True

    async def _is_included(self, older: str, newer: str) -> bool:
        return older == newer or await self._source.mirror.is_ancestor(older, newer)

    def _needs_a_look(self, pull: PullRequest, known: IprRecord | None) -> bool:
        if known is None:
            return pull.state is PullState.OPEN
        if known.final and known.state == pull.state:
            return pull.updated != known.stamp  # someone may ask for a retry below a final state
        moved = pull.updated != known.stamp or pull.head_sha != known.head_sha or pull.state != known.state
        base_moved = pull.state is PullState.OPEN and known.base_sha != self._source.head
        return moved or base_moved or (pull.state is not PullState.OPEN and not known.final)

    async def _note(self, record: RepositoryRecord) -> None:
        if record != await self._records.get(RepositoryRecord, record.repository):
            await self._records.save("repository.seen", record)


def _refuse_a_deleted_file(config: Repository, record: RepositoryRecord) -> None:
    """Without alma.yaml everything would be one scope of another name, and be created a second time beside what is
    there. Raises InvalidInput where it had told of scopes before."""
    others = sorted(set(record.scopes) - {s.name for s in config.scopes})
    if not config.written and others:
        raise InvalidInput(
            f"alma.yaml is gone, which described {', '.join(others)[:200]}",
            hint="nothing was changed; bring it back, or write one that says what is wanted now",
        )
