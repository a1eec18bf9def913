"""What a request to a cluster may hold (I38): an allow-list over the final parameters of every call. Pure.

The same functions judge a blueprint when it is expanded and the filled parameters right before they are sent. A
parameter that is not named here is refused.

The target's own configuration bounds nodes, storages, bridges, pools, vmids and templates. Server policy widens or
narrows per repository (`allow: {REPO: {proxmox: {…}}}`):
    privileged   any value: containers may be privileged
    features     `nesting`, `keyctl`, `fuse`, `mknod`: features of containers beyond none
    pools, storages, bridges, nodes   only these of the target's, for this repository
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from controller.plan.resource import Allow
from engines.proxmox import lines, marks
from engines.proxmox.options import LXC, QEMU
from engines.proxmox.settings import Settings

Refusal = tuple[str, str]  # path in `specs`, reason
Params = Mapping[str, Any]

# Key of specs → why, for those that no server policy can open.
NEVER: Mapping[str, str] = {
    "args": "gives QEMU any argument, and with it the node",
    "lock": "would block the guest for everybody else",
    "skiplock": "would work on a guest that somebody else is changing",
    "force": "would skip a protection; `stop: {force: true}` is the one that there is",
    "hookscript": "runs a script as root on the node",
    "hostpci": "gives the guest a device of the node",
    "usb": "gives the guest a device of the node",
    "serial": "gives the guest a device of the node",
    "parallel": "gives the guest a device of the node",
    "virtiofs": "shows the guest a folder of the node",
    "ivshmem": "shares memory of the node",
    "rng": "reads a device of the node",
    "romfile": "reads a file of the node",
    "cicustom": "reads snippets of the node; write `cloudinit`",
    "devices": "gives the container a device of the node",
    "lxc": "raw lxc.* keys reach past every other check",
    "entrypoint": "replaces the container's first process",
    "env": "is no option of a container that both versions of the API know",
}
_COMMON = frozenset(
    {"cores", "memory", "cpulimit", "cpuunits", "onboot", "protection", "startup", "description", "tags", "nameserver"}
    | {"searchdomain", "delete", "digest", "pool", "vmid"}
)
_ALLOWED: Mapping[str, frozenset[str]] = {
    QEMU: _COMMON
    | {"name", "sockets", "vcpus", "balloon", "cpu", "numa", "bios", "machine", "ostype", "scsihw", "agent", "vga"}
    | {"tablet", "boot", "ciuser", "cipassword", "sshkeys", "ciupgrade", "efidisk0", "tpmstate0"},
    LXC: _COMMON
    | {"hostname", "swap", "unprivileged", "features", "rootfs", "ostemplate", "password", "ssh-public-keys"},
}
_NUMBERED: Mapping[str, re.Pattern[str]] = {
    QEMU: re.compile(r"(net|ipconfig|ide|sata|scsi|virtio)\d{1,2}"),
    LXC: re.compile(r"(net\d{1,2}|mp\d{1,3})"),
}
_FORCED = "force"  # only beside `delete` of a disk that this very run has made
_VOLUME = re.compile(r"(?P<storage>[A-Za-z][A-Za-z0-9._-]*):(?P<rest>[A-Za-z0-9._/+-]+)")
_IMPORTED = re.compile(r"[A-Za-z][A-Za-z0-9._-]*:(iso|import)/[A-Za-z0-9._+-]+")
_DRIVE_PARTS = frozenset(
    {"file", "volume", "size", "media", "cache", "aio", "discard", "ssd", "iothread", "backup", "replicate", "ro"}
    | {"mbps", "mbps_rd", "mbps_wr", "iops", "iops_rd", "iops_wr", "format", "import-from", "mp", "acl", "quota"}
    | {"efitype", "pre-enrolled-keys", "version", "shared"}
)


def specs(written: Mapping[str, object], allow: Allow) -> list[Refusal]:
    """Everything in `specs` that reaches the node or the cluster and is not allowed."""
    found = [(key, f"{why}, and is never allowed") for key, why in NEVER.items() if written.get(key) is not None]
    features = written.get("features")
    asked: Mapping[str, object] = features if isinstance(features, Mapping) else {}
    for name in sorted(asked):
        if asked[name] and name not in allow.option("proxmox.features"):
            found.append((f"features.{name}", f"feature {name} weakens the container's walls; {_open('features')}"))
    if written.get("unprivileged") is False and not allow.option("proxmox.privileged"):
        found.append(("unprivileged", f"root of a privileged container is root of the node; {_open('privileged')}"))
    return found


def named(placed: Mapping[str, str], allow: Allow) -> list[Refusal]:
    """Pools, storages, bridges and nodes that this repository may not name. `placed`: path in specs → `what NAME`."""
    found = []
    for path, text in placed.items():
        what, _, name = text.partition(" ")
        only = allow.option(f"proxmox.{what}s")
        if only and name not in only:
            found.append((path, f"{what} {name} is not among those of this repository; {_open(what + 's')}"))
    return found


def config(kind: str, params: Params, current: Mapping[str, str], allow: Allow, bounds: Settings) -> list[Refusal]:
    """The parameters of a create or configuration call. `current`: what stands there, which may stay."""
    found: list[Refusal] = []
    for key, value in params.items():
        text = str(value)
        if key not in _ALLOWED[kind] and not _NUMBERED[kind].fullmatch(key):
            found.append((key, f"{key} is not among what ALMA sends to a cluster"))
        elif text != current.get(key):
            found += _value(kind, key, text, current.get(key, ""), allow, bounds)
    return found


def _value(kind: str, key: str, text: str, before: str, allow: Allow, bounds: Settings) -> list[Refusal]:
    if key == "description":
        return [(key, "the notes hold more than one marker")] if text.count("<!-- alma ") > 1 else []
    if "\n" in text or "\0" in text:
        return [(key, "holds a line break")] if key != "ssh-public-keys" else []
    if key.startswith("net") and key != "network":
        return _bridge(key, lines.read(key, text), lines.read(key, before), allow, bounds)
    if key == "features":
        weak = [n for n, v in lines.read(key, text).items() if v not in ("0", "off")]
        kept = lines.read(key, before)
        allowed = allow.option("proxmox.features")
        return [
            (f"features.{n}", f"feature {n} is not allowed; {_open('features')}")
            for n in weak
            if n not in allowed and kept.get(n) in (None, "0")
        ]
    if key == "unprivileged" and text != "1" and not allow.option("proxmox.privileged"):
        return [(key, f"privileged containers are not allowed; {_open('privileged')}")]
    if key == "ostemplate":
        return [] if _VOLUME.fullmatch(text) and ":vztmpl/" in text else [(key, "is no template of a storage")]
    if re.fullmatch(r"(ide|sata|scsi|virtio|mp)\d+|rootfs|efidisk0|tpmstate0", key):
        return _volume(key, lines.read(key, text), lines.read(key, before), allow, bounds)
    return []


def _bridge(key: str, line: lines.Line, before: lines.Line, allow: Allow, bounds: Settings) -> list[Refusal]:
    bridge = line.get("bridge", "")
    if bridge == before.get("bridge"):
        return []
    if bounds.bridges and bridge not in bounds.bridges:
        return [(f"nets.{key}.bridge", f"bridge {bridge} is not among those of this target")]
    return named({f"nets.{key}.bridge": f"bridge {bridge}"}, allow)


def _volume(key: str, line: lines.Line, before: lines.Line, allow: Allow, bounds: Settings) -> list[Refusal]:
    unknown = [n for n in line if n not in _DRIVE_PARTS and line[n] != before.get(n)]
    if unknown:
        return [(key, f"option {unknown[0]} is not among what ALMA sends")]
    volume = line.get("file") or line.get("volume") or ""
    if volume == (before.get("file") or before.get("volume")) or volume == "none":
        return []
    match = _VOLUME.fullmatch(volume)
    if match is None:
        return [(key, f"{volume} is no volume of a storage: paths of the node are never allowed")]
    source = line.get("import-from")
    if source is not None and not _IMPORTED.fullmatch(source):
        return [(key, f"{source} is no image of a storage: neither paths nor disks of other guests are imported")]
    found = [] if not bounds.storages or match["storage"] in bounds.storages else [match["storage"]]
    told = [(key, f"storage {name} is not among those of this target") for name in found]
    return told + named({key: f"storage {match['storage']}"}, allow)


def placement(node: str | None, pool: str | None, allow: Allow, bounds: Settings) -> list[Refusal]:
    """Where a guest may be made and which pool it may join."""
    found: list[Refusal] = []
    if node and bounds.nodes and node not in bounds.nodes:
        found.append(("node", f"node {node} is not among those of this target"))
    if pool and bounds.pools and pool not in bounds.pools:
        found.append(("pool", f"pool {pool} is not among those of this target"))
    placed = {
        k: v for k, v in {"node": f"node {node}" if node else "", "pool": f"pool {pool}" if pool else ""}.items() if v
    }
    return found + named(placed, allow)


def notes(text: str) -> list[Refusal]:
    """Filled-in notes: a value must not read as a marker (I16)."""
    return [("description", "notes that say who owns a guest cannot be set")] if marks.forges(text) else []


def _open(option: str) -> str:
    return f"an administrator may add it to proxmox.{option} of this repository's allow list"
