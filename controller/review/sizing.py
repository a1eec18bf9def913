"""How much of a machine a resource takes, read from its specs in any engine's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypedDict

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.review.manifest import manifests

# What takes no share of a machine of its own.
FREE_TYPES = frozenset({"network", "image", "config", "firewall", "pool", "tags", "secret", "backup-job", "snapshot"})
_STORES = frozenset({"volume", "storage", "disk"})

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgGtTpP]?)(i?)([bB]?)\s*")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


@dataclass(frozen=True, slots=True)
class Sizing:
    """Shares of one resource; `copies` of it run. `unknown` says why it has no price, empty where it has one."""

    cpu_millicores: int = 0
    memory_bytes: int = 0
    disks: tuple[tuple[str, int], ...] = ()  # class (`ssd`), bytes
    copies: int = 1
    gpus: tuple[tuple[str, int], ...] = ()  # class, count
    public_ips: int = 0
    backed_up: bool = False
    licence: str = ""  # as written; a product that the book has a licence for counts too
    product: str = ""
    item: str = ""
    free: bool = False
    unknown: str = ""

    def text(self) -> str:
        """`2 × 4 vCPU, 8 GiB, 100 GB ssd`."""
        parts = [f"{Decimal(self.cpu_millicores) / 1000:f} vCPU"] if self.cpu_millicores else []
        parts += [f"{_round(Decimal(self.memory_bytes) / 2**30)} GiB"] if self.memory_bytes else []
        named = (("disk" if kind == "default" else kind, n) for kind, n in self.disks)
        parts += [f"{_round(Decimal(n) / 10**9)} GB {kind}" for kind, n in named]
        parts += [f"{n} GPU" + (f" {kind}" if kind != "default" else "") for kind, n in self.gpus]
        parts += [f"{self.public_ips} public IP"] if self.public_ips else []
        parts += ["backup"] if self.backed_up and self.disks else []
        parts += [self.item] if self.item else []
        return (f"{self.copies} × " if self.copies > 1 else "") + ", ".join(parts)


def _round(number: Decimal) -> str:
    return f"{number.quantize(Decimal('0.01')).normalize():f}"


def size_bytes(value: Value) -> int | None:
    """Bytes of `512MiB`, `16GB` (powers of 1024, as the engines count), `8g`, or a plain number of bytes; None for
    anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(Decimal(match[1]) * 1024 ** _POWERS[match[2].upper()]) if match else None


