"""One repository's corner of the GitHub API: its paths, who we are there, and its answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Protocol

from controller.forges.address import RepositoryPath
from controller.forges.forge import Account, PullRequest
from controller.forges.github_payload import age_s, pull_request
from controller.forges.http import Answer, ForgeHttp
from controller.forges.json_reader import Json

_FRESH_S = 2.0


class Identity(Protocol):
    """How to find out whose credential it is."""

    async def ask(self, repository: GitHubRepository) -> Account: ...


class Installation(Protocol):
    """Of an App; None for a token."""

    async def permissions(self) -> Mapping[str, str]: ...

    async def close(self) -> None: ...


class GitHubRepository:
    """Requests below `/repos/OWNER/NAME`. `root` is what stands before it: nothing at api.github.com, `v3` at an
    Enterprise Server."""

    def __init__(
        self,
        http: ForgeHttp,
        path: RepositoryPath,
        identity: Identity,
        root: tuple[str, ...] = (),
        installation: Installation | None = None,
    ) -> None:
        self.http = http
        self.path = path
        self.installation = installation
        self._root = root
        self._identity = identity
        self._own: Account | None = None
        self._asking = asyncio.Lock()
        self._looks = itertools.count()

    async def close(self) -> None:
        await self.http.close()
        if self.installation is not None:
            await self.installation.close()

    async def own(self) -> Account:
        """Our account; a credential belongs to one for good, so it is asked once."""
        async with self._asking:
            if self._own is None:
                self._own = await self._identity.ask(self)
            return self._own

    async def own_id(self) -> int:
        return int((await self.own()).id)

    async def get(self, *segments: str | int, query: Mapping[str, str] | None = None) -> Answer:
        return await self.http.get(*self._at(segments), query=query)

    async def find(self, *segments: str | int) -> Answer | None:
        return await self.http.find(*self._at(segments))

    async def send(self, method: str, *segments: str | int, body: object = None) -> Answer:
        return await self.http.send(method, *self._at(segments), body=body)

    async def pages(self, *segments: str | int, query: Mapping[str, str] | None = None) -> tuple[Json, ...]:
        return await self.http.pages(*self._at(segments), query=query)

    def outside(self, *segments: str | int) -> tuple[str | int, ...]:
        """A path beside the repositories, for `http`."""
        return (*self._root, *segments)

    def read(self, answer: Answer) -> Json:
        return self.http.read(answer)

    async def answers(self, *segments: str | int, query: Mapping[str, str] | None = None) -> tuple[Answer, ...]:
        return await self.http.answers(*self._at(segments), query=query)

    async def pull(self, raw: Json, answer: Answer) -> PullRequest:
        """A pull request of `answer`. Stamps have whole seconds: what changed in the second of the answer may change in
        it once more, unseen. Such a stamp is made equal to no other, so that one more look follows."""
        settled = age_s(raw["updated_at"], answer.headers.get("date", "")) > _FRESH_S
        comments = raw["comments"].integer() if raw["comments"].present else ""  # told by number only
        return pull_request(raw, await self.own_id(), "" if settled else f"~{next(self._looks)}/{comments}")

    def _at(self, segments: tuple[str | int, ...]) -> tuple[str | int, ...]:
        return self.outside("repos", self.path.owner, self.path.name, *segments)
