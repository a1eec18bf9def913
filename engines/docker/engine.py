"""One Docker host behind the engine contract (engine.md): reads, predicts, sends one request at a time.

Ownership is read from labels and notes on the host. One pass lists containers, networks and volumes once and inspects
each owned container, because no list tells its limits and environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Self

from controller.blueprint.entry import Probe
from controller.plan.health import HEALTHY, Health, HealthState
from controller.plan.resource import Desired, Kind, ObjectKey, Snapshot
from controller.plan.step import Effect, Fence, OpId, Prior, Receipt, Step
from engines.docker import container, preview, undo
from engines.docker.calls import Calls
from engines.docker.client import Client
from engines.docker.events import events
from engines.docker.health import Checker
from engines.docker.kinds import KINDS
from engines.docker.lookup import Lookup
from engines.docker.pulls import Pulls
from engines.docker.reader import Reader
from engines.docker.settings import SCHEMES, address
from engines.docker.sources import resolve
from engines.docker.sweep import sweep
from engines.engine import Ask, Binding, Found, Hint, Seal, TargetInfo, Values


class DockerEngine:
    """engines.engine.Engine for one Docker host."""

    kinds: ClassVar[Mapping[str, Kind]] = KINDS
    schemes: ClassVar[Mapping[str, str]] = SCHEMES

    def __init__(self, binding: Binding, client: Client) -> None:
        self._binding = binding
        self._client = client
        pulls = Pulls(client, binding.registries)
        self._lookup = Lookup(client, pulls, binding.install)
        self._calls = Calls(client, pulls, self._lookup, binding.install)
        self._reader = Reader(client, binding.install, binding.mask)
        self._checker = Checker(client, binding.clock)

    @classmethod
    def open(cls, binding: Binding) -> Self:
        """Connects to nothing yet. Raises InvalidInput when the target's configuration is wrong."""
        return cls(binding, Client(address(binding.target, binding.config), binding.redact))

    async def close(self) -> None:
        """Gives threads and connections back."""
        await self._client.close()

    async def about(self) -> TargetInfo:
        """Version of the host, and what it cannot do for us."""
        version, info = await asyncio.gather(
            self._client.inspect("/version", "ApiVersion"), self._client.inspect("/info", "Containers")
        )
        missing = [f"{what}: {effect}" for key, what, effect in _NEEDED if info.get(key) is False]
        text = f"Docker {version.get('Version')}, API {version.get('ApiVersion')}"
        return TargetInfo(text, ("containers", "networks", "volumes", "images"), tuple(missing))

    async def observe(self, ask: Ask) -> Snapshot:
        """Owned objects of the asked scopes, and whoever sits on the asked keys and claims."""
        return await self._reader.snapshot(ask)

    async def preview(self, wanted: Sequence[Desired], seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Asks the host only which image a tag means, and only for containers that must be made."""
        found = preview.matches(wanted, seen, scope)
        sources = await resolve(self._client, preview.images_needed(found), self._binding.registries)
        return preview.effects(found, seen, scope, sources)

    async def sweep(self, seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Pure."""
        return sweep(seen, scope, self._binding.install)

    async def prior(self, step: Step, seal: Seal) -> Prior:
        """State of the object right now; nothing secret is in it, because the old container itself is kept."""
        return await self._lookup.prior(step)

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        """Sends exactly this request."""
        return await self._calls.do(op, step, prior, values, fence)

    async def poll(self, receipt: Receipt) -> Receipt:
        """Asks once."""
        return await self._lookup.poll(receipt)

    async def find(self, op: OpId, step: Step) -> Found:
        """What became of `op`."""
        return await self._lookup.find(op, step)

    def inverse(self, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        """Pure."""
        return undo.inverse(step, prior, receipt)

    async def check(self, key: ObjectKey, probe: Probe) -> Health:
        """Asks once; what has no health of its own is healthy by being there."""
        if key.kind == container.KIND:
            return await self._checker.container(key, probe)
        there = await self._reader.exists(key)
        return HEALTHY if there else Health(HealthState.MISSING, f"there is no {key}")

    def hints(self) -> AsyncIterator[Hint]:
        """The host's own events, as far as they are about marked objects."""
        return events(self._client, self._binding.install)


_NEEDED = (
    ("MemoryLimit", "memory limits", "`memory` has no effect on this host"),
    ("SwapLimit", "swap limits", "`memswap_limit` has no effect on this host"),
    ("CpuCfsQuota", "CPU quotas", "`cpu` has no effect on this host"),
    ("PidsLimit", "pids limits", "`pids` has no effect on this host"),
)
