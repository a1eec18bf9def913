"""The state of one repository at a forge in memory, and what people and Git do there past the API."""

from __future__ import annotations

import hashlib
import itertools
from abc import abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from controller.forges.forge import Forge, ForgeBinding
from tests.controller.forges.fake_forge import WALL_0, FakeForge, VirtualClock


@dataclass
class FakeComment:
    id: int
    pull: int
    user: int
    body: str
    created: float
    updated: float
    reactions: set[tuple[int, str]] = field(default_factory=set)


@dataclass
class FakeReview:
    id: int
    user: int
    state: str  # as the forge calls it
    sha: str
    body: str
    at_s: float
    dismissed: bool = False


@dataclass
class FakePull:
    number: int
    title: str
    body: str
    user: int
    base: str
    head: str
    state: str = "open"
    merged: bool = False
    merge_sha: str | None = None
    merged_by: int | None = None
    updated: float = 0.0
    fork: bool = False
    draft: bool = False
    last_sha: str = ""  # of its head, for when the branch is gone
    reviews: list[FakeReview] = field(default_factory=list)


class FakeRepository(FakeForge):
    """Users: 1 alma (the bot, admin), 2 ada (admin), 3 will (write), 4 rita (read), 5 stan (none)."""

    def __init__(self, clock: VirtualClock | None = None, full_name: str = "ops/infra") -> None:
        super().__init__(clock)
        self.owner, self.name = full_name.split("/")
        self.users = {1: "alma", 2: "ada", 3: "will", 4: "rita", 5: "stan"}
        self.permissions = {1: "admin", 2: "admin", 3: "write", 4: "read", 5: "none"}
        self.teams: dict[int, tuple[str, set[int]]] = {7: ("ops", {2, 3}), 8: ("guests", {4})}
        self.organization = True
        self.branches = {"main": self._sha()}
        self.commits = set(self.branches.values())
        self.pulls: dict[int, FakePull] = {}
        self.comments: dict[int, FakeComment] = {}
        self.statuses: list[dict[str, Any]] = []
        self.hooks: dict[int, dict[str, Any]] = {}
        self.protections: dict[str, dict[str, Any]] = {}  # of branches
        self.page_size = 50
        self.comment_chars_max = 65_535
        self.checking_merge = 0  # this many merges are answered with "not yet"
        self.pushes: list[tuple[str, str, float]] = []  # branch, head, when
        self._ids = itertools.count(100)
        self._moments = itertools.count()
        self.behind = 0  # a new comment is missing from this many lists
        self._hidden: dict[int, int] = {}

    @abstractmethod
    def binding(self, **config: object) -> ForgeBinding:
        """What a forge object of ours is opened with to talk to this one."""

    @abstractmethod
    def forge(self, binding: ForgeBinding | None = None) -> Forge:
        """A new process of ours that talks to this forge."""

    def push(self, branch: str) -> str:
        sha = self._sha()
        self.arrived(branch, sha)
        return sha

    def arrived(self, branch: str, sha: str) -> None:
        """A commit was pushed and is the head of `branch` now."""
        self.branches[branch] = sha
        self.commits.add(sha)
        self.pushes.append((branch, sha, self._moment()))

    def add_pull(self, head: str, user: int = 3, title: str = "A change", body: str = "", fork: bool = False) -> int:
        if head not in self.branches:
            self.push(head)
        number = max(self.pulls, default=0) + 1
        self.pulls[number] = FakePull(
            number, title, body, user, "main", head, updated=self.clock.now_s, fork=fork, last_sha=self.branches[head]
        )
        return number

    def say(self, number: int, user: int, body: str) -> int:
        comment = FakeComment(next(self._ids), number, user, body, self.clock.now_s, self.clock.now_s)
        self.comments[comment.id] = comment
        self.pulls[number].updated = self.clock.now_s
        return comment.id

    def review(self, number: int, user: int, state: str, sha: str, body: str = "") -> FakeReview:
        review = FakeReview(next(self._ids), user, state, sha, body, self._moment())
        self.pulls[number].reviews.append(review)
        return review

    def merge(self, number: int, user: int) -> str:
        pull = self.pulls[number]
        pull.merge_sha = self.push("main")
        pull.state, pull.merged, pull.merged_by, pull.updated = "closed", True, user, self.clock.now_s
        return pull.merge_sha

    def bodies(self, number: int, user: int) -> list[str]:
        return [c.body for c in self.comments.values() if c.pull == number and c.user == user]

    def head_of(self, pull: FakePull) -> str:
        """Of a branch that is gone the last it had."""
        sha = self.branches.get(pull.head)
        if sha is not None and not pull.merged:
            pull.last_sha = sha
        return pull.last_sha

    def visible_comments(self, number: int) -> list[FakeComment]:
        """A list read from a copy that is behind."""
        shown = [c for c in self.comments.values() if c.pull == number and not self._hidden.get(c.id)]
        self._hidden = {one: left - 1 for one, left in self._hidden.items() if left > 1}
        return shown

    def hide(self, comment: FakeComment) -> None:
        if self.behind:
            self._hidden[comment.id] = self.behind

    def new_id(self) -> int:
        return next(self._ids)

    def _moment(self) -> float:
        """Now; each a millisecond after the one before, as things are in the order they happen."""
        return self.clock.now_s + next(self._moments) / 1_000

    def stamp(self, at_s: float) -> str:
        return datetime.fromtimestamp(WALL_0 + at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    _count = itertools.count()

    def _sha(self) -> str:
        return hashlib.sha1(f"commit {next(self._count)}".encode()).hexdigest()
