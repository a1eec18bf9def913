"""What people do, drawn from the seed: pushes, pull requests, merges, comments, hands on the target. In the end they
help until all is well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from controller.errors import AlmaError
from controller.runtime.records import RepositoryRecord, RunRecord, ScopeRecord
from controller.runtime.work_queue import Priority
from tests.controller.runtime.estate import Estate, blueprint
from tests.simulator.fate import Fate
from tests.simulator.outside import Outside

SHOP = "prod/shop.yaml"
_NET = "{name: net, type: network, specs: {}}"
_DB = '{name: db, type: database, specs: {image: "pg:15", storage: %sGB, memory: 1GB, cpu: 1}}'
_WEB = '{name: web, type: container, specs: {image: "web:%s", ports: ["8080:80"], env: {P: {secret: "env:APP_P"}}}}'
_APP = '{name: app, type: container, dependencies: [db], specs: {image: "app:%s"%s}}'
_DB_ADDRESS = ', env: {DB: "${resources.db.outputs.address}"}'
_NEVER = _WEB.replace("env:", "simulate: {health: never}, env:")
_FIRST_ACT_S, _APART_MOST_S = 5.0, 90.0
_BRANCHES = ("ipr/one", "ipr/two", "ipr/three")


def drawn(fate: Fate) -> Mapping[str, str]:
    """A blueprint that somebody might write; one in six never becomes healthy."""
    version = fate.chance.randint(1, 6)
    web = (_NEVER if fate.strikes(1 / 6) else _WEB) % version
    parts = [web, _NET] if fate.strikes(0.5) else [web]
    if fate.strikes(0.6):
        parts += [_DB % (10 * fate.chance.randint(1, 2)), _APP % (version, fate.one_of(("", _DB_ADDRESS)))]
    return {SHOP: blueprint(*parts)}


LAST = {SHOP: blueprint(_WEB % 99, _DB % 20, _APP % (99, _DB_ADDRESS))}  # what all must come to in the end


@dataclass
class Story:
    """One seed's acts, of which `done` were begun; a kill loses none and repeats none."""

    fate: Fate
    outside: Outside
    moments: list[float]
    done: int = 0

    @classmethod
    def drawn(cls, fate: Fate, outside: Outside, began_s: float) -> Story:
        at_s, moments = began_s + _FIRST_ACT_S, []
        for _ in range(fate.chance.randint(2, 5)):
            moments.append(at_s)
            at_s += fate.chance.random() ** 2 * _APART_MOST_S
        return cls(fate, outside, moments)

    async def act(self, home: Estate) -> None:
        """The next thing somebody does."""
        self.done += 1
        name, deed = self.fate.one_of(self._choices(home))
        self.fate.note(f"act {name}")
        self.fate.marks[f"act {name}"] += 1
        try:
            await deed()
        except (AlmaError, KeyError):  # refused, or the object is not there: people are wrong at times
            self.fate.marks[f"act {name} refused"] += 1
        self._tell(home)

    def _choices(self, home: Estate) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
        outside, pulls = self.outside, self.outside.open_pulls()
        choices: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("push", self._push),
            ("push", self._push),
            ("pull", self._pull),
            ("reconcile", lambda: home.ask("reconcile", scope="prod")),
        ]
        if not self.fate.marks["act pause"]:
            choices.append(("pause", lambda: home.ask("pause", scope="prod", reason="look", until="1m")))
        if pulls:
            choices += [("merge", lambda: self._merge(home))] * 4
            choices += [("push again", self._push_again), ("close", self._close), ("comment", self._comment)]
        if ours := outside.ours():
            key = self.fate.one_of(ours)
            choices += [("take away", lambda: outside.take_away(key)), ("tamper", lambda: outside.tamper(key))]
        return choices

    async def _push(self) -> None:
        self.outside.commit("main", drawn(self.fate))

    async def _pull(self) -> None:
        free = [b for b in _BRANCHES if b not in {p.head for p in self.outside.server.pulls.values()}]
        if free:
            self.outside.open_pull(free[0], drawn(self.fate))

    async def _push_again(self) -> None:
        self.outside.push_again(self.fate.one_of(self.outside.open_pulls()), drawn(self.fate))

    async def _merge(self, home: Estate) -> None:
        number = self.fate.one_of(self.outside.open_pulls())
        known = await home.controller.install.records.get(RepositoryRecord, "infra")
        # What was merged before the forge first told of its pull requests is left alone.
        if self.outside.merge(number) and known is not None and known.told_at is not None:
            self.outside.to_report.add(number)

    async def _close(self) -> None:
        self.outside.close(self.fate.one_of(self.outside.open_pulls()))

    async def _comment(self) -> None:
        verb = self.fate.one_of(("plan", "status", "cancel", "help", "retry prod"))
        self.outside.say(self.fate.one_of(self.outside.open_pulls()), f"/alma {verb}")

    def _tell(self, home: Estate) -> None:
        """Webhooks: lost, late, or more than once; polling alone must do (I21)."""
        keys = ["repo:infra", *(f"ipr:infra/{n}" for n in self.outside.server.pulls)]
        for _ in range(self.fate.one_of((0, 1, 1, 2, 3))):
            home.controller.queue.add(self.fate.one_of(keys), Priority.WEBHOOK, self.fate.chance.random() * 20)

    # --- afterwards ---

    async def help_out(self, home: Estate) -> None:
        """What a person does who wants it to go on: confirms, unlocks, ends pauses."""
        records = home.controller.install.records
        scope = await records.get(ScopeRecord, "prod")
        if scope is None:
            return
        try:
            if scope.parked:
                self.fate.marks["helped unlock"] += 1
                await home.ask("unlock", run=scope.parked)
            if scope.pause or scope.pin:
                await home.ask("resume", scope="prod")
            run = await records.get(RunRecord, scope.waiting) if scope.waiting else None
            if run and not run.confirmed:
                self.fate.marks["helped confirm"] += 1
                await home.ask("confirm", run=run.run)
        except AlmaError as refused:
            self.fate.note(f"refused: {refused}")
