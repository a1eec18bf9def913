"""How a task of the cluster stands, asked once, and what its guest tells when it has ended well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from controller.plan.step import Receipt, ReceiptState
from engines.engine import Refused
from engines.proxmox import observe, tasks
from engines.proxmox.client import Client, NotFound, at
from engines.proxmox.listing import Listing
from engines.proxmox.reader import Reader
from engines.proxmox.tasks import End, Upid

LOCK_PAUSE_S = 5.0  # a task that met a lock is sent again, but not at once


class Poller:
    """Asks one cluster about its tasks. Remembers when one was first seen to have met a lock."""

    def __init__(self, client: Client, reader: Reader, clock: Callable[[], float]) -> None:
        self._client = client
        self._reader = reader
        self._clock = clock
        self._locked: dict[str, float] = {}

    async def poll(self, receipt: Receipt) -> Receipt:
        """How the task stands. One that met a lock did nothing: after a pause it counts as vanished, so that it is sent
        again; any other that ended badly has failed, with its last lines."""
        task = tasks.upid(receipt.task)
        if receipt.state is not ReceiptState.RUNNING:
            return receipt
        if task is None:
            return replace(receipt, state=ReceiptState.VANISHED)
        base = at("nodes", task.node, "tasks", task.text)
        try:
            status = await self._client.object(f"{base}/status")
        except Refused as error:
            if "no such task" not in str(error):
                raise
            return replace(receipt, state=ReceiptState.VANISHED, message="the cluster does not know its task any more")
        end = tasks.ended(status)
        if end is End.RUNNING:
            lines = await self._log(base) if task.type in ("qmclone", "vzclone", "download", "qmcreate") else []
            return replace(receipt, progress=tasks.progress(lines))
        if end is End.GOOD:
            return await self._ended_well(receipt, task, base, status)
        said = f"{task.type} ended with: {status.get('exitstatus')}"
        if end is End.LOCKED:
            since_s = self._locked.setdefault(task.text, self._clock())
            waits = self._clock() - since_s < LOCK_PAUSE_S
            state = ReceiptState.RUNNING if waits else ReceiptState.VANISHED
            return replace(receipt, state=state, message=self._client.text(said)[:4096])
        lines = [said, *(await self._log(base))[-tasks.LINES_TOLD :]]
        return replace(receipt, state=ReceiptState.FAILED, message=self._client.text("\n".join(lines))[:4096])

    async def _log(self, base: str) -> list[str]:
        rows = await self._client.rows(f"{base}/log", limit=0)
        return [str(r.get("t")) for r in rows]

    async def _ended_well(self, receipt: Receipt, task: Upid, base: str, status: Mapping[str, Any]) -> Receipt:
        message = ""
        if tasks.warned(status):
            message = self._client.text("\n".join(tasks.warnings_in(await self._log(base))))[:4096]
        vmid = observe.vmid_of(receipt.uid or "")
        row = Listing.of(await self._client.rows(at("cluster", "resources"), type="vm")).guests.get(vmid or 0)
        done = replace(receipt, state=ReceiptState.DONE, progress=100, message=message)
        if task.type == "download":
            return replace(done, outputs={"image": str(receipt.uid)})
        if row is None or vmid is None:
            return done
        self._reader.touch(vmid)
        try:
            read = await self._reader.read(row)
        except NotFound:
            return done
        if task.type in ("hastart", "hastop"):
            # The manager was told, and acts within its rounds: done is when the guest itself says so.
            runs = (await self._reader.power(read)).runs
            if runs is not (task.type == "hastart"):
                return receipt
        return replace(done, outputs=observe.outputs(read))
