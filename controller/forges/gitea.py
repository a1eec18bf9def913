"""Gitea and Forgejo, over the API they share (v1).

Nothing is remembered that decides: rights, comments and pull requests are read when they are needed. The one cache,
of statuses this process wrote, only saves requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import httpx2

from controller.errors import InvalidInput
from controller.forges.address import base_url, config_text, repository_path
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
from controller.forges.gitea_comments import GiteaComments
from controller.forges.gitea_payload import approvals, event_hint, pull_request
from controller.forges.gitea_repository import GiteaRepository
from controller.forges.gitea_setup import GiteaSetup
from controller.forges.gitea_standing import GiteaStanding
from controller.forges.gitea_statuses import GiteaStatuses
from controller.forges.http import PAGE_SIZE, ForgeHttp
from controller.forges.json_reader import Json
from controller.forges.one_comment import OneComment
from controller.forges.pulls import at_head, existing
from controller.forges.status import StatusWriter
from controller.forges.webhook import check_signature, check_size, lower_names, read_body

_SIGNATURES = ("x-gitea-signature", "x-forgejo-signature", "x-hub-signature-256")
_EVENTS = ("x-gitea-event", "x-forgejo-event")
_MERGE_STYLES = {
    "merge": "allow_merge_commits",
    "rebase": "allow_rebase",
    "rebase-merge": "allow_rebase_explicit",
    "squash": "allow_squash_merge",
    "fast-forward-only": "allow_fast_forward_only_merge",
}


class GiteaForge:
    """One repository at one Gitea or Forgejo."""

    kind = "gitea"

    def __init__(self, repository: GiteaRepository, branch: str, webhook_secret: str) -> None:
        self._repository = repository
        self._branch = branch
        self._webhook_secret = webhook_secret
        self._comments = GiteaComments(repository)
        self._one_comment = OneComment(self._comments)
        self._standing = GiteaStanding(repository)
        self._statuses = StatusWriter(GiteaStatuses(repository))
        self._setup = GiteaSetup(repository, branch, webhook_secret)

    @classmethod
    def open(cls, binding: ForgeBinding, transport: httpx2.AsyncBaseTransport | None = None) -> Self:
        """Raises InvalidInput for a `forge:` entry that cannot work. Asks nothing yet."""
        token, secret = config_text(binding, "token"), config_text(binding, "webhook_secret")
        path = repository_path(binding)
        if not token:
            raise InvalidInput(f"repository {binding.repository}: forge.token is missing")
        http = ForgeHttp(
            f"{base_url(binding)}/api/v1",
            {"Authorization": f"token {token}"},
            (token, secret),
            binding,
            write_gap_s=0.0,
            ca_file=config_text(binding, "ca"),
            transport=transport,
        )
        return cls(GiteaRepository(http, path), binding.branch, secret)

    def __repr__(self) -> str:
        return f"GiteaForge({self._repository.path})"

    async def close(self) -> None:
        await self._repository.http.close()

    async def about(self) -> ForgeInfo:
        """Our account and rights; each that is missing with the click that gives it."""
        own = await self._repository.own()
        rights = self._repository.read(await self._repository.get())["permissions"].object()
        has = {name: rights[name].flag() for name in ("pull", "push", "admin")}
        who = f"add {own.login} under Settings → Collaborators of {self._repository.path} with the right"
        lacking = {
            "pull": f"read: {who} Read",
            "push": f"write statuses and merge: {who} Write",
            "admin": f"look up what others may do, and keep the webhook: {who} Administrator",
        }
        missing = [lacking[name] for name in has if not has[name]]
        unread = [f"see who is in team {team}: add {own.login} to it" for team in await self._standing.unread_teams()]
        granted = tuple(name for name in has if has[name])
        return ForgeInfo(own, granted, (*missing, *unread), await self._repository.excess())

    async def pulls(self) -> tuple[PullRequest, ...]:
        """All open ones and the last 50 others, newest update first."""
        shared = {"sort": "recentupdate", "base_branch": self._branch}
        opened = await self._repository.pages("pulls", query={**shared, "state": "open"}, whole=False)
        closed_query = {**shared, "state": "closed", "page": "1", "limit": str(PAGE_SIZE)}
        path = self._repository.path
        answer = await self._repository.http.get("repos", path.owner, path.name, "pulls", query=closed_query)
        raws = (*opened, *self._repository.read(answer))
        found = {pull.number: pull for pull in [await self._pull(raw) for raw in raws] if pull.base == self._branch}
        return tuple(sorted(found.values(), key=lambda pull: (pull.updated, pull.number), reverse=True))

    async def pull(self, number: int) -> PullRequest | None:
        answer = await self._repository.find("pulls", number)
        return None if answer is None else await self._pull(self._repository.read(answer))

    async def comments(self, number: int) -> tuple[Comment, ...]:
        return await self._comments.all(number)

    async def write_comment(self, number: int, marker: str, body: str, comment_id: str | None = None) -> str:
        return await self._one_comment.write(number, marker, body, comment_id)

    async def reply(self, number: int, marker: str, body: str, to: Comment) -> str:
        """Gitea has no threads: an answer is a comment of its own, once per `marker`."""
        return await self._one_comment.write(number, marker, body)

    async def react(self, number: int, to: Comment, reaction: Reaction) -> None:
        await self._comments.react(to, reaction)

    async def write_status(self, sha: str, status: Status) -> None:
        await self._statuses.write(sha, status)

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
            there = await self._open_of(head) if refused.code == 409 else None
            if there is None:
                raise
            return there
        return await self._pull(self._repository.read(answer))

    async def merge(self, number: int, head_sha: str) -> None:
        pull = await at_head(self, number, head_sha)
        if pull.state is PullState.MERGED:
            return
        if pull.state is PullState.CLOSED:
            raise ForgeRefused(f"pull request {number} is closed")
        wanted = {"Do": await self._merge_style(), "head_commit_id": head_sha}
        try:
            await self._repository.send("POST", "pulls", number, "merge", body=wanted)
        except ForgeRefused as refused:
            # Gitea checks for conflicts in the background after each push.
            if refused.code == 405 and "try again later" in str(refused).lower():
                raise ForgeUnavailable(str(refused), retry_after_s=2.0, code=405) from None
            raise

    async def close_pull(self, number: int) -> None:
        pull = await existing(self, number)
        if pull.state is PullState.OPEN:
            await self._repository.send("PATCH", "pulls", number, body={"state": "closed"})

    async def approve(self, number: int, head_sha: str, body: str) -> None:
        await at_head(self, number, head_sha)
        own = await self._repository.own()
        given = {(approval.account.id, approval.head_sha) for approval in await self.approvals(number)}
        if (own.id, head_sha) not in given:
            review = {"event": "APPROVED", "body": body, "commit_id": head_sha}
            await self._repository.send("POST", "pulls", number, "reviews", body=review)

    async def approvals(self, number: int) -> tuple[Approval, ...]:
        return approvals(await self._repository.pages("pulls", number, "reviews"), await self._repository.own_id())

    def read_event(self, headers: Mapping[str, str], body: bytes) -> ForgeHint | None:
        named = lower_names(headers)
        check_size(body)
        check_signature(self._webhook_secret, {name: named.get(name) for name in _SIGNATURES}, body)
        events = {named[name] for name in _EVENTS if name in named}
        if len(events) != 1:
            raise InvalidInput("webhook: it must bear X-Gitea-Event or X-Forgejo-Event, and they must agree")
        return event_hint(events.pop(), read_body(body), str(self._repository.path))

    async def ensure_webhook(self, url: str, *, renew: bool = False) -> None:
        await self._setup.ensure_webhook(url, renew=renew)

    async def protect_branch(self, contexts: Sequence[str]) -> None:
        await self._setup.protect_branch(contexts)

    async def _pull(self, raw: Json) -> PullRequest:
        return pull_request(raw, await self._repository.own_id())

    async def _open_of(self, head: str) -> PullRequest | None:
        query = {"state": "open", "base_branch": self._branch}
        raws = await self._repository.pages("pulls", query=query, whole=False)
        pulls = [await self._pull(raw) for raw in raws]
        return next((p for p in pulls if p.head == head and p.base == self._branch and not p.fork), None)

    async def _merge_style(self) -> str:
        """The repository's own default where it is allowed, else the first that is."""
        raw = self._repository.read(await self._repository.get())
        wanted = raw["default_merge_style"].text_or("merge")
        allowed = [style for style, key in _MERGE_STYLES.items() if raw[key].flag()]
        return wanted if wanted in allowed or not allowed else allowed[0]
