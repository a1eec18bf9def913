"""Asks once whether a guest is healthy: the cluster's word and the guest agent's, or the user's probe over the network.

The agent is asked only where it is switched on, and one that never answers does not hold a guest back: after a while it
is told, and the guest counts as what the cluster says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from controller.blueprint.entry import Probe, ProbeKind
from controller.plan.health import HEALTHY, Health, HealthState
from controller.plan.resource import ObjectKey
from engines.engine import EngineError
from engines.proxmox import guest, observe
from engines.proxmox.client import Client, NotFound, at
from engines.proxmox.observe import Read
from engines.proxmox.options import QEMU
from engines.proxmox.reader import Reader

STEADY_S = 10.0
AGENT_PATIENCE_S = 45.0
_TRY_TIMEOUT_S = 5.0


class Checker:
    """Probes for one cluster. Remembers since when a guest was seen running, on the monotonic clock (I23)."""

    def __init__(self, client: Client, reader: Reader, install: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._reader = reader
        self._install = install
        self._clock = clock
        self._since: dict[str, float] = {}

    async def guest(self, key: ObjectKey, probe: Probe) -> Health:
        """Healthy only when the probe says so now."""
        read = await self._named(key)
        if read is None:
            return Health(HealthState.MISSING, f"there is no {key}")
        lock = read.now.get("lock")
        if lock:
            return Health(HealthState.PROGRESSING, f"locked ({lock})")
        status = await self._client.object(at("nodes", read.node, read.kind, read.vmid, "status", "current"))
        ident = observe.uid(read.vmid, read.marker(self._install))
        if status.get("status") != "running":
            self._since.pop(ident, None)
            managed = isinstance(ha := status.get("ha"), Mapping) and bool(ha.get("managed"))
            state = HealthState.PROGRESSING if managed else HealthState.DEGRADED
            return Health(state, "stopped, and HA is asked to start it" if managed else "stopped")
        if status.get("qmpstatus") not in (None, "running"):
            return Health(HealthState.SUSPENDED, str(status["qmpstatus"]))
        since_s = self._since.setdefault(ident, self._clock())
        if probe.kind in (ProbeKind.PLATFORM, ProbeKind.RUNNING):
            return await self._runs(read, status, probe.kind, self._clock() - since_s)
        return await self._network(read, probe)

    async def _named(self, key: ObjectKey) -> Read | None:
        """The guest of this name: ours, where there are several."""
        kind = guest.KINDS[key.kind]
        listing = await self._reader.listing()
        found = []
        for row in listing.named(kind, key.name) or [
            r for r in listing.guests.values() if r["type"] == kind and "name" not in r
        ]:
            try:
                read = await self._reader.read(row)
            except NotFound:
                continue
            if read.name == key.name:
                found.append(read)
        ours = [r for r in found if r.marker(self._install) is not None]
        return next(iter(ours or found), None)

    async def _runs(self, read: Read, status: Mapping[str, Any], kind: ProbeKind, for_s: float) -> Health:
        if for_s < STEADY_S:
            return Health(HealthState.PROGRESSING, f"runs since {for_s:.0f} s; steady after {STEADY_S:.0f} s")
        if kind is ProbeKind.RUNNING or read.kind != QEMU or not status.get("agent"):
            return HEALTHY
        try:
            await self._client.get(at("nodes", read.node, QEMU, read.vmid, "agent", "network-get-interfaces"))
        except EngineError as error:
            if for_s < AGENT_PATIENCE_S:
                return Health(HealthState.PROGRESSING, f"its guest agent does not answer yet: {error}"[:300])
            return Health(HealthState.HEALTHY, "runs; its guest agent does not answer")
        return HEALTHY

    async def _network(self, read: Read, probe: Probe) -> Health:
        address = await self._address(read)
        if address is None or probe.port is None:
            return Health(
                HealthState.PROGRESSING, "its address is not known yet: neither configured nor told by the guest"
            )
        if probe.kind is ProbeKind.TCP:
            return await _tcp(address, probe.port)
        return await _http(address, probe.port, probe.path, self._client.text)

    async def _address(self, read: Read) -> str | None:
        fields = guest.live(read.kind, read.now)
        if (written := guest.address_of(fields)) is not None:
            return written
        agent = ("agent", "network-get-interfaces") if read.kind == QEMU else ("interfaces",)
        try:
            told = await self._client.get(at("nodes", read.node, read.kind, read.vmid, *agent))
        except EngineError:
            return None  # an observation, never a condition (the probe tells it as not healthy yet)
        listed = told.get("result") if isinstance(told, dict) else told
        macs = guest.macs(fields)
        return observe.guest_address(listed, macs[0] if macs else None)


async def _tcp(host: str, port: int) -> Health:
    try:
        async with asyncio.timeout(_TRY_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        return Health(HealthState.PROGRESSING, f"tcp {host}:{port}: {type(error).__name__}")
    return HEALTHY


async def _http(host: str, port: int, path: str, redact: Callable[[str], str]) -> Health:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    url = f"http://{authority}/{path.removeprefix('/')}"
    try:
        async with (
            httpx2.AsyncClient(timeout=_TRY_TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", url) as answer,
        ):
            status = answer.status_code
    except (httpx2.HTTPError, OSError) as error:
        return Health(HealthState.PROGRESSING, redact(f"{url}: {type(error).__name__}"))
    return HEALTHY if status < 400 else Health(HealthState.PROGRESSING, f"{url} answers {status}")
