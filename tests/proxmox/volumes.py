"""Volumes on storages: names, allocation within the space there is, linked copies, removal."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.proxmox.faults import died
from tests.proxmox.tasks import check_lock, storage_lock
from tests.proxmox.world import Storage, Volume, World

_SNAPSHOTS = ("lvmthin", "zfspool", "rbd", "btrfs")
_LINKED = ("dir", "nfs", "cifs", "lvmthin", "zfspool", "rbd", "btrfs")
_LOCK_PATIENCE_S = 10.0


def storage_on(world: World, name: str, node: str) -> Storage:
    """The storage, if this node can use it. Raises the 500s of the API."""
    found = world.storages.get(name)
    if found is None:
        raise died(f"storage '{name}' does not exist")
    if found.options.get("disable") == "1":
        raise died(f"storage '{name}' is disabled")
    if not found.serves(node):
        raise died(f"storage '{name}' is not available on node '{node}'")
    return found


def storage_name(volid: str) -> str:
    """The storage part of a volume id."""
    return volid.partition(":")[0]


def used_bytes(world: World, storage: Storage, node: str) -> int:
    """What the volumes there add up to; a linked clone shares what its base has."""
    return sum(
        0 if volume.parent else volume.size_bytes
        for volume in world.volumes
        if storage_name(volume.volid) == storage.name and (storage.shared or volume.node == node)
    )


def find(world: World, volid: str, node: str) -> Volume | None:
    """The volume as this node sees it."""
    storage = world.storages.get(storage_name(volid))
    for volume in world.volumes:
        if volume.volid == volid and storage is not None and (storage.shared or volume.node == node):
            return volume
    return None


def existing(world: World, volid: str, node: str) -> Volume:
    """The volume, or a 500."""
    storage_on(world, storage_name(volid), node)
    found = find(world, volid, node)
    if found is None:
        raise died(f"volume '{volid}' does not exist")
    return found


def check_space(world: World, storage: Storage, node: str, wanted_bytes: int) -> None:
    """Raises when the storage is too full or its lock is held for too long."""
    if storage.shared:
        if world.held_locks.get(storage_lock(storage.name), 0.0) > world.now_s + _LOCK_PATIENCE_S:
            raise died(f"cfs-lock 'storage-{storage.name}' error: got lock request timeout")
    else:
        check_lock(world, storage_lock(storage.name), _LOCK_PATIENCE_S)
    if used_bytes(world, storage, node) + wanted_bytes > storage.total_bytes:
        raise died(f"storage '{storage.name}' on node '{node}' has insufficient free space")


def allocate(
    world: World, storage: str, node: str, vmid: int, size_bytes: int, *, form: str | None = None, content: str
) -> Volume:
    """A new volume of the guest under the lowest free number. Raises the 500s of the API."""
    where = storage_on(world, storage, node)
    if not where.holds(content):
        raise died(f"storage '{storage}' does not support content-type '{content}'")
    check_space(world, where, node, size_bytes)
    form = form or ("raw" if where.type != "zfspool" or content == "images" else "subvol")
    volid = _free_name(world, where, vmid, form, content)
    return _add(world, where, node, Volume(volid, "", content, form, size_bytes, vmid, ctime_s=world.now_s))


def named(world: World, storage: str, node: str, vmid: int, stem: str, form: str, size_bytes: int) -> Volume:
    """A new volume with a given name (cloud-init drives, saved RAM)."""
    where = storage_on(world, storage, node)
    check_space(world, where, node, size_bytes)
    volid = f"{storage}:{vmid}/{stem}.{form}" if where.file_based else f"{storage}:{stem}"
    if find(world, volid, node) is not None:
        raise died(f"disk image '{volid.partition(':')[2]}' already exists")
    return _add(world, where, node, Volume(volid, "", "images", form, size_bytes, vmid, ctime_s=world.now_s))


def _add(world: World, storage: Storage, node: str, volume: Volume) -> Volume:
    volume.node = "" if storage.shared else node
    world.volumes.append(volume)
    return volume


def _free_name(world: World, storage: Storage, vmid: int, form: str, content: str) -> str:
    prefix = "subvol" if form == "subvol" else "vm"
    taken = [volume.volid for volume in world.volumes if storage_name(volume.volid) == storage.name]
    number = 0
    while any(re.search(rf"(vm|base|subvol|basevol)-{vmid}-disk-{number}(\.\w+)?$", volid) for volid in taken):
        number += 1
    stem = f"{prefix}-{vmid}-disk-{number}"
    return f"{storage.name}:{vmid}/{stem}.{form}" if storage.file_based else f"{storage.name}:{stem}"


def can_snapshot(world: World, volume: Volume) -> bool:
    """True if the storage keeps snapshots of this volume."""
    return world.storages[storage_name(volume.volid)].type in _SNAPSHOTS or volume.format == "qcow2"


def linked_copy(world: World, base: Volume, vmid: int) -> Volume:
    """A copy that reads from a base volume. Raises the 500 where the storage cannot."""
    storage = world.storages[storage_name(base.volid)]
    if storage.type not in _LINKED or not _stem(base.volid).startswith("base"):
        raise died(f"Linked clone feature is not supported for '{base.volid}'")
    form = "qcow2" if storage.file_based else base.format
    own = _free_name(world, storage, vmid, form, base.content).partition(":")[2]
    path = base.volid.partition(":")[2]
    return _add(
        world,
        storage,
        base.node,
        replace(base, volid=f"{storage.name}:{path}/{own}", vmid=vmid, parent=base.volid, format=form, snapshots=[]),
    )


def _stem(volid: str) -> str:
    return volid.rpartition("/")[2] if "/" in volid else volid.partition(":")[2]


def make_base(world: World, volume: Volume) -> str:
    """Renames a volume to a base image; returns the new name."""
    volume.volid = re.sub(r"vm-(\d+-disk-\d+(?:\.\w+)?)$", r"base-\1", volume.volid)
    return volume.volid


def linked_to(world: World, volid: str) -> list[Volume]:
    """The linked copies that read from this volume."""
    return [volume for volume in world.volumes if volume.parent == volid]


def remove(world: World, volid: str, node: str) -> None:
    """Frees a volume. Raises the 500 if it is a base in use, or held by a snapshot of its guest."""
    volume = existing(world, volid, node)
    check_space(world, world.storages[storage_name(volid)], node, 0)
    children = linked_to(world, volid)
    if children:
        raise died(f"base volume '{volid}' is still in use by linked clone '{children[0].volid}'")
    world.volumes = [other for other in world.volumes if other is not volume]
