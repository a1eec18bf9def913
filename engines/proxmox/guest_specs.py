"""What `specs` of a VM or container may hold. Pure.

Keys that reach the host are known to the models, so that the answer names them and why they are refused (I38) instead
of "unknown key".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from controller.blueprint import units
from controller.blueprint.value import Secret, Value
from engines.proxmox.words import (
    Address,
    Addresses,
    Bridge,
    Cidr,
    Inside,
    Keys,
    Mac,
    Memory,
    Notes,
    Seconds,
    Size,
    StorageName,
    Tags,
    Vmid,
    Volume,
    volume,
    whole_mib,
)

_NAME = r"^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$"
_ID = r"^[A-Za-z][A-Za-z0-9._-]{0,39}$"
_TOKEN = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"  # noqa: S105 - a pattern
_POOL = r"^[A-Za-z0-9._-]{1,40}(/[A-Za-z0-9._-]{1,40}){0,2}$"


class Strict(BaseModel):
    """Unknown keys are errors; what was read never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)


class Disk(Strict):
    """One disk of a VM."""

    size: Size | None = None
    storage: StorageName | None = None
    image: Volume | None = Field(default=None, alias="import-from")
    cache: Literal["none", "writethrough", "writeback", "unsafe", "directsync"] | None = None
    aio: Literal["native", "threads", "io_uring"] | None = None
    discard: bool | None = None
    ssd: bool | None = None
    iothread: bool | None = None
    backup: bool | None = None
    replicate: bool | None = None
    ro: bool | None = None
    mbps: int | None = Field(default=None, ge=1)
    mbps_rd: int | None = Field(default=None, ge=1)
    mbps_wr: int | None = Field(default=None, ge=1)
    iops: int | None = Field(default=None, ge=10)
    iops_rd: int | None = Field(default=None, ge=10)
    iops_wr: int | None = Field(default=None, ge=10)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        """A size alone is a disk of that size."""
        return {"size": value} if isinstance(value, str) else value


class Nic(Strict):
    """One network card of a VM."""

    bridge: Bridge | None = None
    model: Literal["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"] | None = None
    mac: Mac | None = None
    tag: int | None = Field(default=None, ge=1, le=4094)
    firewall: bool | None = None
    rate: int | None = Field(default=None, ge=1)
    mtu: int | None = Field(default=None, ge=576, le=65520)
    link_down: bool | None = None


class ContainerNic(Strict):
    """One network card of a container, with its addresses."""

    name: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9]{1,14}$")
    bridge: Bridge | None = None
    ip: Cidr | None = None
    gw: Address | None = None
    ip6: Cidr | None = None
    gw6: Address | None = None
    mac: Mac | None = None
    tag: int | None = Field(default=None, ge=1, le=4094)
    firewall: bool | None = None
    rate: int | None = Field(default=None, ge=1)
    mtu: int | None = Field(default=None, ge=576, le=65535)
    link_down: bool | None = None


class Mount(Strict):
    """One further volume of a container; its key (mp0…) is its identity."""

    path: Inside
    size: Size | None = None
    storage: StorageName | None = None
    backup: bool | None = None
    ro: bool | None = None
    acl: bool | None = None
    quota: bool | None = None


class Root(Strict):
    """A container's root."""

    size: Size
    storage: StorageName | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"size": value} if isinstance(value, str) else value


class Efi(Strict):
    storage: StorageName | None = None
    type: Literal["2m", "4m"] | None = None
    keys: bool | None = None


class Tpm(Strict):
    storage: StorageName | None = None
    version: Literal["v1.2", "v2.0"] | None = None


class Ip(Strict):
    ip: Cidr | None = None
    gw: Address | None = None
    ip6: Cidr | None = None
    gw6: Address | None = None


