"""Webhook and branch protection at GitLab."""

from __future__ import annotations

from collections.abc import Sequence

from controller.forges.gitlab_project import GitLabProject
from controller.forges.set_up import secret_for_webhook

_EVENTS = ("push_events", "merge_requests_events", "note_events", "confidential_note_events")
_NOBODY, _MAINTAINERS = 0, 40


class GitLabSetup:
    """Of one project; needs the role Maintainer, which nothing else does."""

    def __init__(self, project: GitLabProject, branch: str, webhook_secret: str) -> None:
        self._project = project
        self._branch = branch
        self._webhook_secret = webhook_secret

    async def ensure_webhook(self, url: str, *, renew: bool = False) -> None:
        """GitLab takes a new secret for a webhook that is there: it is always written."""
        secret = secret_for_webhook(self._webhook_secret)
        there = [hook for hook in await self._project.pages("hooks") if hook["url"].text() == url]
        hook = {"url": url, "token": secret, "enable_ssl_verification": True, **dict.fromkeys(_EVENTS, True)}
        keep = there[:1] if not renew else []
        if keep:
            await self._project.send("PUT", "hooks", keep[0]["id"].number(), body=hook)
        else:
            await self._project.send("POST", "hooks", body=hook)
        for old in there[len(keep) :]:
            await self._project.send("DELETE", "hooks", old["id"].number())

    async def protect_branch(self, contexts: Sequence[str]) -> None:
        """GitLab cannot require statuses by name in every edition: a pipeline must be well, and ours are a part of
        it."""
        if await self._project.find("protected_branches", self._branch) is None:
            levels = {"push_access_level": _NOBODY, "merge_access_level": _MAINTAINERS}
            await self._project.send("POST", "protected_branches", body={"name": self._branch, **levels})
        await self._project.send("PUT", body={"only_allow_merge_if_pipeline_succeeds": True})
