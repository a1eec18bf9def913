"""Asks once whether a container is healthy: the host's word, or the user's probe from where it can run.

`http` and `tcp` go to the published port on the host's address; without one, to the container's own address if the
host is ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import requests

from controller.blueprint.entry import Probe, ProbeKind
from controller.plan.health import HEALTHY, Health, HealthState
from controller.plan.resource import ObjectKey
from engines.docker import observe
from engines.docker.client import Call, Client, NotFound
from engines.engine import Unclear

STEADY_S = 10.0
_TRY_TIMEOUT_S = 5.0
Inspected = Mapping[str, Any]


class Checker:
    """Probes for one host. Remembers since when a start has been seen, on the monotonic clock (I23): the host's own
    clock may be wrong."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._since: dict[str, tuple[tuple[str, int], float]] = {}

    async def container(self, key: ObjectKey, probe: Probe) -> Health:
        """Healthy only when the probe says so now."""
        try:
            found = await self._client.inspect(f"/containers/{key.name}/json")
        except NotFound:
            found = {}
        if observe.name_of(found) != key.name:
            return Health(HealthState.MISSING, f"there is no container {key.name}")
        own = observe.health_of(found)
        if own.state in (HealthState.DEGRADED, HealthState.SUSPENDED) and probe.kind is not ProbeKind.PLATFORM:
            return own
        if probe.kind in (ProbeKind.PLATFORM, ProbeKind.RUNNING):
            return self._running(found, own, probe.kind)
        if own.state is HealthState.PROGRESSING:
            return own
        if probe.kind is ProbeKind.EXEC:
            return await self._exec(found, probe)
        return await self._network(found, probe)

    def _running(self, found: Inspected, own: Health, kind: ProbeKind) -> Health:
        """HEALTHCHECK where there is one, else up without restart for 10 s; a job that ended well is healthy."""
        state = found.get("State") or {}
        if own.state is not HealthState.HEALTHY or state.get("Status") == "exited":
            return own
        if kind is ProbeKind.PLATFORM and (state.get("Health") or {}).get("Status") == "healthy":
            return own
        now, start = self._clock(), (str(state.get("StartedAt")), int(found.get("RestartCount") or 0))
        known = self._since.get(found["Id"])
        if known is None or known[0] != start:
            self._since[found["Id"]] = known = (start, now)
        if now - known[1] >= STEADY_S:
            return HEALTHY
        return Health(HealthState.PROGRESSING, f"runs since {now - known[1]:.0f} s; steady after {STEADY_S:.0f} s")

    async def _exec(self, found: Inspected, probe: Probe) -> Health:
        """Runs the command inside and waits for its end; the host's answer ends with the process."""
        said = " ".join(probe.command)[:200]
        body = {"Cmd": list(probe.command), "AttachStdout": True, "AttachStderr": True}
        made = json.loads(await self._client.ask(Call("POST", f"/containers/{found['Id']}/exec", body=body)))
        run = Call("POST", f"/exec/{made['Id']}/start", body={"Detach": False}, timeout_s=_TRY_TIMEOUT_S)
        try:
            await self._client.ask(run)
        except Unclear:
            return Health(HealthState.PROGRESSING, f"{said} runs for more than {_TRY_TIMEOUT_S:.0f} s")
        state = await self._client.get(f"/exec/{made['Id']}/json")
        if state.get("ExitCode") == 0 and not state.get("Running"):
            return HEALTHY
        return Health(HealthState.PROGRESSING, self._client.text(f"{said} ended with {state.get('ExitCode')}"))

    async def _network(self, found: Inspected, probe: Probe) -> Health:
        where = self._where(found, probe)
        if where is None:
            return Health(HealthState.DEGRADED, f"port {probe.port} is not reachable from here; publish it or use exec")
        host, port = where
        if probe.kind is ProbeKind.TCP:
            return await _tcp(host, port)
        return await self._http(host, port, probe.path)

    async def _http(self, host: str, port: int, path: str) -> Health:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        url = f"http://{authority}/{path.removeprefix('/')}"
        try:
            status = await self._client.run(lambda: _status_of(url))
        except (requests.RequestException, OSError) as error:
            return Health(HealthState.PROGRESSING, self._client.text(f"{url}: {type(error).__name__}"))
        if status < 400:
            return HEALTHY
        return Health(HealthState.PROGRESSING, f"{url} answers {status}")

    def _where(self, found: Inspected, probe: Probe) -> tuple[str, int] | None:
        published = ((found.get("NetworkSettings") or {}).get("Ports") or {}).get(f"{probe.port}/tcp")
        if published:
            ip = published[0].get("HostIp") or "0.0.0.0"  # noqa: S104 - compared, not bound
            reachable = self._client.address.host if ip in ("0.0.0.0", "::") else ip  # noqa: S104 - compared, not bound
            return reachable, int(published[0]["HostPort"])
        address = observe.outputs(found, "").get("address")
        if not self._client.address.local or probe.port is None:
            return None
        if (found.get("HostConfig") or {}).get("NetworkMode") == "host":
            return "127.0.0.1", probe.port
        return (str(address), probe.port) if address else None


async def _tcp(host: str, port: int) -> Health:
    try:
        async with asyncio.timeout(_TRY_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        return Health(HealthState.PROGRESSING, f"tcp {host}:{port}: {type(error).__name__}")
    return HEALTHY


def _status_of(url: str) -> int:
    """Of the first answer, whatever it is; no proxy and no redirect stands between us and the container."""
    with requests.Session() as session:
        session.trust_env = False
        with session.get(url, timeout=_TRY_TIMEOUT_S, allow_redirects=False, stream=True) as answer:
            return answer.status_code