def millicores(value: Value) -> int | None:
    """Thousandths of a core of `2`, `0.5`, `"500m"`; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    text = str(value).strip()
    try:
        number = Decimal(text[:-1]) if text.endswith("m") else Decimal(text) * 1000
    except InvalidOperation:
        return None
    return int(number) if number.is_finite() and 0 <= number <= 10**9 else None


def first(specs: Mapping[str, Value], *names: str) -> Value:
    """The first of these specs that is set; a name may be a path (`resources.limits.memory`)."""
    for name in names:
        value: Value = specs
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return None


_CPU = ("cpus", "cpu", "cores", "deploy.resources.limits.cpus", "resources.limits.cpu", "limits.cpu")


def cpu_of(entry: Entry) -> int | None:
    """Millicores; a virtual machine has its cores in each of its sockets. `cpu: host` names a type and no number."""
    found = next((n for name in _CPU if (n := millicores(first(entry.specs, name))) is not None), None)
    sockets = entry.specs.get("sockets")
    several = isinstance(sockets, int) and not isinstance(sockets, bool) and entry.type in ("vm", "compute")
    return found * sockets if found is not None and several and isinstance(sockets, int) else found


def memory_of(entry: Entry) -> int | None:
    return size_bytes(
        first(
            entry.specs,
            "memory",
            "mem_limit",
            "deploy.resources.limits.memory",
            "resources.limits.memory",
            "limits.memory",
        )
    )


def copies_of(entry: Entry) -> int:
    value = first(entry.specs, "replicas", "count", "scale", "deploy.replicas")
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 1


def _disks(entry: Entry) -> Iterator[tuple[str, int | None]]:
    kind = first(entry.specs, "disk_class", "storage_class", "class")
    name = str(kind).lower() if isinstance(kind, str) else "default"
    size = first(entry.specs, "disk", "storage", "size", "capacity")
    if size is not None:
        yield name, size_bytes(first(size, "size") if isinstance(size, Mapping) else size)
    for disk in _further(entry):
        own = first(disk, "class", "storage_class") if isinstance(disk, Mapping) else None
        yield (own.lower() if isinstance(own, str) else name), size_bytes(_size_of(disk))


def _of_objects(entry: Entry) -> Sizing:
    """What the pods and claims of Kubernetes objects ask for, all copies together: requests, else limits."""
    cpu, memory, disks = 0, 0, 0
    for m in manifests(entry):
        claim = first(m.body, "spec.resources.requests.storage") if m.kind == "PersistentVolumeClaim" else None
        disks += size_bytes(claim) or 0
        written = m.get("spec.replicas")
        copies = written if isinstance(written, int) else 1
        for c in m.lasting:
            one_cpu = millicores(first(c.spec, "resources.requests.cpu", "resources.limits.cpu"))
            one_memory = size_bytes(first(c.spec, "resources.requests.memory", "resources.limits.memory"))
            if one_cpu is None or one_memory is None:
                return Sizing(unknown=f"{m.name} requests no {'cpu' if one_cpu is None else 'memory'}")
            cpu, memory = cpu + one_cpu * copies, memory + one_memory * copies
    if not (cpu or memory or disks):
        return Sizing(free=True)
    return Sizing(cpu, memory, (("default", disks),) if disks else ())


def _further(entry: Entry) -> Iterator[Value]:
    """Disks in lists, and by name as guests of Proxmox VE have them."""
    for key in ("disks", "mounts", "rootfs"):
        value = first(entry.specs, key)
        if isinstance(value, list | tuple):
            yield from value
        elif isinstance(value, Mapping):
            yield from [value] if "size" in value else [v for v in value.values() if _size_of(v) is not None]


def _size_of(disk: Value) -> Value:
    """The size of a disk that is written as a map, or alone; None for a disk made from an image."""
    return first(disk, "size") if isinstance(disk, Mapping) else disk


def sizing(entry: Entry) -> Sizing:
    """What `entry` takes. Never guesses: without limits it is `unknown`, with the reason."""
    if entry.type in FREE_TYPES or entry.specs.get("external") is True:
        return Sizing(free=True)
    if entry.type == "manifest":
        return _of_objects(entry)
    if entry.metadata.get("item") and not entry.specs.get("cpu"):
        return Sizing(item=str(entry.metadata["item"]).lower(), copies=copies_of(entry))
    disks = tuple(_disks(entry))
    if any(n is None for _, n in disks):
        return Sizing(unknown="its disk size is not a size")
    known = tuple((kind, n) for kind, n in disks if n is not None)
    if entry.type in _STORES:
        return Sizing(disks=known) if known else Sizing(unknown="no size given")
    cpu, memory = cpu_of(entry), memory_of(entry)
    missing = [word for word, got in (("cpu", cpu), ("memory", memory)) if got is None]
    if cpu is None or memory is None:
        return Sizing(unknown=f"no {' and no '.join(missing)} limit given")
    return Sizing(cpu, memory, known, copies_of(entry), **_extras(entry))


class _Extras(TypedDict):
    gpus: tuple[tuple[str, int], ...]
    public_ips: int
    backed_up: bool
    licence: str
    product: str
    item: str


def _extras(entry: Entry) -> _Extras:
    """What is bought or kept beside a share of a machine."""
    gpus = first(entry.specs, "gpu", "gpus") or first(entry.metadata, "gpu")
    count = gpus if isinstance(gpus, int) and not isinstance(gpus, bool) else 1 if gpus is True else 0
    kind = first(entry.specs, "gpu_class", "gpu_type")
    licence = first(entry.specs, "licence") or first(entry.metadata, "licence")
    item = first(entry.specs, "item") or first(entry.metadata, "item")
    return {
        "gpus": ((str(kind or "default").lower(), count),) if count > 0 else (),
        "public_ips": 1 if entry.network.get("public_ip") not in (None, False) else 0,
        "backed_up": entry.backup.get("enabled", bool(entry.backup)) is True,
        "licence": str(licence or "").lower(),
        "product": (entry.product or "").lower(),
        "item": str(item or "").lower(),
    }
