"""One repository's corner of the Gitea API: its paths, who we are there, and its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from controller.forges.address import RepositoryPath
from controller.forges.forge import Account, ForgeRefused
from controller.forges.gitea_payload import account
from controller.forges.http import Answer, ForgeHttp
from controller.forges.json_reader import Json

SCOPES = "write:repository, write:issue, read:user and read:organization"


class GiteaRepository:
    """Requests below `/repos/OWNER/NAME`."""

    def __init__(self, http: ForgeHttp, path: RepositoryPath) -> None:
        self.http = http
        self.path = path
        self._own: Account | None = None
        self._asking = asyncio.Lock()

    async def own(self) -> Account:
        """Our account; a token belongs to one for good, so it is asked once."""
        async with self._asking:
            if self._own is None:
                self._own = await self._ask_own()
            return self._own

    async def own_id(self) -> int:
        return int((await self.own()).id)

    async def get(self, *segments: str | int) -> Answer:
        return await self.http.get(*self._at(segments))

    async def find(self, *segments: str | int) -> Answer | None:
        return await self.http.find(*self._at(segments))

    async def send(self, method: str, *segments: str | int, body: object = None) -> Answer:
        return await self.http.send(method, *self._at(segments), body=body)

    async def pages(
        self, *segments: str | int, query: Mapping[str, str] | None = None, whole: bool = True
    ) -> tuple[Json, ...]:
        return await self.http.pages(*self._at(segments), query=query, whole=whole)

    def read(self, answer: Answer) -> Json:
        return self.http.read(answer)

    async def excess(self) -> tuple[str, ...]:
        """What our token could do without, as far as it can be seen without writing: Gitea tells no token its scopes,
        but answers what they open."""
        own = self.read(await self.http.get("user"))
        found = ["the token's account is an administrator of the whole server"] if own["is_admin"].flag() else []
        for scope, path in (("notification", ("notifications",)), ("package", ("packages", own["login"].text()))):
            try:
                await self.http.get(*path, query={"limit": "1"})
            except ForgeRefused:
                continue
            found.append(f"the token has the scope {scope}, which nothing uses")
        return tuple(found)

    async def _ask_own(self) -> Account:
        try:
            raw = self.read(await self.http.get("user"))
        except ForgeRefused as refused:
            hint = refused.hint or f"make the token with the scopes {SCOPES}"
            raise ForgeRefused(str(refused), hint=hint, code=refused.code) from None
        return account(raw, own_id=raw["id"].number())

    def _at(self, segments: tuple[str | int, ...]) -> tuple[str | int, ...]:
        return ("repos", self.path.owner, self.path.name, *segments)
