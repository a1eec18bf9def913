"""Webhook and branch protection at GitHub."""

from __future__ import annotations

from collections.abc import Sequence

from controller.forges.github_repository import GitHubRepository
from controller.forges.set_up import secret_for_webhook

HOOK_EVENTS = ("push", "pull_request", "pull_request_review", "pull_request_review_comment", "issue_comment")


class GitHubSetup:
    """Of one repository; needs the permissions Webhooks: write and Administration: write, which nothing else does."""

    def __init__(self, repository: GitHubRepository, branch: str, webhook_secret: str) -> None:
        self._repository = repository
        self._branch = branch
        self._webhook_secret = webhook_secret

    async def ensure_webhook(self, url: str, *, renew: bool = False) -> None:
        """GitHub takes a new secret for a webhook that is there: it is always written."""
        secret = secret_for_webhook(self._webhook_secret)
        listed = await self._repository.pages("hooks")
        there = [hook for hook in listed if hook["config"].object()["url"].text_or("") == url]
        config = {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}
        hook = {"active": True, "events": list(HOOK_EVENTS), "config": config}
        keep = there[:1] if not renew else []
        if keep:
            await self._repository.send("PATCH", "hooks", keep[0]["id"].number(), body=hook)
        else:
            await self._repository.send("POST", "hooks", body={**hook, "name": "web"})
        for old in there[len(keep) :]:
            await self._repository.send("DELETE", "hooks", old["id"].number())

    async def protect_branch(self, contexts: Sequence[str]) -> None:
        path = ("branches", self._branch, "protection")
        there = await self._repository.find(*path)
        wanted = {"strict": False, "contexts": list(contexts)}
        if there is None:
            rules = {"enforce_admins": None, "required_pull_request_reviews": None, "restrictions": None}
            await self._repository.send("PUT", *path, body={"required_status_checks": wanted, **rules})
        elif self._repository.read(there)["required_status_checks"].present:
            await self._repository.send(
                "POST", *path, "required_status_checks", "contexts", body={"contexts": list(contexts)}
            )
        else:
            await self._repository.send("PATCH", *path, "required_status_checks", body=wanted)
