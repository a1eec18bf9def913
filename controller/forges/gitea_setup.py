"""Webhook and branch protection at Gitea."""

from __future__ import annotations

from collections.abc import Sequence

from controller.forges.gitea_repository import GiteaRepository
from controller.forges.json_reader import Json
from controller.forges.set_up import secret_for_webhook

# Everything a pull request can tell, but not its labels, milestones and assignees.
HOOK_EVENTS = ("push", "pull_request_only", "pull_request_sync", "pull_request_comment", "pull_request_review")


class GiteaSetup:
    """Of one repository; needs an account with the right Administrator."""

    def __init__(self, repository: GiteaRepository, branch: str, webhook_secret: str) -> None:
        self._repository = repository
        self._branch = branch
        self._webhook_secret = webhook_secret

    async def ensure_webhook(self, url: str, *, renew: bool = False) -> None:
        """Gitea cannot change the secret of a webhook that is there: `renew` does."""
        secret = secret_for_webhook(self._webhook_secret)
        there = [hook for hook in await self._repository.pages("hooks") if _sends_to(hook, url)]
        hook = {"active": True, "events": list(HOOK_EVENTS), "branch_filter": "*"}
        keep = there[:1] if not renew else []
        if keep:
            await self._repository.send("PATCH", "hooks", keep[0]["id"].number(), body=hook)
        else:
            config = {"url": url, "content_type": "json", "secret": secret}
            await self._repository.send("POST", "hooks", body={**hook, "type": "gitea", "config": config})
        for old in there[len(keep) :]:
            await self._repository.send("DELETE", "hooks", old["id"].number())

    async def protect_branch(self, contexts: Sequence[str]) -> None:
        there = await self._repository.find("branch_protections", self._branch)
        if there is None:
            rule = {"rule_name": self._branch, "enable_push": False, "enable_status_check": True}
            body = {**rule, "status_check_contexts": list(contexts)}
            await self._repository.send("POST", "branch_protections", body=body)
            return
        raw = self._repository.read(there)
        before = [one.text() for one in raw["status_check_contexts"]] if raw["status_check_contexts"].present else []
        checks = {"enable_status_check": True, "status_check_contexts": list(dict.fromkeys((*before, *contexts)))}
        await self._repository.send("PATCH", "branch_protections", self._branch, body=checks)


def _sends_to(hook: Json, url: str) -> bool:
    return hook["config"]["url"].text_or("") == url
