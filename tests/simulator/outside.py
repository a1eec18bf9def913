"""What is not ours: the Git remote, the forge, the target, and what people do to them. Outlives every kill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pygit2

from controller.plan.resource import ObjectKey
from engines.simulation import tamper as by_hand
from engines.simulation.world import Record, World
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.runtime.clocks import START

Files = Mapping[str, str]
ADA, WILL = 2, 3  # may administrate, may write
_FOREIGN = (ObjectKey("simulation/container", "prod-shop-web-old"), ObjectKey("simulation/container", "someone-s"))


@dataclass
class Outside:
    """`now_s` is kept by the simulation. Equal calls at equal times give equal commits."""

    home: Path
    server: FakeGitea
    now_s: float = 0.0
    foreign: dict[str, Record] = field(default_factory=dict)  # as it was put there
    to_report: set[int] = field(default_factory=set)  # merged pull requests that must get their final state

    @property
    def git(self) -> pygit2.Repository:
        return pygit2.Repository(str(self.home / "git" / "remote.git"))

    @property
    def world(self) -> World:
        return World(self.home / "state" / "simulation" / "sim.json")

    @classmethod
    def begin(cls, home: Path, files: Files) -> Outside:
        """A repository with one commit, a forge that knows it, and a target on which others have objects."""
        (home / "state" / "simulation").mkdir(parents=True)
        pygit2.init_repository(str(home / "git" / "remote.git"), bare=True, initial_head="main")
        outside = cls(home, FakeGitea())
        outside.commit("main", files)
        return outside

    async def settle_others(self) -> None:
        """Objects that are not ours, one under a name like one of ours."""
        for key in _FOREIGN:
            await by_hand.place(self.world, key, {"image": "theirs:1", "memory": "1GB"})
        self.foreign = {str(k): self.world.read()["objects"][str(k)] for k in _FOREIGN}

    # --- Git and the forge ---

    def commit(self, branch: str, files: Files) -> str:
        """`files` on top of main become the head of `branch`."""
        main = self.server.branches["main"]
        parents = [main] if main in self.git else []
        index = pygit2.Index()
        if parents:
            index.read_tree(self.git[main].peel(pygit2.Tree))
        for path, text in files.items():
            index.add(pygit2.IndexEntry(path, self.git.create_blob(text.encode()), pygit2.enums.FileMode.BLOB))
        return self._arrive(branch, index.write_tree(self.git), parents, f"Change {', '.join(files)}")

    def open_pull(self, branch: str, files: Files) -> int:
        self.commit(branch, files)
        self.server.clock.now_s = self.now_s
        return self.server.add_pull(branch, WILL)

    def push_again(self, number: int, files: Files) -> None:
        pull = self.server.pulls[number]
        self.commit(pull.head, files)
        pull.updated = self.now_s

    def merge(self, number: int) -> bool:
        """Merged by a person; False where it cannot be."""
        pull, main = self.server.pulls[number], self.server.branches["main"]
        head = self.server.branches[pull.head]
        index = self.git.merge_commits(main, head)
        if index.conflicts is not None:
            return False
        tree = index.write_tree(self.git)
        pull.merge_sha = self._arrive("main", tree, [main, head], f"Merge {pull.head}")
        pull.last_sha, pull.updated = head, self.now_s
        pull.state, pull.merged, pull.merged_by = "closed", True, ADA
        return True

    def close(self, number: int) -> None:
        pull = self.server.pulls[number]
        pull.state, pull.updated = "closed", self.now_s

    def say(self, number: int, body: str) -> None:
        self.server.clock.now_s = self.now_s
        self.server.say(number, ADA, body)

    def open_pulls(self) -> list[int]:
        """Those of people: what ALMA opens itself is left to the end."""
        return [p.number for p in self.server.pulls.values() if p.state == "open" and p.user == WILL]

    def arrived(self) -> None:
        """What was pushed past the forge's own interface is known to it."""
        for branch in self.git.branches.local:
            commit = str(self.git.branches.local[branch].target)
            if self.server.branches.get(branch) != commit:
                self.server.arrived(branch, commit)

    def _arrive(self, branch: str, tree: pygit2.Oid, parents: list[str], message: str) -> str:
        moment = int(START.timestamp() + self.now_s)
        who = pygit2.Signature("Will", "will@example.org", moment, 0)
        commit = self.git.create_commit(None, who, who, message, tree, [pygit2.Oid(hex=p) for p in parents])
        self.git.references.create(f"refs/heads/{branch}", commit, force=True)
        self.server.arrived(branch, str(commit))
        return str(commit)

    # --- the target ---

    def ours(self) -> list[ObjectKey]:
        """Every object that bears our mark, in order."""
        objects = self.world.read()["objects"]
        return [ObjectKey(*key.split(":", 1)) for key in sorted(objects) if objects[key]["mark"]]

    async def take_away(self, key: ObjectKey) -> None:
        await by_hand.remove(self.world, key)

    async def tamper(self, key: ObjectKey) -> None:
        await by_hand.tamper(self.world, key, "image", "by-hand:1")
