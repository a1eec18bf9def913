"""A small run of previewed steps on the emulated cluster, in words the tests of the engine share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.blueprint.entry import Entry
from controller.errors import Problem
from controller.plan.resource import Allow, Desired, Expanding, Snapshot
from controller.plan.step import Action, Effect, Step
from engines.engine import Ask
from engines.proxmox.engine import ProxmoxEngine
from engines.proxmox.kinds import KINDS
from tests.engines.conformance import SCOPE, entry
from tests.engines.proxmox.cluster import INSTALL, TEMPLATE, Cluster
from tests.engines.running import Done, Runner

CT = {"image": TEMPLATE, "memory": "256MB", "disk": "4GB"}
VM = {"cpu": 2, "memory": "512MB", "disk": "8GB"}
NET = {"nets": {"net0": {"bridge": "vmbr0"}}}


def lxc(name: str = "it", specs: Mapping[str, object] = CT, **more: Any) -> Entry:
    return entry(name, "lxc", specs=specs, **more)


def vm(name: str = "it", specs: Mapping[str, object] = VM, **more: Any) -> Entry:
    return entry(name, "vm", specs=specs, **more)


def expand(entries: Sequence[Entry], allow: Allow | None = None) -> tuple[list[Desired], list[Problem]]:
    """All desired objects and all problems of one blueprint."""
    names = {e.name: KINDS[e.type].key(e, SCOPE) for e in entries}
    about = Expanding(SCOPE, "pve", allow or Allow(), names)
    made = [KINDS[e.type].expand(e, about) for e in entries]
    return [d for objects, _ in made for d in objects], [p for _, problems in made for p in problems]


class Driver:
    """One engine and a runner on a cluster; each `bring` is a run of its own."""

    def __init__(self, cluster: Cluster, allow: Allow | None = None, **config: object) -> None:
        self.cluster = cluster
        self.allow = allow or Allow()
        self.engine: ProxmoxEngine = cluster.engine(**config)
        self.runner = Runner(self.engine, allow=self.allow, pause=self.pause, secrets={"env:PASSWORD": "pass-Zq9"})
        self.runs = 0

    async def pause(self) -> None:
        self.cluster.advance(11)

    async def look(self, wanted: Sequence[Desired] = (), everything: bool = False) -> Snapshot:
        claims = frozenset(c for d in wanted for c in d.claims)
        keys = frozenset(d.key for d in wanted)
        return await self.engine.observe(Ask(INSTALL, frozenset({SCOPE}), keys, claims, everything))

    async def effects(self, *entries: Entry) -> tuple[Effect, ...]:
        wanted, problems = expand(entries, self.allow)
        assert not problems, [str(p) for p in problems]
        return await self.engine.preview(wanted, await self.look(wanted), SCOPE)

    async def steps(self, *entries: Entry) -> list[Step]:
        return [s for e in await self.effects(*entries) for s in e.steps]

    async def bring(self, *entries: Entry) -> list[Done]:
        """Plan and carry out."""
        effects = await self.effects(*entries)
        self.runs += 1
        self.runner.run = f"run{self.runs}"
        return await self.runner.apply(effects)

    async def settled(self, *entries: Entry) -> bool:
        """True if nothing is left to do."""
        return not await self.steps(*entries)

    async def actions(self, *entries: Entry) -> list[Action]:
        return [e.action for e in await self.effects(*entries) if e.steps]

    def config(self, name: str = "prod-shop-it") -> dict[str, str]:
        """What the cluster holds of a guest."""
        found: dict[str, str] = self.cluster.guests()[str(self.cluster.vmid(name))]["config"]
        return found

    def guest(self, name: str = "prod-shop-it") -> Any:
        """What the cluster holds of a guest beside its configuration."""
        return self.cluster.guests()[str(self.cluster.vmid(name))]

    def base(self, name: str = "prod-shop-it") -> str:
        """Path of a guest in the API."""
        vmid = self.cluster.vmid(name)
        guest = self.cluster.guests()[str(vmid)]
        return f"/nodes/{guest['node']}/{guest['kind']}/{vmid}"
