"""The state of an emulated cluster: plain data, nothing else is kept anywhere."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.proxmox.faults import died

GIB = 1024**3


@dataclass(slots=True)
class Node:
    """One host. Offline: every call for it is answered 595 and its guests do nothing."""

    name: str
    online: bool = True
    cores: int = 16
    memory_bytes: int = 64 * GIB
    boot_s: float = 0.0
    fenced: bool = False
    interfaces: dict[str, dict[str, str]] = field(
        default_factory=lambda: {
            name: {"type": "bridge", "method": "manual", "autostart": "1"} for name in ("vmbr0", "vmbr1")
        }
    )
    # Edited interfaces that wait to be applied, and the vnets that the last reload brought up.
    staged: dict[str, dict[str, str]] | None = None
    vnets: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Storage:
    """One entry of storage.cfg; `total_bytes` per node, or of the whole if it is shared."""

    name: str
    type: str
    options: dict[str, str]
    total_bytes: int

    @property
    def shared(self) -> bool:
        """True if every node sees the same volumes."""
        return self.type in ("nfs", "cifs", "rbd", "cephfs", "pbs", "iscsi") or self.options.get("shared") == "1"

    @property
    def file_based(self) -> bool:
        """True if volumes are files in folders."""
        return self.type in ("dir", "nfs", "cifs", "btrfs", "cephfs")

    def holds(self, content: str) -> bool:
        """True if this kind of content is allowed here."""
        return content in self.options.get("content", "images,rootdir").split(",")

    def serves(self, node: str) -> bool:
        """True if this node may use it."""
        nodes = self.options.get("nodes")
        return nodes is None or node in nodes.split(",")


@dataclass(slots=True)
class Volume:
    """One volume; `node` is empty on shared storage. `parent`: the base a linked clone reads from."""

    volid: str
    node: str
    content: str
    format: str
    size_bytes: int
    vmid: int | None = None
    parent: str | None = None
    ctime_s: float = 0.0
    notes: str = ""
    protected: bool = False
    checksum: str = ""
    snapshots: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Guest:
    """A VM or container. `config` is in effect, `pending` and `removals` (key → forced) wait for a start."""

    vmid: int
    kind: str
    node: str
    config: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    removals: dict[str, bool] = field(default_factory=dict)
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: bool = False
    paused: bool = False
    started_s: float = 0.0
    # What the status daemon last told the cluster; None: it has not seen this guest yet.
    shown: dict[str, Any] | None = None
    # What the guest agent answers: "auto", "dead", or the interfaces a test gave.
    agent: Any = "auto"
    cloudinit: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Task:
    """One worker. `due_s` None: it never ends by itself. `action` names the code, `args` what it was told."""

    upid: str
    node: str
    pid: int
    pstart: int
    starttime_s: int
    type: str
    id: str
    user: str
    token: str | None
    action: str
    args: dict[str, Any]
    length_s: float = 0.0
    begun_s: float = 0.0
    phase: str = "new"
    due_s: float | None = None
    exitstatus: str | None = None
    endtime_s: float | None = None
    log: list[str] = field(default_factory=list)
    warnings: int = 0
    fault: dict[str, Any] | None = None


@dataclass(slots=True)
class Token:
    """An API token; only its secret decides."""

    secret: str
    privsep: bool = True
    expire_s: int = 0
    comment: str | None = None


@dataclass(slots=True)
class User:
    """A login. `second_factor`: a ticket needs more than the password."""

    userid: str
    password: str = ""
    enable: bool = True
    expire_s: int = 0
    options: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    tokens: dict[str, Token] = field(default_factory=dict)
    second_factor: bool = False


@dataclass(slots=True)
class Entry:
    """One line of the access control list."""

    path: str
    type: str
    ugid: str
    roleid: str
    propagate: bool = True


@dataclass(slots=True)
class Resource:
    """An HA resource: what is asked for, and what the manager made of it."""

    sid: str
    state: str = "started"
    options: dict[str, str] = field(default_factory=dict)
    service: str = "queued"
    move_to: str | None = None
    relocate: bool = False
    task: str | None = None


@dataclass(slots=True)
class Firewall:
    """One firewall file: rules in order, options, aliases by name, address sets by name and address."""

    rules: list[dict[str, str]] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, dict[str, str]] = field(default_factory=dict)
    sets: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)


def _no_networks() -> dict[str, dict[str, dict[str, str]]]:
    return {"zones": {}, "vnets": {}}


@dataclass(slots=True)
class Sdn:
    """Zones and vnets by name: as edited, and as applied. `lock`: the token of whoever edits alone."""

    staged: dict[str, dict[str, dict[str, str]]] = field(default_factory=_no_networks)
    live: dict[str, dict[str, dict[str, str]]] = field(default_factory=_no_networks)
    lock: str | None = None


@dataclass(slots=True)
class Settings:
    """How the emulator behaves; every field can be set through the control endpoint."""

    task_length_s: dict[str, float] = field(default_factory=lambda: {"*": 0.0})
    resources_lag_s: float = 0.0
    ha_round_s: float = 10.0
    fence_s: float = 60.0
    quorate: bool = True
    unauthorised_delay_s: float = 0.0


@dataclass(slots=True)
class World:
    """Everything. `now_s` is the emulated time of the event at hand."""

    version: str
    seed: str
    secret: str
    now_s: float = 0.0
    # The worker whose code runs just now: its own locks are no obstacle to it.
    working: str | None = None
    skew_s: float = 0.0
    drawn: int = 0
    next_pid: int = 1000
    down_until_s: float = 0.0
    next_ha_round_s: float = 0.0
    next_status_s: float = 0.0
    settings: Settings = field(default_factory=Settings)
    nodes: dict[str, Node] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    volumes: list[Volume] = field(default_factory=list)
    guests: dict[int, Guest] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    roles: dict[str, list[str]] = field(default_factory=dict)
    acl: list[Entry] = field(default_factory=list)
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    ha: dict[str, Resource] = field(default_factory=dict)
    firewalls: dict[str, Firewall] = field(default_factory=dict)
    sdn: Sdn = field(default_factory=Sdn)
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    # Every changing call that was accepted, oldest first, and how many calls of any kind came.
    ledger: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)
    held_locks: dict[str, float] = field(default_factory=dict)

    def draw(self) -> random.Random:
        """Randomness that depends on the seed and on how often it was asked for, so a saved world goes on alike."""
        self.drawn += 1
        return random.Random(f"{self.seed}/{self.drawn}")

    def guest(self, node: str, vmid: int, kind: str) -> Guest:
        """The guest, if it lives on this node; else the 500 of a missing file."""
        found = self.guests.get(vmid)
        if found is None or found.kind != kind or found.node != node:
            folder = "qemu-server" if kind == "qemu" else "lxc"
            raise died(f"Configuration file 'nodes/{node}/{folder}/{vmid}.conf' does not exist")
        return found

    def pool_of(self, vmid: int) -> str | None:
        """The pool this guest is a member of."""
        return next((name for name, pool in self.pools.items() if vmid in pool["vms"]), None)


def fresh_world(version: str, seed: str, now_s: float) -> World:
    """Three nodes, four storages, an image and a container template on each node, root@pam with password `emulator`."""
    world = World(version=version, seed=seed, secret="", now_s=now_s, next_ha_round_s=now_s, next_status_s=now_s)
    world.secret = f"{world.draw().getrandbits(128):032x}"
    world.nodes = {name: Node(name, boot_s=now_s - 86400) for name in ("pve1", "pve2", "pve3")}
    world.users = {"root@pam": User("root@pam", password="emulator")}
    world.storages = {storage.name: storage for storage in _storages()}
    for name, content in (("iso/debian-13.iso", "iso"), ("vztmpl/debian-13-standard_13.1-1_amd64.tar.zst", "vztmpl")):
        form = name.partition(".")[2].removeprefix("1-1_amd64.") if content == "vztmpl" else "iso"
        world.volumes += [Volume(f"local:{name}", node, content, form, GIB // 2, ctime_s=now_s) for node in world.nodes]
    return world


def _storages() -> list[Storage]:
    return [
        Storage("local", "dir", {"content": "backup,import,iso,snippets,vztmpl", "path": "/var/lib/vz"}, 100 * GIB),
        Storage("local-lvm", "lvmthin", {"content": "images,rootdir", "thinpool": "data", "vgname": "pve"}, 500 * GIB),
        Storage(
            "nfs",
            "nfs",
            {"content": "images,import,iso,rootdir", "export": "/tank", "path": "/mnt/pve/nfs", "server": "nas"},
            1000 * GIB,
        ),
        Storage("ceph", "rbd", {"content": "images,rootdir", "pool": "rbd", "krbd": "0"}, 2000 * GIB),
    ]
