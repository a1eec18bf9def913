"""What an account may do at Gitea, asked when it matters (I3): no answer means no."""

from __future__ import annotations

from dataclasses import dataclass

from controller.forges.forge import Account, ForgeRefused, Permission, Standing
from controller.forges.gitea_payload import permission
from controller.forges.gitea_repository import GiteaRepository
from controller.forges.json_reader import Json

_NO_TEAMS = frozenset({403, 404, 405})  # not an organization, or teams we may not read: fewer rights, never more


@dataclass(frozen=True, slots=True)
class _Team:
    """A team with access to the repository; `name` as `org/team`."""

    id: int
    name: str
    owners: bool


class GiteaStanding:
    """Permissions and teams of one repository."""

    def __init__(self, repository: GiteaRepository) -> None:
        self._repository = repository

    async def of(self, who: Account) -> Standing:
        """By account id: a login that has passed to another person gives that person's rights to nobody."""
        for login in (who.login, await self._login_now(who)):
            found = await self._permission(who, login) if login else None
            if found is not None:
                teams = frozenset[str]() if found is Permission.NONE else await self._teams(who, login)
                return Standing(found, teams)
        raise ForgeRefused(f"the forge knows no account with id {who.id} any more")

    async def _permission(self, who: Account, login: str) -> Permission | None:
        answer = await self._repository.find("collaborators", login, "permission")
        if answer is None:
            return None
        raw = self._repository.read(answer)
        if not _is(who, raw["user"]):
            return None
        return Permission.NONE if raw["user"]["prohibit_login"].flag() else permission(raw)

    async def _login_now(self, who: Account) -> str:
        """The login of an account id: people rename themselves."""
        if not who.id.isdecimal():
            return ""
        answer = await self._repository.http.get("users", "search", query={"uid": who.id, "limit": "1"})
        users = self._repository.read(answer)["data"]
        return next((user["login"].text() for user in users if _is(who, user)), "")

    async def unread_teams(self) -> tuple[str, ...]:
        """Teams with access whose members we may not see: they give nobody a role. The owners are told by their
        permission anyway."""
        return tuple([team.name for team in await self._listed() if not (team.owners or await self._is_readable(team))])

    async def _teams(self, who: Account, login: str) -> frozenset[str]:
        """Teams with access to this repository that the account is in, as `org/team`."""
        return frozenset([team.name for team in await self._listed() if await self._is_member(who, login, team)])

    async def _listed(self) -> tuple[_Team, ...]:
        try:
            listed = self._repository.read(await self._repository.get("teams"))
        except ForgeRefused as refused:
            if refused.code in _NO_TEAMS:
                return ()
            raise
        owner = self._repository.path.owner
        return tuple(
            _Team(team["id"].number(), f"{owner}/{team['name'].text()}", team["permission"].text_or("") == "owner")
            for team in listed
        )

    async def _is_readable(self, team: _Team) -> bool:
        try:
            await self._repository.http.get("teams", team.id)
        except ForgeRefused as refused:
            if refused.code in _NO_TEAMS:
                return False
            raise
        return True

    async def _is_member(self, who: Account, login: str, team: _Team) -> bool:
        try:
            answer = await self._repository.http.get("teams", team.id, "members", login)
        except ForgeRefused as refused:
            if refused.code in _NO_TEAMS:
                return False
            raise
        return _is(who, self._repository.read(answer))


def _is(who: Account, user: Json) -> bool:
    return str(user.object()["id"].integer()) == who.id
