"""Changing a guest's configuration: everything goes to the pending section first, then what can be is applied."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.proxmox import volumes
from tests.proxmox.config_lines import check_boot, stored
from tests.proxmox.drives import is_cdrom, is_cloudinit, is_drive, is_net, is_option, volume_of
from tests.proxmox.faults import ApiError, bad_parameter, died, forbidden
from tests.proxmox.guest_config import add_unused, check_digest, check_unlocked, merged, volumes_of
from tests.proxmox.hotplug import applies_live
from tests.proxmox.named_formats import split_list
from tests.proxmox.permissions import Login, require
from tests.proxmox.world import Guest, World

_NOT_OPTIONS = frozenset({"node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay"}) | {
    *("pool", "start", "storage", "ostemplate", "restore", "unique", "archive", "bwlimit", "live-restore", "reboot"),
    *("import-working-storage", "password", "ssh-public-keys", "ignore-unpack-errors", "ha-managed"),
}
_ROOT_ONLY = {"qemu": re.compile(r"args|lock|hookscript"), "lxc": re.compile(r"hookscript|dev\d+|lock")}
_PRIVILEGES = {
    "VM.Config.CPU": r"cores|sockets|cpu|vcpus|cpulimit|cpuunits|numa\d*|affinity|smp",
    "VM.Config.Memory": r"memory|balloon|shares|swap|hugepages|keephugepages|allow-ksm",
    "VM.Config.Network": r"net\d+|nameserver|searchdomain|hostname|ipconfig\d+",
    "VM.Config.Cloudinit": r"cipassword|citype|ciuser|cicustom|sshkeys|ciupgrade",
    "VM.Config.HWType": (
        r"acpi|bios|machine|scsihw|vga|watchdog|audio0|kvm|hotplug|tablet|rng0|arch|smbios1|vmgenid|serial\d+|usb\d+"
        r"|hostpci\d+|parallel\d+|ivshmem|amd-sev|intel-tdx|virtiofs\d+"
    ),
}


def changes_in(params: Mapping[str, Any]) -> dict[str, str]:
    """The configuration options among the parameters of a call."""
    return {key: str(value) for key, value in params.items() if key not in _NOT_OPTIONS}


def check(world: World, login: Login, guest: Guest, params: Mapping[str, Any]) -> None:
    """What a config call checks before anything is done. Raises the errors of the API."""
    changes = changes_in(params)
    removals, reverts = (split_list(str(params.get(name, ""))) for name in ("delete", "revert"))
    if not changes and not removals and not reverts:
        raise died("no options specified")
    if params.get("skiplock") == "1" and not login.is_root:
        raise bad_parameter("skiplock", "Only root may use this option.")
    _check_names(world, guest, changes, removals, reverts)
    check_rights(world, login, guest, [*changes, *removals, *reverts], changes)
    check_digest(guest, params.get("digest"))
    if params.get("skiplock") != "1":
        check_unlocked(world, guest)
    _check_balloon(guest, changes)


def update(world: World, login: Login, guest: Guest, params: Mapping[str, Any]) -> None:
    """PUT or POST config. Raises the errors of the API; what was already applied stays applied."""
    check(world, login, guest, params)
    for key in split_list(str(params.get("revert", ""))):
        forget_pending(world, guest, key)
        guest.removals.pop(key, None)
    _remove(world, guest, split_list(str(params.get("delete", ""))), forced=params.get("force") == "1")
    _stage(world, login, guest, changes_in(params))
    apply_pending(world, guest)


def _check_names(
    world: World, guest: Guest, changes: Mapping[str, str], removals: Sequence[str], reverts: Sequence[str]
) -> None:
    for name, keys in (("delete", removals), ("revert", reverts)):
        for key in keys:
            if key in changes:
                text = f"you can't use '-{key}' and -{name} {key}' at the same time"
                raise bad_parameter(name, text)
            if not is_option(world.version, guest.kind, key):
                raise bad_parameter(name, f"unknown option '{key}'")
    for key in removals:
        if key in reverts:
            raise bad_parameter("revert", f"you can't use '-delete {key}' and '-revert {key}' at the same time")


def check_rights(
    world: World, login: Login, guest: Guest, keys: Sequence[str], changes: Mapping[str, str], *, creates: bool = False
) -> None:
    """Raises the 403 for options that this login may not set: reserved to root@pam, or a right is missing."""
    pool = world.pool_of(guest.vmid)
    path = f"/vms/{guest.vmid}"
    for key in keys:
        _check_reserved(login, guest.kind, key, changes.get(key))
        if not login.is_root and not (creates and pool is not None):
            require(world, login, path, [privilege_for(guest, key, changes.get(key))])
        if is_net(key) and key in changes:
            _check_bridge(world, login, changes[key])


def _check_bridge(world: World, login: Login, text: str) -> None:
    bridge, tag = (re.search(rf"(?:^|,){name}=([^,]+)", text) for name in ("bridge", "tag"))
    if bridge is not None:
        path = f"/sdn/zones/localnetwork/{bridge[1]}" + (f"/{tag[1]}" if tag else "")
        require(world, login, path, ["SDN.Use"])


def privilege_for(guest: Guest, key: str, value: str | None) -> str:
    """The VM.Config right that an option needs."""
    if is_drive(guest.kind, key) or key.startswith("unused"):
        text = value if value is not None else guest.config.get(key, "")
        return "VM.Config.CDROM" if "media=cdrom" in text and ":cloudinit" not in text else "VM.Config.Disk"
    for privilege, keys in _PRIVILEGES.items():
        if re.fullmatch(keys, key):
            return privilege
    return "VM.Config.Options"


def _check_reserved(login: Login, kind: str, key: str, value: str | None) -> None:
    if login.is_root:
        return
    if _ROOT_ONLY[kind].fullmatch(key):
        raise ApiError(500 if kind == "qemu" else 403, f"only root can set '{key}' config")
    if kind == "lxc" and key == "features" and not re.fullmatch(r"nesting=[01]", value or ""):
        raise forbidden("changing feature flags (except nesting) is only allowed for root@pam")
    if kind == "lxc" and is_drive(kind, key) and (value or "").startswith("/"):
        raise forbidden("mount point type bind is only allowed for root@pam")
    if kind == "qemu" and re.fullmatch(r"serial\d+|usb\d+|hostpci\d+", key) and value is not None:
        harmless = value in ("socket",) or value.startswith(("spice", "host=spice", "mapping="))
        if not harmless:
            raise died(f"only root can set '{key}' config for real devices")


def _check_balloon(guest: Guest, changes: Mapping[str, str]) -> None:
    after = {**guest.config, **guest.pending, **changes}
    memory = after.get("memory", "512").removeprefix("current=")
    if guest.kind == "qemu" and int(after.get("balloon", "0")) > int(memory):
        raise died("balloon value too large (must be smaller than assigned memory)")


def _remove(world: World, guest: Guest, keys: Sequence[str], *, forced: bool) -> None:
    for key in keys:
        if key not in guest.config and key not in guest.pending:
            continue
        if guest.config.get("protection") == "1" and (is_drive(guest.kind, key) or key.startswith("unused")):
            raise died(f"can't remove drive '{key}' - protection mode enabled")
        forget_pending(world, guest, key)
        if key.startswith("unused"):
            _destroy_unused(world, guest, key)
        elif key in guest.config:
            volid = volume_of(world, guest.kind, key, guest.config[key])
            if forced and volid is not None:
                check_unsnapshotted(world, guest, volid)
            guest.removals[key] = forced


def forget_pending(world: World, guest: Guest, key: str) -> None:
    """Drops what was to become of `key`; a volume made for it is kept as unused."""
    text = guest.pending.pop(key, None)
    if text is not None and volume_of(world, guest.kind, key, text) not in volumes_of(world, guest).values():
        _release(world, guest, key, text, forced=False)


def _destroy_unused(world: World, guest: Guest, key: str) -> None:
    volid = guest.config[key]
    check_unsnapshotted(world, guest, volid)
    if volumes.find(world, volid, guest.node) is not None:
        volumes.remove(world, volid, guest.node)
    del guest.config[key]


def check_unsnapshotted(world: World, guest: Guest, volid: str) -> None:
    """Raises the 500 of a volume that a snapshot of its guest still needs."""
    if in_snapshot(world, guest, volid):
        raise died(f"can't delete volume '{volid}': volume is still in use (snapshot?)")


def in_snapshot(world: World, guest: Guest, volid: str) -> bool:
    """True if a snapshot names this volume."""
    lines = [line for snapshot in guest.snapshots.values() for line in snapshot["config"].items()]
    return volid in (volume_of(world, guest.kind, key, value) for key, value in lines)


def _stage(world: World, login: Login, guest: Guest, changes: Mapping[str, str]) -> None:
    for key, text in changes.items():
        if key.startswith("unused"):
            raise died(f"unable to modify unused volume '{key}'")
        value = stored(world, login, guest, key, text)
        guest.removals.pop(key, None)
        if guest.pending.get(key) != value:
            forget_pending(world, guest, key)
        if guest.config.get(key) != value:
            guest.pending[key] = value
    if "boot" in changes:
        check_boot(world, changes["boot"], merged(guest))


def apply_pending(world: World, guest: Guest, *, cold: bool = False) -> None:
    """Puts pending changes into effect: all of a stopped guest, of a running one what can be changed live."""
    for key, forced in list(guest.removals.items()):
        if cold or not guest.running or applies_live(world, guest, key, None):
            del guest.removals[key]
            _drop(world, guest, key, forced=forced)
    for key, value in list(guest.pending.items()):
        if cold or not guest.running or applies_live(world, guest, key, value):
            del guest.pending[key]
            _put(world, guest, key, value)


def _drop(world: World, guest: Guest, key: str, *, forced: bool) -> None:
    old = guest.config.pop(key)
    _release(world, guest, key, old, forced=forced)
    if is_drive(guest.kind, key) or is_net(key):
        _leave_boot_order(guest, key)


def _leave_boot_order(guest: Guest, key: str) -> None:
    text = guest.config.get("boot", "")
    if text.startswith("order="):
        left = [device for device in split_list(text.removeprefix("order=")) if device != key]
        guest.config["boot"] = "order=" + ";".join(left)


def _put(world: World, guest: Guest, key: str, value: str) -> None:
    old = guest.config.get(key)
    guest.config[key] = value
    new_volume = volume_of(world, guest.kind, key, value)
    if old is not None and volume_of(world, guest.kind, key, old) != new_volume:
        _release(world, guest, key, old, forced=False)
    for unused in [name for name, volid in guest.config.items() if name.startswith("unused") and volid == new_volume]:
        del guest.config[unused]
    new_cdrom = guest.kind == "qemu" and old is None and is_cdrom(world, key, value)
    if new_cdrom and guest.config.get("boot", "").startswith("order=") and not is_cloudinit(new_volume):
        guest.config["boot"] = ";".join([guest.config["boot"], key]).replace("order=;", "order=")


def _release(world: World, guest: Guest, key: str, old: str, *, forced: bool) -> None:
    """A volume that is no longer used: kept as unused, unless it is generated or must go."""
    volid = volume_of(world, guest.kind, key, old)
    volume = None if volid is None else volumes.find(world, volid, guest.node)
    if volid is None or volume is None or volume.vmid != guest.vmid:
        return
    if is_cloudinit(volid) or forced:
        volumes.remove(world, volid, guest.node)
    else:
        add_unused(guest, volid)
