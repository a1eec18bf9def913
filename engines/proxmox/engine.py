"""One Proxmox VE cluster behind the engine contract (engine.md): reads, predicts, sends one request at a time.

Ownership is read from the tag `alma` and one marker line in an object's notes. One list tells presence, node and power
of all guests; a guest's configuration is read in one call, and only when it may have changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self

from controller.blueprint.entry import Probe
from controller.plan.health import HEALTHY, Health, HealthState
from controller.plan.resource import Desired, Kind, ObjectKey, Seen, Snapshot
from controller.plan.step import Effect, Fence, OpId, Prior, Receipt, Step
from engines.engine import Ask, Binding, Conflict, Found, Hint, Seal, TargetInfo, Values
from engines.proxmox import guest, observe, preview, tasks, undo
from engines.proxmox.calls import Calls
from engines.proxmox.client import Client, at
from engines.proxmox.health import Checker
from engines.proxmox.kinds import KINDS
from engines.proxmox.lookup import Lookup
from engines.proxmox.polling import Poller
from engines.proxmox.preview import Match
from engines.proxmox.reader import Reader
from engines.proxmox.rights import held, missing
from engines.proxmox.settings import SCHEMES, settings
from engines.proxmox.site import Surveyor


class ProxmoxEngine:
    """engines.engine.Engine for one cluster."""

    kinds: ClassVar[Mapping[str, Kind]] = KINDS
    schemes: ClassVar[Mapping[str, str]] = SCHEMES

    def __init__(self, binding: Binding, client: Client) -> None:
        self._binding = binding
        self._client = client
        self._reader = Reader(client, binding.install, binding.clock)
        self._lookup = Lookup(client, self._reader, binding.install)
        self._poller = Poller(client, self._reader, binding.clock)
        self._calls = Calls(client, self._reader, self._lookup, binding.install)
        self._checker = Checker(client, self._reader, binding.install, binding.clock)
        self._surveyor = Surveyor(client, self._reader, binding.install)

    @classmethod
    def open(cls, binding: Binding) -> Self:
        """Connects to nothing yet. Raises InvalidInput when the target's configuration is wrong."""
        return cls(binding, Client(settings(binding.target, binding.config), binding.redact))

    async def close(self) -> None:
        """Gives threads and connections back."""
        await self._client.close()

    async def about(self) -> TargetInfo:
        """Version of the cluster, and the rights of the token."""
        version, paths = await asyncio.gather(
            self._client.object(at("version")), self._client.object(at("access", "permissions"))
        )
        release = str(version.get("version") or "")
        return TargetInfo(f"Proxmox VE {release}", held(paths), missing(paths, release))

    async def observe(self, ask: Ask) -> Snapshot:
        """Owned objects of the asked scopes, and whoever sits on the asked keys and claims."""
        return await self._reader.snapshot(ask)

    async def preview(self, wanted: Sequence[Desired], seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Asks the cluster for room, ids and templates where a guest must be made or a volume grown, and for a firewall
        that has not been read yet."""
        found = [await self._with_firewall(m) for m in preview.matches(wanted, seen, scope)]
        return preview.effects(found, seen, scope, await self._surveyor.site(found))

    async def _with_firewall(self, match: Match) -> Match:
        """`match` with the rules of its guest, where the blueprint begins to speak of them."""
        asks = any(p.startswith("firewall.") for p in match.desired.fields)
        if match.seen is None or not asks or "firewall.rules" in match.seen.fields:
            return match
        listing = await self._reader.listing()
        row = listing.guests.get(int(str(match.seen.outputs.get("vmid") or 0)))
        if row is None:
            raise Conflict(f"{match.seen.key} went while the plan was made")
        read = await self._reader.firewall(await self._reader.read(row))
        return replace(match, seen=_walled(match.seen, read.firewall))

    async def sweep(self, seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Pure. This engine makes no parts: a guest bears its final name from the first request on."""
        return ()

    async def prior(self, step: Step, seal: Seal) -> Prior:
        """State of the object right now; nothing secret is in it, because secrets cannot be read back."""
        try:
            return await self._lookup.prior(step)
        except Conflict:
            if step.expects.uid and (vmid := observe.vmid_of(step.expects.uid)) is not None:
                self._reader.touch(vmid)
            raise

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        """Sends exactly this request."""
        return self._linked(await self._calls.do(op, step, prior, values, fence))

    async def poll(self, receipt: Receipt) -> Receipt:
        """Asks once."""
        return await self._poller.poll(receipt)

    async def find(self, op: OpId, step: Step) -> Found:
        """What became of `op`."""
        found = await self._lookup.find(op, step)
        return replace(found, receipt=self._linked(found.receipt)) if found.receipt else found

    def _linked(self, receipt: Receipt) -> Receipt:
        """`receipt` with the page of its task: the node's task view in the cluster's own web interface."""
        task = tasks.upid(receipt.task)
        return replace(receipt, task_url=self._client.settings.tasks_url(task.node)) if task else receipt

    def inverse(self, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        """Pure."""
        return undo.inverse(step, prior, receipt)

    async def check(self, key: ObjectKey, probe: Probe) -> Health:
        """Asks once; what has no health of its own is healthy by being there."""
        if key.kind in guest.KINDS:
            return await self._checker.guest(key, probe)
        snapshot = await self._reader.snapshot(Ask(self._binding.install, keys=frozenset({key})))
        there = any(s.key == key for s in snapshot.objects)
        return HEALTHY if there else Health(HealthState.MISSING, f"there is no {key}")

    async def hints(self) -> AsyncIterator[Hint]:
        """The API has no events: the next look is a timer's."""
        for hint in _NO_HINTS:
            yield hint


_NO_HINTS: tuple[Hint, ...] = ()


def _walled(seen: Seen, firewall: Mapping[str, object]) -> Seen:
    return replace(seen, fields={**seen.fields, **firewall})
