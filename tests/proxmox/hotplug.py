"""Which changes a running guest takes at once, and which wait for its next start."""

from __future__ import annotations

import re

from tests.proxmox.drives import is_cdrom, is_drive, is_net, read_line, volume_of
from tests.proxmox.named_formats import split_list
from tests.proxmox.world import Guest, World

_AT_ONCE = re.compile(
    "description|hookscript|lock|migrate_downtime|migrate_speed|name|onboot|protection|shares|startup|tags"
    "|vmstatestorage|template|parent|snaptime|tablet|cpulimit|cpuunits|balloon|smp|ciuser|cipassword|citype|cicustom"
    r"|sshkeys|nameserver|searchdomain|ipconfig\d+|ciupgrade"
)
# Options of the cloud-init image wait there, not in the pending section, until the image is written again.
CLOUDINIT = re.compile(r"ciuser|cipassword|citype|cicustom|sshkeys|nameserver|searchdomain|ipconfig\d+|ciupgrade|name")
_LXC_COLD = re.compile(r"features|ostype|arch|unprivileged|cmode|console|tty|rootfs|dev\d+|entrypoint|env|debug")
_THROTTLES = re.compile(r"(bps|mbps|iops)(_rd|_wr)?(_max)?(_length)?(_max_length)?")


def applies_live(world: World, guest: Guest, key: str, value: str | None) -> bool:
    """True if the running guest takes `key` = `value` (None: its removal) without a restart."""
    if guest.kind == "lxc":
        return _container(world, guest, key, value)
    if _AT_ONCE.fullmatch(key):
        return True
    features = split_list(guest.config.get("hotplug", "network,disk,usb").replace("1", "network,disk,usb"))
    if is_net(key):
        return "network" in features
    if re.fullmatch(r"usb\d+", key):
        return "usb" in features
    if key in ("vcpus", "memory"):
        return ("cpu" if key == "vcpus" else "memory") in features
    return is_drive("qemu", key) and _drive(world, guest, key, value, "disk" in features)


def _drive(world: World, guest: Guest, key: str, value: str | None, enabled: bool) -> bool:
    old = guest.config.get(key)
    if value is not None and old is not None and is_cdrom(world, key, value) and is_cdrom(world, key, old):
        return True
    if not enabled or not re.fullmatch(r"(scsi|virtio)\d+", key):
        return False
    if value is None or old is None or volume_of(world, "qemu", key, old) != volume_of(world, "qemu", key, value):
        return True
    return _only_throttles(world, key, old, value)


def _only_throttles(world: World, key: str, old: str, new: str) -> bool:
    before, after = (read_line(world.version, "qemu", key, text) for text in (old, new))
    different = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    return all(_THROTTLES.fullmatch(name) or name in ("backup", "replicate") for name in different)


def _container(world: World, guest: Guest, key: str, value: str | None) -> bool:
    if re.fullmatch(r"mp\d+", key):
        return value is not None and key not in guest.config
    return _LXC_COLD.fullmatch(key) is None
