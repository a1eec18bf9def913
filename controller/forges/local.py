"""The built-in forge: its pull requests are the branches `ipr/NAME` of any Git remote, all else lies in our store.

Each look at the branches brings the records up to date: a new branch gets the next number for good, a deleted one
closes its pull request, one that the tracked branch has taken in is merged. Accounts are `os:NAME`; ours is `alma`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Self, TypeVar, cast

from controller.errors import InvalidInput, RefusedByPolicy, Unreachable
from controller.forges.forge import (
    Account,
    Approval,
    Comment,
    ForgeBinding,
    ForgeHint,
    ForgeInfo,
    ForgeRefused,
    ForgeUnavailable,
    Permission,
    PullRequest,
    PullState,
    Reaction,
    Standing,
    Status,
)
from controller.forges.local_backing import LocalGit, LocalStore
from controller.forges.local_comments import LocalComments
from controller.forges.local_record import (
    BOT,
    PUSHER,
    Record,
    current_by_branch,
    record_from_json,
    record_to_json,
)
from controller.forges.local_statuses import LocalStatuses

PREFIX = "ipr/"
_PULLS = "pull/"
_RETRY_S = 5.0
T = TypeVar("T")

StandingOf = Callable[[Account], Standing]


class LocalForge:
    """One repository that has no forge of its own."""

    kind = "local"

    def __init__(self, store: LocalStore, git: LocalGit, binding: ForgeBinding, standing_of: StandingOf) -> None:
        self._store = store
        self._git = git
        self._branch = binding.branch
        self._standing_of = standing_of
        self._comments = LocalComments(store, binding.wall)
        self._statuses = LocalStatuses(store)
        self._turn = asyncio.Lock()

    @classmethod
    def open(cls, binding: ForgeBinding) -> Self:
        """Needs `binding.store` and `binding.git`; `config["standing"]` tells what an account may do: a mapping from
        account id to permission, or a callable. Raises InvalidInput."""
        if binding.store is None or binding.git is None:
            raise InvalidInput(f"repository {binding.repository}: the local forge needs a store and a Git remote")
        return cls(binding.store, binding.git, binding, _standing_of(binding))

    async def close(self) -> None:
        """Nothing to close: store and remote belong to who gave them."""

    async def about(self) -> ForgeInfo:
        return ForgeInfo(BOT, rights=("pull", "push", "admin"))

    async def pulls(self) -> tuple[PullRequest, ...]:
        """All there ever were, newest number first: the store is here, and they are few."""
        async with self._turn:
            records = await self._look()
        return tuple([await self._shown(record) for record in sorted(records, key=lambda r: -r.number)])

    async def pull(self, number: int) -> PullRequest | None:
        async with self._turn:
            records = await self._look()
        found = next((record for record in records if record.number == number), None)
        return await self._shown(found) if found else None

    async def comments(self, number: int) -> tuple[Comment, ...]:
        return await self._comments.all(number)

    async def write_comment(self, number: int, marker: str, body: str, comment_id: str | None = None) -> str:
        async with self._turn:
            await self._record(number)
            return await self._comments.write(number, marker, body)

    async def reply(self, number: int, marker: str, body: str, to: Comment) -> str:
        return await self.write_comment(number, marker, body)

    async def comment(self, number: int, account: Account, body: str) -> Comment:
        """What a person says (`alma ipr comment`): a new comment in the name of `account`."""
        async with self._turn:
            await self._record(number)
            return await self._comments.add(number, account, body)

    async def react(self, number: int, to: Comment, reaction: Reaction) -> None:
        async with self._turn:
            await self._comments.react(number, to.id, reaction)

    async def reactions(self, number: int, comment_id: str) -> tuple[str, ...]:
        """Ours to one comment, for `alma ipr show`."""
        return await self._comments.reactions(number, comment_id)

    async def write_status(self, sha: str, status: Status) -> None:
        await self._statuses.write(sha, status)

    async def statuses(self, sha: str) -> tuple[Status, ...]:
        """Every status of a commit, by context, for `alma ipr show`."""
        return await self._statuses.all(sha)

    async def standing(self, account: Account) -> Standing:
        """As the server's roles say; who can push to the remote can write, and our own account does not command."""
        if account == PUSHER:
            return Standing(Permission.WRITE)
        return Standing(Permission.NONE) if account.bot else self._standing_of(account)

    async def open_pull(self, head: str, title: str, body: str, account: Account = BOT) -> PullRequest:
        """Of any branch, `ipr/` or not. One that was closed opens again under its number; one that was found by a
        look gets its title and author here."""
        async with self._turn:
            current = current_by_branch(await self._look(extra=head)).get(head)
            if current is None or current.state is PullState.MERGED:
                raise ForgeRefused(f"branch {head} does not exist or has no commit that {self._branch} lacks")
            wanted = {"title": title, "body": body, "author": account} if current.author == PUSHER else {}
            opened = current.changed(state=PullState.OPEN, gone=False, **wanted)
            await self._keep(current, opened)
        return await self._shown(opened)

    async def merge(self, number: int, head_sha: str, account: Account = BOT) -> None:
        async with self._turn:
            record = await self._at_head(number, head_sha)
            if record.state is PullState.MERGED:
                return
            if record.state is PullState.CLOSED:
                raise ForgeRefused(f"pull request {number} is closed")
            message = f"Merge pull request #{number} from {record.branch}"
            merge = self._git.merge(self._branch, record.base_tip, head_sha, message)
            merge_sha = await self._asked(merge)
            await self._keep(
                record,
                record.changed(state=PullState.MERGED, merge_sha=merge_sha, merged_by=account, base_tip=merge_sha),
            )

    async def close_pull(self, number: int) -> None:
        """The branch stays; pushing to it does not open the pull request again."""
        async with self._turn:
            record = await self._record(number)
            if record.state is PullState.OPEN:
                await self._keep(record, record.changed(state=PullState.CLOSED, gone=False))

    async def approve(self, number: int, head_sha: str, body: str, account: Account = BOT) -> None:
        async with self._turn:
            record = await self._at_head(number, head_sha)
            given = [a for a in record.approvals if (a.account, a.head_sha) != (account, head_sha)]
            approvals = (*given, Approval(account, head_sha, body))
            await self._keep(record, record.changed(approvals=approvals))

    async def approvals(self, number: int) -> tuple[Approval, ...]:
        """Every approval given, for whichever head it was."""
        return (await self._record(number)).approvals

    def read_event(self, headers: Mapping[str, str], body: bytes) -> ForgeHint | None:
        """It has no webhook: every one is refused (I42)."""
        raise ForgeRefused("the local forge has no webhook")

    async def _look(self, extra: str = "") -> tuple[Record, ...]:
        """Every record, brought up to the branches as they are now."""
        refs = await self._asked(self._git.refs())
        tip = refs.get(self._branch)
        if tip is None:
            raise ForgeUnavailable(f"the remote shows no branch {self._branch}", _RETRY_S)
        records = {record.number: record for record in await self._records()}
        for branch, current in current_by_branch(tuple(records.values())).items():
            head = refs.get(branch)
            seen = await self._seen_gone(current, tip) if head is None else await self._seen(current, head, tip)
            await self._keep(current, seen)
            records[seen.number] = seen
        for branch in sorted(self._without_record(refs, extra, tuple(records.values()))):
            found = await self._found(max(records, default=0) + 1, branch, refs[branch], tip)
            if found:
                records[found.number] = found
        return tuple(records.values())

    def _without_record(self, refs: Mapping[str, str], extra: str, records: tuple[Record, ...]) -> set[str]:
        """Branches that need a number: pull requests by name, and `extra`; not those whose merged one still stands
        for all they hold."""
        current = current_by_branch(records)
        mine = {branch for branch in refs if branch.startswith(PREFIX) or branch == extra} - {self._branch}
        return {
            branch
            for branch in mine
            if branch not in current
            or (current[branch].state is PullState.MERGED and current[branch].head_sha != refs[branch])
        }

    async def _found(self, number: int, branch: str, head: str, tip: str) -> Record | None:
        """A pull request for a branch that has commits of its own; None without any."""
        if await self._asked(self._git.is_ancestor(head, tip)):
            return None
        title = await self._asked(self._git.subject(head)) or branch.removeprefix(PREFIX)
        record = Record(number, branch, title, "", PUSHER, head, since=tip, base_tip=tip)
        await self._put(record)
        return record

    async def _seen(self, record: Record, head: str, tip: str) -> Record:
        """With its branch at `head`."""
        if record.state is PullState.MERGED:
            return record
        merge_sha = await self._merged_as(record, head, tip)
        if merge_sha:
            return record.changed(state=PullState.MERGED, head_sha=head, merge_sha=merge_sha, base_tip=tip, gone=False)
        state = PullState.OPEN if record.gone else record.state
        return record.changed(state=state, head_sha=head, base_tip=tip, gone=False)

    async def _seen_gone(self, record: Record, tip: str) -> Record:
        """With its branch deleted: merged just before, or closed by it."""
        if record.state is not PullState.OPEN:
            return record
        merge_sha = await self._merged_as(record, record.head_sha, tip)
        if merge_sha:
            return record.changed(state=PullState.MERGED, merge_sha=merge_sha, base_tip=tip)
        return record.changed(state=PullState.CLOSED, gone=True)

    async def _merged_as(self, record: Record, head: str, tip: str) -> str | None:
        """The commit that brought `head` in. A branch that was set back to where the tracked branch already was has
        lost its commits; nobody merged them."""
        if head != record.head_sha:
            await self._asked(self._git.subject(head))  # fetched now: its branch may be gone at the next look
        if record.base_tip == tip or await self._reaches(record.base_tip, head):
            return None
        try:
            return await self._asked(self._git.find_merged(head, record.since, tip))
        except ForgeRefused:  # the tracked branch was rewritten since
            return tip if await self._reaches(tip, head) else None

    async def _reaches(self, tip: str, head: str) -> bool:
        """Whether `head` is in `tip`; a commit that nobody has any more is in nothing."""
        try:
            return await self._asked(self._git.is_ancestor(head, tip))
        except ForgeRefused:
            return False

    async def _at_head(self, number: int, head_sha: str) -> Record:
        await self._look()
        record = await self._record(number)
        if record.head_sha != head_sha:
            raise ForgeRefused(f"pull request {number} has moved on from {head_sha[:12]}", hint="look at it again")
        return record

    async def _records(self) -> tuple[Record, ...]:
        keys = await self._store.keys(_PULLS)
        raws = [await self._store.get(key) for key in keys]
        return tuple(record_from_json(raw) for raw in raws if raw is not None)

    async def _record(self, number: int) -> Record:
        raw = await self._store.get(_key(number))
        if raw is None:
            raise ForgeRefused(f"there is no pull request {number}", hint="see: alma ipr list", code=404)
        return record_from_json(raw)

    async def _keep(self, before: Record, after: Record) -> None:
        if after != before:
            await self._put(after)

    async def _put(self, record: Record) -> None:
        await self._store.put(_key(record.number), record_to_json(record))

    async def _shown(self, record: Record) -> PullRequest:
        return record.pull(self._branch, await self._comments.count(record.number))

    async def _asked(self, question: Awaitable[T]) -> T:
        """The remote's answer, in the errors of this contract."""
        try:
            return await question
        except Unreachable as unreachable:
            raise ForgeUnavailable(str(unreachable), _RETRY_S) from None
        except (RefusedByPolicy, InvalidInput) as refused:
            raise ForgeRefused(str(refused), hint=refused.hint) from None


def _key(number: int) -> str:
    return f"{_PULLS}{number:09d}"


def _standing_of(binding: ForgeBinding) -> StandingOf:
    given = binding.config.get("standing", {})
    if callable(given):
        return cast(StandingOf, given)
    if not isinstance(given, Mapping):
        raise InvalidInput(f"repository {binding.repository}: forge.standing must map accounts to permissions")
    table = {str(account): Permission(str(permission)) for account, permission in given.items()}
    return lambda account: Standing(table.get(account.id, Permission.NONE))
