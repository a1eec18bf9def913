"""GitHub, at github.com and as Enterprise Server, over its REST API of 2022-11-28.

Nothing is remembered that decides. What only saves requests: entity tags, and the statuses this process wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import httpx2

from controller.errors import InvalidInput
from controller.forges.address import repository_path
from controller.forges.forge import (
    Account,
    Annotation,
    Approval,
    Comment,
    ForgeBinding,
    ForgeHint,
    ForgeInfo,
    ForgeRefused,
    ForgeUnavailable,
    PullRequest,
    PullState,
    Reaction,
    Standing,
    Status,
)
from controller.forges.github_checks import GitHubChecks
from controller.forges.github_comments import GitHubComments, GitHubStatuses
from controller.forges.github_entry import opened
from controller.forges.github_payload import approvals, event_hint
from controller.forges.github_repository import GitHubRepository
from controller.forges.github_rights import rights_of
from controller.forges.github_setup import GitHubSetup
from controller.forges.github_standing import GitHubStanding
from controller.forges.http import PAGE_SIZE
from controller.forges.json_reader import Json
from controller.forges.one_comment import OneComment
from controller.forges.pulls import at_head, existing
from controller.forges.status import StatusWriter
from controller.forges.webhook import check_signature, check_size, lower_names, read_body

_SIGNATURE = "x-hub-signature-256"  # never the one with SHA-1 beside it
_EVENT = "x-github-event"
_MERGE_METHODS = {"merge": "allow_merge_commit", "squash": "allow_squash_merge", "rebase": "allow_rebase_merge"}
_ENQUEUE = """
mutation($pull: ID!, $head: GitObjectID!) {
  enqueuePullRequest(input: {pullRequestId: $pull, expectedHeadOid: $head}) { mergeQueueEntry { state } }
}
"""


class GitHubForge:
    """One repository at GitHub."""

    kind = "github"

    def __init__(self, repository: GitHubRepository, branch: str, webhook_secret: str) -> None:
        self._repository = repository
        self._branch = branch
        self._webhook_secret = webhook_secret
        self._comments = GitHubComments(repository)
        self._one_comment = OneComment(self._comments)
        self._statuses = StatusWriter(GitHubStatuses(repository))
        self._checks = GitHubChecks(repository)
        self._standing = GitHubStanding(repository)
        self._setup = GitHubSetup(repository, branch, webhook_secret)

    @classmethod
    def open(cls, binding: ForgeBinding, transport: httpx2.AsyncBaseTransport | None = None) -> Self:
        """Raises InvalidInput for a `forge:` entry that cannot work. Asks nothing yet."""
        repository, secret = opened(binding, repository_path(binding), transport)
        return cls(repository, binding.branch, secret)

    def __repr__(self) -> str:
        return f"GitHubForge({self._repository.path})"

    async def close(self) -> None:
        await self._repository.close()

    async def about(self) -> ForgeInfo:
        own = await self._repository.own()
        found = await rights_of(self._repository)
        unread = [f"see who is in team {team}: give it Members: read" for team in await self._standing.unread_teams()]
        return ForgeInfo(own, found.rights, (*found.missing, *unread), found.excess)

    async def pulls(self) -> tuple[PullRequest, ...]:
        """All open ones and the last 50 others, newest update first."""
        shared = {"base": self._branch, "sort": "updated", "direction": "desc"}
        opened = await self._repository.answers("pulls", query={**shared, "state": "open"})
        closed_query = {**shared, "state": "closed", "page": "1", "per_page": str(PAGE_SIZE)}
        closed = await self._repository.get("pulls", query=closed_query)
        found = {
            pull.number: pull
            for answer in (*opened, closed)
            for pull in [await self._repository.pull(raw, answer) for raw in self._repository.read(answer)]
            if pull.base == self._branch
        }
        return tuple(sorted(found.values(), key=lambda pull: (pull.updated, pull.number), reverse=True))

    async def pull(self, number: int) -> PullRequest | None:
        answer = await self._repository.find("pulls", number)
        return None if answer is None else await self._repository.pull(self._repository.read(answer), answer)

    async def comments(self, number: int) -> tuple[Comment, ...]:
        return await self._comments.all(number)

    async def write_comment(self, number: int, marker: str, body: str, comment_id: str | None = None) -> str:
        return await self._one_comment.write(number, marker, body, comment_id)

    async def reply(self, number: int, marker: str, body: str, to: Comment) -> str:
        """The conversation has no threads: an answer is a comment of its own, once per `marker`."""
        return await self._one_comment.write(number, marker, body)

    async def react(self, number: int, to: Comment, reaction: Reaction) -> None:
        await self._comments.react(to, reaction)

    async def write_status(self, sha: str, status: Status) -> None:
        await self._statuses.write(sha, status)

    async def annotate(self, sha: str, summary: str, failed: bool, annotations: Sequence[Annotation]) -> None:
        await self._checks.write(sha, summary, failed, annotations)

    async def standing(self, account: Account) -> Standing:
        return await self._standing.of(account)

    async def open_pull(self, head: str, title: str, body: str) -> PullRequest:
        there = await self._open_of(head)
        if there is not None:
            return there
        wanted = {"head": head, "base": self._branch, "title": title, "body": body}
        try:
            answer = await self._repository.send("POST", "pulls", body=wanted)
        except ForgeRefused as refused:
            there = await self._open_of(head) if refused.code == 422 else None
            if there is None:
                raise
            return there
        return await self._repository.pull(self._repository.read(answer), answer)

    async def merge(self, number: int, head_sha: str) -> None:
        pull = await at_head(self, number, head_sha)
        if pull.state is PullState.MERGED:
            return
        if pull.state is PullState.CLOSED:
            raise ForgeRefused(f"pull request {number} is closed")
        wanted = {"sha": head_sha, "merge_method": await self._merge_method()}
        try:
            await self._repository.send("PUT", "pulls", number, "merge", body=wanted)
        except ForgeRefused as refused:
            if refused.code != 405:
                raise
            await self._merge_otherwise(number, head_sha, refused)

    async def close_pull(self, number: int) -> None:
        pull = await existing(self, number)
        if pull.state is PullState.OPEN:
            await self._repository.send("PATCH", "pulls", number, body={"state": "closed"})

    async def approve(self, number: int, head_sha: str, body: str) -> None:
        await at_head(self, number, head_sha)
        own = await self._repository.own()
        given = {(approval.account.id, approval.head_sha) for approval in await self.approvals(number)}
        if (own.id, head_sha) not in given:
            review = {"event": "APPROVE", "body": body, "commit_id": head_sha}
            await self._repository.send("POST", "pulls", number, "reviews", body=review)

    async def approvals(self, number: int) -> tuple[Approval, ...]:
        return approvals(await self._repository.pages("pulls", number, "reviews"), await self._repository.own_id())

    def read_event(self, headers: Mapping[str, str], body: bytes) -> ForgeHint | None:
        named = lower_names(headers)
        check_size(body)
        check_signature(self._webhook_secret, {_SIGNATURE: named.get(_SIGNATURE)}, body)
        if _EVENT not in named:
            raise InvalidInput("webhook: it must bear X-GitHub-Event")
        return event_hint(named[_EVENT], read_body(body), str(self._repository.path))

    async def ensure_webhook(self, url: str, *, renew: bool = False) -> None:
        await self._setup.ensure_webhook(url, renew=renew)

    async def protect_branch(self, contexts: Sequence[str]) -> None:
        await self._setup.protect_branch(contexts)

    async def _merge_otherwise(self, number: int, head_sha: str, refused: ForgeRefused) -> None:
        """GitHub says 405 for a queue that merges instead, for a check that is not done, and for a real no."""
        said = str(refused).lower()
        if "merge queue" in said:
            await self._enqueue(number, head_sha)
        elif "try the merge again" in said or "try again" in said:
            raise ForgeUnavailable(str(refused), retry_after_s=2.0, code=405) from None
        else:
            raise refused

    async def _enqueue(self, number: int, head_sha: str) -> None:
        """Only GraphQL can; its errors come with 200."""
        raw = self._repository.read(await self._repository.get("pulls", number))
        variables = {"pull": raw["node_id"].text(), "head": head_sha}
        body = {"query": _ENQUEUE, "variables": variables}
        answer = self._repository.read(await self._repository.http.send("POST", "graphql", body=body))
        told = [error["message"].text_or("") for error in answer["errors"]] if answer["errors"].present else []
        if told and not any("already" in one.lower() for one in told):
            raise ForgeRefused(f"the merge queue does not take pull request {number}: {'; '.join(told)}"[:1_000])

    async def _open_of(self, head: str) -> PullRequest | None:
        query = {"state": "open", "base": self._branch, "head": f"{self._repository.path.owner}:{head}"}
        answers = await self._repository.answers("pulls", query=query)
        pulls = [await self._repository.pull(raw, one) for one in answers for raw in self._repository.read(one)]
        return next((p for p in pulls if p.head == head and p.base == self._branch and not p.fork), None)

    async def _merge_method(self) -> str:
        """The first that the repository allows; told only to who may push."""
        raw: Json = self._repository.read(await self._repository.get())
        allowed = [method for method, key in _MERGE_METHODS.items() if raw[key].flag()]
        return allowed[0] if allowed else "merge"
