"""What the tests of the Proxmox VE engine share: an emulated cluster with a token for the engine, root's client beside
it, and a harness for the conformance suite."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.plan.resource import Allow, Desired, Masked, ObjectKey
from engines.engine import Binding
from engines.proxmox.engine import ProxmoxEngine
from tests.proxmox.client import Client, logged_in
from tests.proxmox.serving import Serving, stands_still

INSTALL = "conformance"
TEMPLATE = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
USER, TOKEN = "alma@pve", "controller"
DOWN_S = 1_000_000


@dataclass(slots=True)
class Clock:
    """Monotonic seconds that a test moves."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(slots=True)
class Cluster:
    """An emulated cluster, its administrator's client, and the engine's token."""

    serving: Serving
    root: Client
    folder: Path
    token: str
    clock: Clock = field(default_factory=Clock)

    def binding(self, **config: object) -> Binding:
        """What an engine is opened with on this cluster; `config` overrides."""
        told: dict[str, object] = {
            "engine": "proxmox",
            "url": self.serving.url,
            "token": self.token,
            "ca": str(self.folder / "authority.pem"),
            "node": "pve1",
            "storage": "local-lvm",
            "vmids": "5000-5199",
            "full_pass": "0s",
            **config,
        }
        return Binding(INSTALL, "pve", told, mask, lambda text: text[:4096], self.clock, self.folder)

    def engine(self, **config: object) -> ProxmoxEngine:
        """A new engine, as a new process would open it."""
        return ProxmoxEngine.open(self.binding(**config))

    def world(self) -> Any:
        """The whole state, read past the API."""
        return self.root.http.get("/__control/world").json()["data"]

    def guests(self) -> dict[str, Any]:
        """Guests by vmid."""
        found: dict[str, Any] = self.world()["guests"]
        return found

    def changes(self) -> list[Mapping[str, Any]]:
        """Every changing call of the engine's token that was accepted."""
        told = self.root.http.get("/__control/ledger").json()["data"]["changes"]
        return [c for c in told if c["login"] == f"{USER}!{TOKEN}"]

    def calls(self) -> int:
        """How many calls of any kind came."""
        return int(self.root.http.get("/__control/ledger").json()["data"]["calls"])

    def advance(self, seconds: float) -> None:
        """Time passes for the cluster and for the engines."""
        self.root.advance(seconds)
        self.clock.now_s += seconds

    def vmid(self, name: str) -> int:
        """Of the guest of this name."""
        return next(
            int(v) for v, g in self.guests().items() if name in (g["config"].get("name"), g["config"].get("hostname"))
        )


@contextlib.contextmanager
def emulated(
    folder: Path, version: str = "9.1", clock: Callable[[], float] = stands_still, state: Path | None = None
) -> Iterator[Cluster]:
    """A cluster with a token that may do all that an administrator of guests may: what the engine refuses, the cluster
    would allow."""
    with Serving(state, version=version, clock=clock, tls=True) as serving:
        (folder / "authority.pem").write_bytes(serving.authority_pem)
        root = logged_in(serving.url, authority=serving.authority_pem)
        root.post("/access/users", userid=USER)
        made = root.post(f"/access/users/{USER}/token/{TOKEN}", privsep=0)
        root.put("/access/acl", path="/", users=USER, roles="Administrator")
        yield Cluster(serving, root, folder, f"{USER}!{TOKEN}={made['value']}")
        root.close()


def mask(value: str) -> Masked:
    return Masked(None)


@dataclass(slots=True)
class Harness:
    """`tests.engines.conformance.Harness` over an emulated cluster."""

    cluster: Cluster
    allow: Allow = field(default_factory=Allow)

    async def open(self) -> ProxmoxEngine:
        return self.cluster.engine()

    async def world(self) -> Mapping[str, str]:
        world = self.cluster.world()
        found: dict[str, str] = {}
        for vmid, guest in world["guests"].items():
            told = {k: guest[k] for k in ("kind", "node", "config", "pending", "removals", "snapshots", "running")}
            found[f"guest {vmid}"] = json.dumps(told, sort_keys=True)
        found |= {f"volume {v['volid']} {v['node']}": str(v["size_bytes"]) for v in world["volumes"]}
        found |= {f"pool {n}": json.dumps(p, sort_keys=True) for n, p in world["pools"].items()}
        found |= {f"job {n}": json.dumps(j, sort_keys=True) for n, j in world["jobs"].items()}
        found |= {f"ha {n}": json.dumps(h, sort_keys=True) for n, h in world["ha"].items()}
        for name, walls in world["firewalls"].items():
            if walls["rules"] or walls["options"]:
                found[f"firewall {name}"] = json.dumps(walls, sort_keys=True)
        return found

    async def tamper(self, key: ObjectKey, path: str) -> None:
        root = self.cluster.root
        if key.kind == "proxmox/pool":
            row = next(r for r in root.get("/pools") if r["poolid"] == key.name)
            root.put("/pools", poolid=key.name, comment=row["comment"].replace("wanted", "by hand"))
            return
        if key.kind == "proxmox/backup-job":
            root.put(f"/cluster/backup/{key.name}", schedule="mon 05:00")
            return
        vmid = self.cluster.vmid(key.name)
        guest = self.cluster.guests()[str(vmid)]
        base = f"/nodes/{guest['node']}/{guest['kind']}/{vmid}"
        if path == "running":
            root.post(f"{base}/status/stop")
        else:
            root.put(f"{base}/config", **_BY_HAND[path])

    async def foreign(self, wanted: Desired) -> str:
        return str(self._foreign(wanted.key, 900))

    def _foreign(self, key: ObjectKey, vmid: int) -> int:
        """Near enough to what `alone` wants."""
        root = self.cluster.root
        if key.kind == "proxmox/qemu":
            root.post("/nodes/pve1/qemu", vmid=vmid, name=key.name, memory=256, start=1)
            return vmid
        root.post(
            "/nodes/pve1/lxc",
            vmid=vmid,
            hostname=key.name,
            ostemplate=TEMPLATE,
            rootfs="local-lvm:4",
            memory=256,
            unprivileged=1,
            start=1,
        )
        return vmid

    async def twin(self, key: ObjectKey) -> str:
        root = self.cluster.root
        if key.kind == "proxmox/pool":
            members = self.cluster.world()["pools"][key.name]["vms"]
            if members:
                root.put("/pools", poolid=key.name, vms=",".join(map(str, members)), delete=1)
            root.delete("/pools", poolid=key.name)
            root.post("/pools", poolid=key.name)
            return key.name
        if key.kind == "proxmox/backup-job":
            root.delete(f"/cluster/backup/{key.name}")
            root.post("/cluster/backup", id=key.name, schedule="05:00", all=1)
            return key.name
        vmid = self.cluster.vmid(key.name)
        root.control("guest", vmid=vmid, delete=True)
        return str(self._foreign(key, vmid))

    @contextlib.asynccontextmanager
    async def unreadable(self) -> AsyncIterator[None]:
        self.cluster.root.control("restart", down_s=DOWN_S)
        yield
        self.cluster.root.advance(DOWN_S)

    async def pause(self) -> None:
        """Time enough for tasks, HA and a steady guest."""
        self.cluster.advance(11)


_BY_HAND: Mapping[str, Mapping[str, object]] = {
    "memory": {"memory": 384},
    "nets.net0.tag": {"net0": "name=eth0,bridge=vmbr0,tag=99"},
    "cores": {"cores": 7},
    "tags": {"tags": "alma;odd"},
    "description": {"description": "by hand"},
}
