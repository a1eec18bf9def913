"""The server: who is let in, entity tags, lists that are behind."""

from __future__ import annotations

import httpx2

from controller.forges.forge import ForgeBinding
from controller.forges.gitlab import GitLabForge
from tests.controller.forges.api import NotFound, conditional, dispatched
from tests.controller.forges.fake_forge import SECRET, TOKEN, VirtualClock
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.gitlab_server.routes import ROUTES, refusal
from tests.controller.forges.gitlab_server.setup_routes import SETUP_ROUTES


class GitLabServer(FakeRepository):
    """One project at a self-managed GitLab."""

    prefix = "/api/v4/"

    def __init__(self, clock: VirtualClock | None = None, full_name: str = "ops/infra") -> None:
        super().__init__(clock, full_name)
        self.comment_chars_max = 1_000_000
        self.acted: list[str] = []  # quick actions that came out of our text
        self.system_notes: set[int] = set()
        self.member_states: dict[int, str] = {}
        self.objecting: dict[int, set[int]] = {}  # merge request → who asked for changes
        self.scopes = ["api"]
        self.train: list[int] | None = None
        self.pipelines_must_succeed = False
        self.protected: dict[str, dict[str, object]] = {}
        self.url = f"https://git.example/api/v4/projects/{self.owner}%2F{self.name}"

    def binding(self, **config: object) -> ForgeBinding:
        entry = {"kind": "gitlab", "url": "https://git.example", "token": TOKEN, "webhook_secret": SECRET, **config}
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

    def forge(self, binding: ForgeBinding | None = None) -> GitLabForge:
        """A new process of ours that talks to this forge."""
        return GitLabForge.open(binding or self.binding(), transport=httpx2.MockTransport(self.handle))

    def _answer(self, request: httpx2.Request, path: str, query: dict[str, list[str]]) -> httpx2.Response:
        if request.headers.get("PRIVATE-TOKEN") != TOKEN:
            return refusal(401, "401 Unauthorized")
        short = path.replace(f"projects/{self.owner}%2F{self.name}", "PROJECT", 1)
        try:
            found = dispatched(self, (*ROUTES, *SETUP_ROUTES), request, short, query)
        except NotFound:
            found = None
        return conditional(request, found or refusal(404, "404 Not Found"))
