"""The shop of the demonstration on Proxmox VE: two containers on an emulated cluster, which a checkout brings along.

What the guests would run is not there, so this process listens where web's address says that it does.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from controller.cli.scenery import ALMA_YAML, SCOPE, ByHand
from controller.errors import AlmaError

_ROOT = Path(__file__).resolve().parents[2]
_EMULATOR = _ROOT / "tests" / "proxmox" / "__main__.py"
_LISTENING = re.compile(r"listening on (https://\S+)")
_BORN = re.compile(r'"b":"([a-z0-9]+)"')
_START_S = 30.0
_USER, _TOKEN = "alma@pve", "demo"
_BLUEPRINT = """\
name: store
provider: proxmox
resources:
  - name: web
    type: lxc
    specs:
      name: shop-web
      image: local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst
      cpu: 1
      memory: WEBMB
      disk: 4GB
      nets: {net0: {bridge: vmbr0, ip: ADDRESS/8}}
    health: {tcp: {port: PORT}, timeout: TIMEOUT}

  - name: api
    type: lxc
    specs:
      name: shop-api
      image: local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst
      cpu: 1
      memory: APIMB
      disk: 4GB
    health: {running: true}
"""

Json = Any


@dataclass(frozen=True, slots=True)
class ProxmoxShop:
    """A `Scenery` on an emulated cluster."""

    api: httpx2.AsyncClient
    target: Mapping[str, Json]
    port: int
    scope: str = SCOPE
    install: str = "demo"
    about: str = "an emulated Proxmox VE cluster of three nodes"

    @property
    def versions(self) -> Mapping[str, Mapping[str, bytes]]:
        return {
            "first": {"alma.yaml": ALMA_YAML, "shop/store.yaml": self._blueprint(256, 128)},
            "better": {"shop/store.yaml": self._blueprint(512, 128)},
            # Nobody answers at its new address, so it never gets healthy; api is fine, and goes back all the same.
            "broken": {"shop/store.yaml": self._blueprint(768, 192, address="127.0.0.2", timeout="3s")},
        }

    @property
    def says(self) -> Mapping[str, str]:
        return {
            "first": "web with 256 MB runs, api with 128 MB runs",
            "better": "web with 512 MB runs, api with 128 MB runs",
            "by hand": "web with 64 MB runs, api with 128 MB runs",
        }

    async def live(self) -> str:
        told = []
        for name in ("web", "api"):
            guest = await self._guest(f"shop-{name}")
            config = await self._get(f"/nodes/{guest['node']}/lxc/{guest['vmid']}/config")
            state = "runs" if guest["status"] == "running" else "is stopped"
            told.append(f"{name} with {config['memory']} MB {state}")
        return ", ".join(told)

    async def identity(self) -> str:
        guest = await self._guest("shop-web")
        config = await self._get(f"/nodes/{guest['node']}/lxc/{guest['vmid']}/config")
        # The id alone could be that of a guest made anew: the op that made it stands in its notes.
        born = _BORN.search(str(config.get("description")))
        return f"{guest['vmid']}.{born[1] if born else ''}"

    async def by_hand(self) -> ByHand:
        guest = await self._guest("shop-web")
        path = f"/nodes/{guest['node']}/lxc/{guest['vmid']}/config"
        await _data(await self.api.put(path, data={"memory": 64}))
        return ByHand(f"pct set {guest['vmid']} --memory 64", await self.live())

    async def _guest(self, name: str) -> Mapping[str, Json]:
        rows = await self._get("/cluster/resources?type=vm")
        found = next((r for r in rows if r.get("name") == name), None)
        if found is None:
            raise AlmaError(f"the emulated cluster has no guest {name}")
        return dict(found)

    async def _get(self, path: str) -> Json:
        return await _data(await self.api.get(path))

    def _blueprint(self, web: int, api: int, *, address: str = "127.0.0.1", timeout: str = "20s") -> bytes:
        words = {"WEB": str(web), "API": str(api), "ADDRESS": address, "PORT": str(self.port), "TIMEOUT": timeout}
        text = _BLUEPRINT
        for word, value in words.items():
            text = text.replace(word, value)
        return text.encode()


@asynccontextmanager
async def proxmox_shop(folder: Path) -> AsyncIterator[ProxmoxShop]:
    """The shop, not yet built, on a cluster of its own that ends with it. Raises AlmaError where there is no
    emulator."""
    if not _EMULATOR.exists():
        raise AlmaError(
            "the demonstration on Proxmox VE runs on an emulated cluster, which is not part of an installed ALMA",
            hint="run it from a checkout: make environment, then .venv/bin/alma demo --engine proxmox",
        )
    state = folder / "cluster"
    state.mkdir()
    emulator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.proxmox", "--port", "0", "--state", str(state)),
        cwd=_ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is ours: it is ended last
    )
    web = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    try:
        url = await _started(emulator)
        context = ssl.create_default_context(cafile=str(state / "authority.pem"))
        async with httpx2.AsyncClient(base_url=f"{url}/api2/json", verify=context, trust_env=False, timeout=10) as api:
            token = await _furnished(api)
            api.headers["Authorization"] = f"PVEAPIToken={token}"
            target = {
                "engine": "proxmox",
                "url": url,
                "token": token,
                "ca": str(state / "authority.pem"),
                "storage": "local-lvm",
                "full_pass": "0s",
            }
            yield ProxmoxShop(api, target, web.sockets[0].getsockname()[1])
    finally:
        web.close()
        if emulator.returncode is None:
            emulator.terminate()
        await emulator.wait()


async def _started(emulator: asyncio.subprocess.Process) -> str:
    """Where it listens, once it says so."""
    assert emulator.stdout is not None
    assert emulator.stderr is not None
    try:
        line = (await asyncio.wait_for(emulator.stdout.readline(), _START_S)).decode()
    except TimeoutError:
        line = ""
    found = _LISTENING.search(line)
    if found is None:
        said = line or (await emulator.stderr.read()).decode("utf-8", "replace").strip()
        text = f"the emulated cluster did not start: {said.splitlines()[-1] if said else 'no answer'}"
        raise AlmaError(text, hint="its packages come with: make environment")
    return found[1]


async def _furnished(api: httpx2.AsyncClient) -> str:
    """A user with a token, made by root as the README tells; the token as a target's configuration takes it."""
    login = {"username": "root@pam", "password": "emulator"}
    ticket = await _data(await api.post("/access/ticket", data=login))
    root = {"Cookie": f"PVEAuthCookie={ticket['ticket']}", "CSRFPreventionToken": ticket["CSRFPreventionToken"]}
    await _data(await api.post("/access/users", data={"userid": _USER}, headers=root))
    made = await _data(await api.post(f"/access/users/{_USER}/token/{_TOKEN}", data={"privsep": 0}, headers=root))
    acl = {"path": "/", "users": _USER, "roles": "Administrator"}
    await _data(await api.put("/access/acl", data=acl, headers=root))
    return f"{_USER}!{_TOKEN}={made['value']}"


async def _data(answer: httpx2.Response) -> Json:
    if answer.status_code != httpx2.codes.OK:
        raise AlmaError(f"the emulated cluster: {answer.request.url.path}: {answer.status_code} {answer.reason_phrase}")
    return answer.json()["data"]