class CloudInit(Strict):
    """The image a VM configures itself from at its next start."""

    drive: str = Field(default="ide2", pattern=r"^(ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30))$")
    storage: StorageName | None = None
    user: str | None = Field(default=None, pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    password: Any = None
    ssh_keys: Keys | None = None
    nameservers: Addresses | None = None
    searchdomain: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")
    upgrade: bool | None = None
    ip0: Ip | None = None
    ip1: Ip | None = None
    ip2: Ip | None = None
    ip3: Ip | None = None

    @model_validator(mode="after")
    def _by_reference(self) -> CloudInit:
        if self.password is not None and not isinstance(self.password, Secret):
            raise ValueError('a password is written as a reference: {secret: "env:NAME"}')
        return self


class Startup(Strict):
    order: int | None = Field(default=None, ge=0)
    up: int | None = Field(default=None, ge=0)
    down: int | None = Field(default=None, ge=0)


class Ha(Strict):
    """What the high-availability manager is asked for."""

    state: Literal["started", "stopped", "disabled", "ignored"] = "started"
    group: str | None = Field(default=None, pattern=_ID)
    max_restart: int | None = Field(default=None, ge=0)
    max_relocate: int | None = Field(default=None, ge=0)


_FW_WORD = r"^[A-Za-z0-9][A-Za-z0-9.:/,_+-]{0,255}$"


class Rule(Strict):
    """One firewall rule; the list is ordered."""

    type: Literal["in", "out", "group"] = "in"
    action: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{1,19}$")
    enable: bool = True
    macro: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9-]{0,40}$")
    source: str | None = Field(default=None, pattern=_FW_WORD)
    dest: str | None = Field(default=None, pattern=_FW_WORD)
    proto: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,20}$")
    sport: str | None = Field(default=None, pattern=r"^[A-Za-z0-9:,-]{1,100}$")
    dport: str | None = Field(default=None, pattern=r"^[A-Za-z0-9:,-]{1,100}$")
    iface: str | None = Field(default=None, pattern=r"^net[0-9]{1,2}$")
    log: Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"] | None = None
    comment: str | None = Field(default=None, pattern=r"^[^\x00-\x1f\x7f]{1,200}$")

    @model_validator(mode="after")
    def _ports_need_a_protocol(self) -> Rule:
        if (self.sport or self.dport) and not self.proto:
            raise ValueError("a port needs `proto`, such as tcp")
        return self


class Firewall(Strict):
    enable: bool | None = None
    policy_in: Literal["ACCEPT", "DROP", "REJECT"] | None = None
    policy_out: Literal["ACCEPT", "DROP", "REJECT"] | None = None
    macfilter: bool | None = None
    ipfilter: bool | None = None
    dhcp: bool | None = None
    rules: tuple[Rule, ...] | None = None


class Stop(Strict):
    """How a guest is taken down: asked first, and only with `force` cut off after `timeout`."""

    timeout: Seconds = 60
    force: bool = False


class Before(Strict):
    """The snapshot that a risky change begins with; `rollback`: undo returns the disks to it, too."""

    rollback: bool = False


def before(value: object) -> object:
    """`true`, or `{rollback: true}`."""
    return {} if value is True else None if value is False else value


class GuestSpecs(Strict):
    """What VMs and containers have in common."""

    name: str | None = Field(default=None, pattern=_NAME)
    vmid: Vmid | None = None
    node: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$")
    pool: str | None = Field(default=None, pattern=_POOL)
    clone: Any = None
    full: bool | None = None
    running: bool = True
    template: bool | None = None
    cpu: int | None = Field(default=None, ge=1, le=8192)
    cores: int | None = Field(default=None, ge=1, le=8192)
    memory: Memory | None = None
    cpulimit: int | None = Field(default=None, ge=0, le=8192)
    cpuunits: int | None = Field(default=None, ge=1, le=10000)
    onboot: bool | None = None
    protection: bool | None = None
    startup: Startup | None = None
    description: Notes | None = None
    tags: Tags | None = None
    ha: Ha | None = None
    firewall: Firewall | None = None
    stop: Stop = Stop()
    snapshot: Annotated[Before | None, BeforeValidator(before)] = None
    # Known, so that the answer says why: see policy.NEVER.
    hookscript: Any = None
    lock: Any = None
    skiplock: Any = None
    force: Any = None
    devices: Any = None

    @model_validator(mode="after")
    def _sane(self) -> GuestSpecs:
        if self.cpu and self.cores and self.cpu != self.cores:
            raise ValueError("cpu and cores say different things; write one of them")
        if self.memory:
            whole_mib(self.memory)
        if self.ha and self.template:
            raise ValueError("a template never runs, so `ha` has nothing to keep")
        if self.ha and self.ha.state in ("started", "stopped") and (self.ha.state == "started") != self.running:
            raise ValueError("ha.state and running say different things")
        return self


