"""Commit statuses at Gitea."""

from __future__ import annotations

from controller.forges.forge import ForgeRefused, ForgeUnavailable, Status
from controller.forges.gitea_repository import GiteaRepository
from controller.forges.json_reader import Json


class GiteaStatuses:
    """The statuses of one repository's commits; a `StatusApi`."""

    def __init__(self, repository: GiteaRepository) -> None:
        self._repository = repository

    async def post(self, sha: str, status: Status) -> None:
        wanted = {"context": status.context, "state": status.state.value, "description": status.description}
        try:
            await self._repository.send("POST", "statuses", sha, body={**wanted, "target_url": status.url or ""})
        except ForgeUnavailable as unavailable:
            # Gitea answers 500 for a commit that a force-push took away; that will never mend.
            if unavailable.code == 500 and await self._repository.find("git", "commits", sha) is None:
                raise ForgeRefused(f"commit {sha[:12]} is gone", code=404) from None
            raise

    async def shows(self, sha: str, status: Status) -> bool:
        listed = await self._repository.pages("commits", sha, "statuses", query={"sort": "recentupdate"}, whole=False)
        same = [raw for raw in listed if raw["context"].text() == status.context]
        newest = max(same, key=lambda raw: raw["id"].number(), default=None)
        wanted = (status.state.value, status.description, status.url or "")
        return newest is not None and _shown_as(newest) == wanted


def _shown_as(raw: Json) -> tuple[str, str, str]:
    return raw["status"].text(), raw["description"].text(), raw["target_url"].text_or("")
