"""GitLab, at gitlab.com and self-managed, over its REST API v4. A pull request is a merge request there.

Nothing is remembered that decides. What only saves requests: entity tags, and the statuses this process wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import httpx2

from controller.errors import InvalidInput
from controller.forges.address import base_url, config_text, whole_path
from controller.forges.credential import FixedToken
from controller.forges.forge import (
    Account,
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
from controller.forges.gitlab_notes import GitLabNotes, GitLabStatuses
from controller.forges.gitlab_payload import approvals, event_hint, merge_request
from controller.forges.gitlab_project import GitLabProject
from controller.forges.gitlab_rights import rights_of
from controller.forges.gitlab_setup import GitLabSetup
from controller.forges.gitlab_standing import GitLabStanding
from controller.forges.gitlab_text import without_quick_actions
from controller.forges.http import PAGE_SIZE, ForgeHttp
from controller.forges.json_reader import Json
from controller.forges.one_comment import OneComment
from controller.forges.paging import Paging
from controller.forges.pulls import at_head, existing
from controller.forges.status import StatusWriter
from controller.forges.webhook import check_size, check_token, lower_names, read_body

WEB_URL = "https://gitlab.com"
_SHOWN = "x-gitlab-token"
_EVENT = "x-gitlab-event"
_CHECKING = frozenset({"unchecked", "checking", "preparing", "approvals_syncing"})


class GitLabForge:
    """One project at GitLab."""

    kind = "gitlab"

    def __init__(self, project: GitLabProject, branch: str, webhook_secret: str) -> None:
        self._project = project
        self._branch = branch
        self._webhook_secret = webhook_secret
        self._notes = GitLabNotes(project)
        self._one_comment = OneComment(self._notes)
        self._statuses = StatusWriter(GitLabStatuses(project))
        self._standing = GitLabStanding(project)
        self._setup = GitLabSetup(project, branch, webhook_secret)

    @classmethod
    def open(cls, binding: ForgeBinding, transport: httpx2.AsyncBaseTransport | None = None) -> Self:
        """Raises InvalidInput for a `forge:` entry that cannot work. Asks nothing yet."""
        token, secret = config_text(binding, "token"), config_text(binding, "webhook_secret")
        if not token:
            raise InvalidInput(f"repository {binding.repository}: forge.token is missing")
        url = base_url(binding) if config_text(binding, "url") else WEB_URL
        http = ForgeHttp(
            f"{url.removesuffix('/api/v4')}/api/v4",
            {},
            (secret,),
            binding,
            write_gap_s=0.0,
            credential=FixedToken("PRIVATE-TOKEN", token, token),
            paging=Paging("per_page", by_links=True),
            ca_file=config_text(binding, "ca"),
            transport=transport,
        )
        return cls(GitLabProject(http, whole_path(binding, url)), binding.branch, secret)

    def __repr__(self) -> str:
        return f"GitLabForge({self._project.path})"

    async def close(self) -> None:
        await self._project.http.close()

    async def about(self) -> ForgeInfo:
        own = await self._project.own()
        return ForgeInfo(own, *await rights_of(self._project))

    async def pulls(self) -> tuple[PullRequest, ...]:
        """All open ones and the last 50 each of those closed and merged, newest update first."""
        shared = {"target_branch": self._branch, "order_by": "updated_at", "sort": "desc"}
        raws = list(await self._project.pages("merge_requests", query={**shared, "state": "opened"}))
        for state in ("closed", "merged"):
            query = {**shared, "state": state, "page": "1", "per_page": str(PAGE_SIZE)}
            raws += self._project.read(await self._project.get("merge_requests", query=query))
        own_id = await self._project.own_id()
        listed = [pull for pull in [merge_request(raw, own_id) for raw in raws] if pull and pull.base == self._branch]
        found = {pull.number: pull for pull in listed}
        return tuple(sorted(found.values(), key=lambda pull: (pull.updated, pull.number), reverse=True))

    async def pull(self, number: int) -> PullRequest | None:
        answer = await self._project.find("merge_requests", number)
        return None if answer is None else merge_request(self._project.read(answer), await self._project.own_id())

    async def comments(self, number: int) -> tuple[Comment, ...]:
        return await self._notes.all(number)

    async def write_comment(self, number: int, marker: str, body: str, comment_id: str | None = None) -> str:
        return await self._one_comment.write(number, marker, without_quick_actions(body), comment_id)

    async def reply(self, number: int, marker: str, body: str, to: Comment) -> str:
        """A note of its own, once per `marker`: a thread would have to be resolved before the merge."""
        return await self._one_comment.write(number, marker, without_quick_actions(body))

    async def react(self, number: int, to: Comment, reaction: Reaction) -> None:
        await self._notes.react(number, to, reaction)

    async def write_status(self, sha: str, status: Status) -> None:
        await self._statuses.write(sha, status)

    async def standing(self, account: Account) -> Standing:
        return await self._standing.of(account)

    async def open_pull(self, head: str, title: str, body: str) -> PullRequest:
        there = await self._open_of(head)
        if there is not None:
            return there
        text = without_quick_actions(body)
        wanted = {"source_branch": head, "target_branch": self._branch, "title": title, "description": text}
        try:
            answer = await self._project.send("POST", "merge_requests", body=wanted)
        except ForgeRefused as refused:
            there = await self._open_of(head) if refused.code == 409 else None
            if there is None:
                raise
            return there
        made = merge_request(self._project.read(answer), await self._project.own_id())
        if made is None:
            raise ForgeUnavailable(f"the merge request of {head} has no commit yet", retry_after_s=2.0)
        return made

    async def merge(self, number: int, head_sha: str) -> None:
        pull = await at_head(self, number, head_sha)
        if pull.state is PullState.MERGED:
            return
        if pull.state is PullState.CLOSED:
            raise ForgeRefused(f"merge request {number} is closed")
        await self._check_mergeable(number)
        if await self._has_train():
            path = ("merge_trains", "merge_requests", number)
            await self._project.send("POST", *path, body={"sha": head_sha})
        else:
            await self._project.send("PUT", "merge_requests", number, "merge", body={"sha": head_sha})

    async def close_pull(self, number: int) -> None:
        pull = await existing(self, number)
        if pull.state is PullState.OPEN:
            await self._project.send("PUT", "merge_requests", number, body={"state_event": "close"})

    async def approve(self, number: int, head_sha: str, body: str) -> None:
        """GitLab approves without words."""
        await at_head(self, number, head_sha)
        own = await self._project.own()
        given = {(approval.account.id, approval.head_sha) for approval in await self.approvals(number)}
        if (own.id, head_sha) not in given:
            await self._project.send("POST", "merge_requests", number, "approve", body={"sha": head_sha})

    async def approvals(self, number: int) -> tuple[Approval, ...]:
        raw = self._project.read(await self._project.get("merge_requests", number, "approvals"))
        versions = await self._project.pages("merge_requests", number, "versions")
        reviewers = self._project.read(await self._project.get("merge_requests", number, "reviewers"))
        objecting = {
            one["user"].object()["id"].number() for one in reviewers if one["state"].text() == "requested_changes"
        }
        return approvals(raw, versions, objecting, await self._project.own_id())

    def read_event(self, headers: Mapping[str, str], body: bytes) -> ForgeHint | None:
        named = lower_names(headers)
        check_size(body)
        check_token(self._webhook_secret, named.get(_SHOWN))
        if _EVENT not in named:
            raise InvalidInput("webhook: it must bear X-Gitlab-Event")
        return event_hint(named[_EVENT], read_body(body), str(self._project.path))

    async def ensure_webhook(self, url: str, *, renew: bool = False) -> None:
        await self._setup.ensure_webhook(url, renew=renew)

    async def protect_branch(self, contexts: Sequence[str]) -> None:
        await self._setup.protect_branch(contexts)

    async def _check_mergeable(self, number: int) -> None:
        """GitLab finds out in the background."""
        raw = self._project.read(await self._project.get("merge_requests", number))
        if raw["detailed_merge_status"].text_or("") in _CHECKING:
            raise ForgeUnavailable(f"merge request {number} is still being checked", retry_after_s=2.0)

    async def _has_train(self) -> bool:
        raw: Json = self._project.read(await self._project.get())
        return raw["merge_trains_enabled"].flag()

    async def _open_of(self, head: str) -> PullRequest | None:
        query = {"state": "opened", "target_branch": self._branch, "source_branch": head}
        own_id = await self._project.own_id()
        found = [merge_request(raw, own_id) for raw in await self._project.pages("merge_requests", query=query)]
        return next((p for p in found if p and p.head == head and p.base == self._branch and not p.fork), None)
