"""What an account may do at GitHub, asked when it matters (I3): no answer means no."""

from __future__ import annotations

from controller.forges.forge import Account, ForgeRefused, Permission, Standing
from controller.forges.github_payload import permission
from controller.forges.github_repository import GitHubRepository
from controller.forges.json_reader import Json

_NO_TEAMS = frozenset({403, 404})  # not an organization, or teams we may not read: fewer rights, never more


class GitHubStanding:
    """Permissions and teams of one repository."""

    def __init__(self, repository: GitHubRepository) -> None:
        self._repository = repository

    async def of(self, who: Account) -> Standing:
        """By account id: a login that has passed to another person gives that person's rights to nobody."""
        for login in (who.login, await self._login_now(who)):
            found = await self._permission(who, login) if login else None
            if found is not None:
                teams = frozenset[str]() if found is Permission.NONE else await self._teams(login)
                return Standing(found, teams)
        raise ForgeRefused(f"the forge knows no account with id {who.id} any more")

    async def unread_teams(self) -> tuple[str, ...]:
        """Teams with access whose members we may not see: they give nobody a role."""
        return tuple([name for name in await self._listed() if not await self._is_readable(name)])

    async def _permission(self, who: Account, login: str) -> Permission | None:
        answer = await self._repository.find("collaborators", login, "permission")
        if answer is None:
            return None
        raw = self._repository.read(answer)
        return permission(raw) if raw["user"].present and _is(who, raw["user"]) else None

    async def _login_now(self, who: Account) -> str:
        """The login of an account id: people rename themselves."""
        if not who.id.isdecimal():
            return ""
        answer = await self._repository.http.find(*self._repository.outside("user", who.id))
        if answer is None:
            return ""
        user = self._repository.read(answer)
        return user["login"].text() if _is(who, user) else ""

    async def _teams(self, login: str) -> frozenset[str]:
        """Teams with access to this repository that the account is in, as `org/team`."""
        owner = self._repository.path.owner
        return frozenset([f"{owner}/{name}" for name in await self._listed() if await self._is_member(login, name)])

    async def _listed(self) -> tuple[str, ...]:
        try:
            return tuple(team["slug"].text() for team in await self._repository.pages("teams"))
        except ForgeRefused as refused:
            if refused.code in _NO_TEAMS:
                return ()
            raise

    async def _is_readable(self, team: str) -> bool:
        return await self._asked(team, "members", query={"per_page": "1"}) is not None

    async def _is_member(self, login: str, team: str) -> bool:
        raw = await self._asked(team, "memberships", login)
        return raw is not None and raw["state"].text() == "active"

    async def _asked(self, team: str, *more: str, query: dict[str, str] | None = None) -> Json | None:
        path = self._repository.outside("orgs", self._repository.path.owner, "teams", team, *more)
        try:
            answer = await self._repository.http.get(*path, query=query)
        except ForgeRefused as refused:
            if refused.code in _NO_TEAMS:
                return None
            raise
        return self._repository.read(answer)


def _is(who: Account, user: Json) -> bool:
    return str(user.object()["id"].number()) == who.id
