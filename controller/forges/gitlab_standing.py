"""What an account may do at GitLab, asked when it matters (I3): no answer means no."""

from __future__ import annotations

from controller.forges.forge import Account, ForgeRefused, Permission, Standing
from controller.forges.gitlab_payload import permission
from controller.forges.gitlab_project import GitLabProject

_NO_GROUP = frozenset({403, 404})  # a group we may not read: fewer rights, never more


class GitLabStanding:
    """Members of one project, and of the groups that it belongs to or is shared with."""

    def __init__(self, project: GitLabProject) -> None:
        self._project = project

    async def of(self, who: Account) -> Standing:
        """Members are asked by id: a name that has passed to another person gives nobody anything."""
        if not who.id.isdecimal():
            raise ForgeRefused("an account of GitLab has a number")
        answer = await self._project.find("members", "all", who.id)
        if answer is None:
            return Standing(Permission.NONE)
        raw = self._project.read(answer)
        if str(raw["id"].number()) != who.id:
            raise raw["id"].wrong("is of another account")
        found = permission(raw)
        return Standing(found, frozenset[str]() if found is Permission.NONE else await self._groups(who))

    async def _groups(self, who: Account) -> frozenset[str]:
        """Full paths of the groups with access that the account is in."""
        return frozenset([path for number, path in await self._listed() if await self._is_member(who, number)])

    async def _listed(self) -> tuple[tuple[int, str], ...]:
        raw = self._project.read(await self._project.get())
        own = raw["namespace"].object()
        mine = [(own["id"].number(), own["full_path"].text())] if own["kind"].text() == "group" else []
        shared = raw["shared_with_groups"]
        given = [(g["group_id"].number(), g["group_full_path"].text()) for g in shared] if shared.present else []
        return (*mine, *given)

    async def _is_member(self, who: Account, group: int) -> bool:
        try:
            answer = await self._project.http.get("groups", group, "members", "all", who.id)
        except ForgeRefused as refused:
            if refused.code in _NO_GROUP:
                return False
            raise
        raw = self._project.read(answer)
        return str(raw["id"].number()) == who.id and permission(raw) is not Permission.NONE
