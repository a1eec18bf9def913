"""What the killed processes were doing: how the estate got there, and what each process then does until all is calm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from controller.plan.resource import ObjectKey
from controller.runtime.run import RunWord
from engines.simulation import tamper as by_hand
from engines.simulation.world import World
from tests.controller.runtime.estate import (
    DB,
    WEB,
    WEB_2,
    WEB_BROKEN,
    Estate,
    Repo,
    blueprint,
    estate,
    git,
)

SHOP = "prod/shop.yaml"
NOTHING = "name: shop\nprovider: simulation\nresources: []\n"
_NET = "{name: net, type: network, specs: {}}"
_DB = '{name: db, type: database, dependencies: [net], specs: {image: "pg:15", storage: 10GB, memory: 1GB, cpu: 1}}'
_APP = (
    "{name: app, type: container, dependencies: [db], "
    'specs: {image: "app:1.0", memory: 256MB, cpu: 1, env: {DB: "${resources.db.outputs.address}"}}}'
)
_WEB = '{name: web, type: container, dependencies: [app], specs: {image: "web:1.0", ports: ["8080:80"], cpu: 1}}'
CHAIN = blueprint(_NET, _DB, _APP, _WEB)
CHAIN_2 = blueprint(_NET, _DB, _APP.replace("app:1.0", "app:2.0"), _WEB.replace("web:1.0", "web:2.0"))
CHAIN_3 = blueprint(_NET, _DB, _APP.replace("app:1.0", "app:3.0"), _WEB.replace("web:1.0", "web:2.0"))
CHAIN_BROKEN = CHAIN_3.replace('"web:2.0"', '"web:3.0", simulate: {health: never}')
SECRETS = {"APP_PASSWORD": "hunter2-canary"}
_SECRET = 'env: {PASSWORD: {secret: "env:APP_PASSWORD"}}, cpu: 1'
OURS, OURS_2, OURS_BROKEN = (w.replace("cpu: 1", _SECRET) for w in (WEB, WEB_2, WEB_BROKEN))

BETWEEN_WAVES = "after SimulationEngine.check"

Act = Callable[[Estate], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """`before` leaves repository and state as the first process finds them; every process then does `act`."""

    name: str
    before: Callable[[Repo, Path], None]
    act: Act
    cut_short: str = ""  # `before` ends with a process that dies at the first boundary of this name
    pushed_meanwhile: tuple[str, ...] = ()  # text of SHOP that was pushed while nobody was there


async def until_calm(home: Estate) -> None:
    await home.settle(120)


async def confirm_what_waits(home: Estate) -> None:
    """A person who sees a run waiting confirms it; one who is not sure of the answer looks again."""
    await home.settle()
    for run in await home.runs():
        if run.word is RunWord.WAITING and not run.confirmed:
            await home.ask("confirm", run=run.run)
    await home.settle(120)


def serve(repo: Repo, state: Path, act: Act = until_calm) -> None:
    """One controller from start to stop."""

    async def serving() -> None:
        async with estate(repo, state, environment=SECRETS) as home:
            await act(home)

    asyncio.run(serving())


def deployed(content: str, *then: Callable[[Repo, Path], None]) -> Callable[[Repo, Path], None]:
    """`content` runs; then what happened."""

    def before(repo: Repo, state: Path) -> None:
        repo.push({SHOP: content})
        serve(repo, state)
        for happened in then:
            happened(repo, state)

    return before


def pushed(content: str, branch: str = "main") -> Callable[[Repo, Path], None]:
    def happened(repo: Repo, state: Path) -> None:
        repo.push({SHOP: content}, branch)

    return happened


def merged(content: str) -> Callable[[Repo, Path], None]:
    """A pull request was reviewed, and then merged at the remote."""

    def happened(repo: Repo, state: Path) -> None:
        repo.push({SHOP: content}, "ipr/one")
        serve(repo, state)
        git(repo.work, "push", "-q", "origin", "ipr/one:main")

    return happened


def drifted(repo: Repo, state: Path) -> None:
    """By hand: one object is gone, another one changed."""

    async def disturb() -> None:
        world = World(state / "simulation" / "sim.json")
        await by_hand.remove(world, ObjectKey("simulation/container", "prod-shop-web"))
        await by_hand.tamper(world, ObjectKey("simulation/container", "prod-shop-app"), "image", "evil:6.6")

    asyncio.run(disturb())


SCENARIOS = {
    s.name: s
    for s in (
        Scenario("create-chain", deployed(NOTHING, pushed(CHAIN)), until_calm),
        Scenario("update-and-retire", deployed(blueprint(OURS, DB), merged(blueprint(OURS_2, DB))), until_calm),
        Scenario("update-with-undo", deployed(blueprint(OURS, DB), merged(blueprint(OURS_BROKEN, DB))), until_calm),
        Scenario("self-heal", deployed(CHAIN, drifted), until_calm),
        Scenario(
            "comment-edit",
            deployed(
                blueprint(WEB), pushed(blueprint(WEB_2), "ipr/one"), serve, pushed(blueprint(OURS_2, DB), "ipr/one")
            ),
            until_calm,
        ),
        Scenario("destroy", deployed(blueprint(OURS, DB), pushed(blueprint(OURS))), confirm_what_waits),
        Scenario("superseding", deployed(CHAIN, pushed(CHAIN_2)), until_calm, BETWEEN_WAVES, (CHAIN_3,)),
        Scenario("superseding-with-undo", deployed(CHAIN, pushed(CHAIN_2)), until_calm, BETWEEN_WAVES, (CHAIN_BROKEN,)),
    )
}