class VmSpecs(GuestSpecs):
    """`specs` of vm and compute."""

    disk: Size | None = None
    storage: Size | None = None
    sockets: int | None = Field(default=None, ge=1, le=16)
    vcpus: int | None = Field(default=None, ge=1, le=8192)
    balloon: Annotated[int, BeforeValidator(lambda v: 0 if v in (0, False) else units.size_bytes(v))] | None = None
    cpu_type: str | None = Field(default=None, pattern=_TOKEN)
    numa: bool | None = None
    bios: Literal["seabios", "ovmf"] | None = None
    machine: str | None = Field(default=None, pattern=_TOKEN)
    ostype: Literal["l24", "l26", "other", "solaris", "w2k8", "win7", "win8", "win10", "win11"] | None = None
    scsihw: Literal["lsi", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"] | None = None
    agent: bool | None = None
    vga: str | None = Field(default=None, pattern=_TOKEN)
    tablet: bool | None = None
    boot: tuple[Annotated[str, Field(pattern=r"^[a-z]{3,8}[0-9]{1,2}$")], ...] | None = None
    disks: dict[
        Annotated[str, Field(pattern=r"^(ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30)|virtio[0-9]|virtio1[0-5])$")], Disk
    ] = Field(default_factory=dict)
    cdroms: dict[Annotated[str, Field(pattern=r"^(ide[0-3]|sata[0-5])$")], Volume] = Field(default_factory=dict)
    efi: Efi | None = None
    tpm: Tpm | None = None
    nets: dict[Annotated[str, Field(pattern=r"^net([0-9]|[12][0-9]|3[01])$")], Nic] = Field(default_factory=dict)
    cloudinit: CloudInit | None = None
    args: Any = None
    hostpci: Any = None
    usb: Any = None
    serial: Any = None
    parallel: Any = None
    virtiofs: Any = None
    romfile: Any = None
    cicustom: Any = None
    rng: Any = None
    ivshmem: Any = None

    @model_validator(mode="after")
    def _disks_once(self) -> VmSpecs:
        if self.disk and self.storage and self.disk != self.storage:
            raise ValueError("disk and storage say different things; write one of them")
        if (self.disk or self.storage) and self.disks:
            raise ValueError("write either disk (the first one) or disks (all of them)")
        both = set(self.disks) & set(self.cdroms)
        if self.cloudinit:
            both |= {self.cloudinit.drive} & {*self.disks, *self.cdroms}
        if both:
            raise ValueError(f"{sorted(both)[0]} is used twice")
        if self.balloon and self.memory and self.balloon > self.memory:
            raise ValueError("balloon must not be larger than memory")
        return self


class Features(Strict):
    nesting: bool | None = None
    keyctl: bool | None = None
    fuse: bool | None = None
    mknod: bool | None = None
    mount: Any = None
    force_rw_sys: Any = None


class ContainerSpecs(GuestSpecs):
    """`specs` of lxc and container."""

    image: Annotated[str, BeforeValidator(volume)] | None = None
    rootfs: Root | None = None
    disk: Size | None = None
    storage: Size | None = None
    swap: Annotated[int, BeforeValidator(lambda v: 0 if v == 0 else units.size_bytes(v))] | None = None
    unprivileged: bool = True
    features: Features | None = None
    mounts: dict[Annotated[str, Field(pattern=r"^mp([0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])$")], Mount] = Field(
        default_factory=dict
    )
    nets: dict[Annotated[str, Field(pattern=r"^net([0-9]|[12][0-9]|3[01])$")], ContainerNic] = Field(
        default_factory=dict
    )
    nameservers: Addresses | None = None
    searchdomain: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")
    ssh_keys: Keys | None = None
    password: Any = None
    lxc: Any = None
    entrypoint: Any = None
    env: Any = None

    @model_validator(mode="after")
    def _complete(self) -> ContainerSpecs:
        if self.password is not None and not isinstance(self.password, Secret):
            raise ValueError('a password is written as a reference: {secret: "env:NAME"}')
        if not self.image and self.clone is None:
            raise ValueError("say what it is made from: `image` (STORAGE:vztmpl/FILE) or `clone`")
        if len([s for s in (self.rootfs, self.disk, self.storage) if s]) > 1:
            raise ValueError("rootfs, disk and storage say the same; write one of them")
        return self


def said(model: Strict) -> Mapping[str, Value]:
    """What was written of `model`, without what was left out."""
    return {k: v for k in type(model).model_fields if (v := getattr(model, k)) is not None}
