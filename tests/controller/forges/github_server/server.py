"""The server: who is let in, entity tags, its limits, lists that are behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from controller.forges.forge import ForgeBinding
from controller.forges.github import GitHubForge
from tests.controller.forges.api import NotFound, conditional, dispatched
from tests.controller.forges.fake_forge import SECRET, TOKEN, VirtualClock
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.github_server.app import APP_ROUTES, AppRegistration
from tests.controller.forges.github_server.check_routes import CHECK_ROUTES
from tests.controller.forges.github_server.refusals import refusal
from tests.controller.forges.github_server.routes import ROUTES
from tests.controller.forges.github_server.setup_routes import SETUP_ROUTES

_WRITES_A_MINUTE = 80
_WRITES = frozenset({"POST", "PATCH", "PUT", "DELETE"})


class GitHubServer(FakeRepository):
    """One repository at an Enterprise Server; the paths are those of github.com below `/api/v3`."""

    prefix = "/api/"

    def __init__(self, clock: VirtualClock | None = None, full_name: str = "ops/infra") -> None:
        super().__init__(clock, full_name)
        self.page_size = 100
        self.comment_chars_max = 65_536
        self.methods = {"merge", "squash", "rebase"}
        self.merge_queue = False
        self.queued: list[int] = []
        self.deleted_forks: set[int] = set()
        self.unread_teams: set[str] = set()
        self.invited: set[str] = set()
        self.scopes: str | None = None  # of a classic token
        self.app: AppRegistration | None = None
        self.protection: dict[str, object] | None = None
        self.check_runs: list[dict[str, Any]] = []
        self.writes_s: list[float] = []
        self.url = f"https://git.example/api/v3/repos/{full_name}"

    def binding(self, **config: object) -> ForgeBinding:
        entry = {"kind": "github", "url": "https://git.example", "token": TOKEN, "webhook_secret": SECRET, **config}
        return ForgeBinding(
            "infra",
            f"https://git.example/{self.owner}/{self.name}.git",
            "main",
            entry,
            clock=self.clock,
            wall=self.clock.wall,
            sleep=self.clock.sleep,
            jitter=lambda: 0.5,
        )

    def forge(self, binding: ForgeBinding | None = None) -> GitHubForge:
        """A new process of ours that talks to this forge."""
        return GitHubForge.open(binding or self.binding(), transport=httpx2.MockTransport(self.handle))

    def scope_headers(self) -> dict[str, str]:
        return {} if self.scopes is None else {"X-OAuth-Scopes": self.scopes}

    def _answer(self, request: httpx2.Request, path: str, query: dict[str, list[str]]) -> httpx2.Response:
        inner = path.removeprefix("v3/")
        short = inner.replace(f"repos/{self.owner}/{self.name}", "REPO", 1)
        if not self._let_in(request.headers, short):
            return refusal(401, "Bad credentials")
        limited = self._too_fast(request.method, short)
        if limited:
            return limited
        try:
            found = dispatched(self, (*ROUTES, *APP_ROUTES, *SETUP_ROUTES, *CHECK_ROUTES), request, short, query)
        except NotFound:
            found = None
        return conditional(request, found or refusal(404, "Not Found"))

    def _let_in(self, headers: Mapping[str, str], path: str) -> bool:
        shown = headers.get("Authorization", "").removeprefix("Bearer ")
        return shown == TOKEN if self.app is None else self.app.lets_in(shown, path, self.clock.wall())

    def _too_fast(self, method: str, path: str) -> httpx2.Response | None:
        """At most 80 requests a minute that make content: docs.github.com, "Rate limits for the REST API"."""
        if method not in _WRITES or path == "graphql" or path.endswith("access_tokens"):
            return None
        minute = [at_s for at_s in self.writes_s if at_s > self.clock.now_s - 60.0]
        self.writes_s = [*minute, self.clock.now_s]
        too_fast = len(minute) >= _WRITES_A_MINUTE
        return refusal(403, "You have exceeded a secondary rate limit.") if too_fast else None
