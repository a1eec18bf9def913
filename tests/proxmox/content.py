"""What lies on a storage: lists, allocation, removal, uploads and downloads."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from tests.proxmox import volumes
from tests.proxmox.calls import Call, Routes
from tests.proxmox.drives import size_bytes
from tests.proxmox.faults import TaskError, bad_parameter, died
from tests.proxmox.permissions import may
from tests.proxmox.tasks import Action
from tests.proxmox.world import GIB, Task, Volume, World

_ENDINGS = {
    "iso": re.compile(r".+\.(iso|img)", re.IGNORECASE),
    "vztmpl": re.compile(r".+\.tar\.(gz|xz|zst|bz2)|.+\.tar"),
    "import": re.compile(r".+\.(qcow2|raw|vmdk|ova)"),
}
_DOWNLOAD_BYTES = GIB // 2


def _row(volume: Volume) -> dict[str, Any]:
    row: dict[str, Any] = {
        "volid": volume.volid,
        "content": volume.content,
        "format": volume.format,
        "size": volume.size_bytes,
        "ctime": int(volume.ctime_s),
    }
    row |= {"vmid": volume.vmid} if volume.vmid is not None else {}
    row |= {"parent": volume.parent} if volume.parent is not None else {}
    row |= {"notes": volume.notes} if volume.notes else {}
    return row | ({"protected": 1} if volume.protected else {})


def _list(call: Call) -> list[dict[str, Any]]:
    storage = volumes.storage_on(call.world, call.text("storage"), call.node)
    rows = []
    for volume in call.world.volumes:
        here = volumes.storage_name(volume.volid) == storage.name and (storage.shared or volume.node == call.node)
        fits = call.text("content", volume.content) == volume.content
        owned = call.optional("vmid") is None or volume.vmid == call.vmid
        if here and fits and owned and _visible(call, volume):
            rows.append(_row(volume))
    return rows


def _visible(call: Call, volume: Volume) -> bool:
    if volume.vmid is None or may(call.world, call.login, f"/storage/{call.text('storage')}", "Datastore.Allocate"):
        return True
    return may(call.world, call.login, f"/vms/{volume.vmid}", "VM.Audit")


def _allocate(call: Call) -> str:
    world, name, vmid = call.world, call.text("filename"), call.vmid
    storage = volumes.storage_on(world, call.text("storage"), call.node)
    size = call.text("size")
    size_b = int(size) * 1024 if size.isdigit() else size_bytes(size)
    if not re.fullmatch(rf"(vm|base|subvol|basevol)-{vmid}-\S+", name):
        raise bad_parameter("filename", f"illegal name '{name}' - should be 'vm-{vmid}-*'")
    form = call.text("format") or (name.rpartition(".")[2] if storage.file_based and "." in name else "raw")
    stem = name.removesuffix(f".{form}")
    volid = f"{storage.name}:{vmid}/{stem}.{form}" if storage.file_based else f"{storage.name}:{name}"
    if volumes.find(world, volid, call.node) is not None:
        raise died(f"disk image '{name}' already exists")
    return volumes.named(world, storage.name, call.node, vmid, stem, form, size_b).volid


def _volid(call: Call) -> str:
    name = call.text("volume")
    return name if ":" in name else f"{call.text('storage')}:{name}"


def _read(call: Call) -> dict[str, Any]:
    volume = volumes.existing(call.world, _volid(call), call.node)
    row = {"path": f"/emulated/{volume.volid}", "size": volume.size_bytes, "used": volume.size_bytes}
    row |= {"format": volume.format} | ({"notes": volume.notes} if volume.notes else {})
    return row


def _change(call: Call) -> None:
    volume = volumes.existing(call.world, _volid(call), call.node)
    volume.notes = call.text("notes", volume.notes)
    volume.protected = call.flag("protected", default=volume.protected)


def _drop(call: Call) -> str | None:
    volid = _volid(call)
    volume = volumes.existing(call.world, volid, call.node)
    call.require(f"/storage/{volumes.storage_name(volid)}", "Datastore.AllocateSpace")
    if volume.protected:
        raise died(f"can't remove protected volume '{volid}'")
    upid = call.begin("imgdel", f"{volume.vmid or ''}@{volumes.storage_name(volid)}", "imgdel", volid=volid)
    lengths = call.world.settings.task_length_s
    return (
        None if call.number("delay") and lengths.get("imgdel", lengths.get("*", 0.0)) <= call.number("delay") else upid
    )


def _dropped(world: World, task: Task) -> None:
    volumes.remove(world, task.args["volid"], task.node)


def _file_name(call: Call, name: str) -> str:
    name = re.sub(r"[^-a-zA-Z0-9_.]", "_", re.sub(r"^.*[/\\]", "", name))
    if not _ENDINGS[call.text("content")].fullmatch(name):
        raise bad_parameter("filename", "wrong file extension")
    storage = volumes.storage_on(call.world, call.text("storage"), call.node)
    if not storage.holds(call.text("content")):
        raise died(f"storage '{storage.name}' does not support '{call.text('content')}' content")
    return name


def _upload(call: Call) -> str:
    if call.upload is None:
        raise bad_parameter("filename", "property is missing and it is not optional")
    name = _file_name(call, call.upload[0])
    data = call.upload[1]
    found = {algorithm: hashlib.new(algorithm, data).hexdigest() for algorithm in ("md5", "sha1", "sha256", "sha512")}
    return call.begin(
        "imgcopy",
        "",
        "upload",
        storage=call.text("storage"),
        content=call.text("content"),
        name=name,
        size=len(data),
        checksum=call.optional("checksum"),
        computed=found.get(call.text("checksum-algorithm"), ""),
    )


def _download(call: Call) -> str:
    name = _file_name(call, call.text("filename"))
    if ("checksum" in call.params) != ("checksum-algorithm" in call.params):
        raise bad_parameter("checksum", "missing checksum or algorithm")
    return call.begin(
        "download",
        name,
        "upload",
        storage=call.text("storage"),
        content=call.text("content"),
        name=name,
        size=_DOWNLOAD_BYTES,
        checksum=call.optional("checksum"),
        computed=call.optional("checksum"),
        url=call.text("url"),
        progress="downloading",
    )


def _stored(world: World, task: Task) -> None:
    args = task.args
    if args["checksum"] is not None and args["checksum"].lower() != args["computed"]:
        raise TaskError(f"checksum mismatch: got '{args['computed']}' != expect '{args['checksum']}'")
    storage = world.storages[args["storage"]]
    volid = f"{args['storage']}:{args['content']}/{args['name']}"
    old = volumes.find(world, volid, task.node)
    if old is not None and "url" in args:
        if old.checksum and old.checksum == args["checksum"]:
            return
        raise TaskError(f"refusing to override existing file '{args['name']}'")
    volumes.check_space(world, storage, task.node, args["size"])
    world.volumes = [volume for volume in world.volumes if volume is not old]
    form = "tgz" if args["content"] == "vztmpl" else args["name"].rpartition(".")[2]
    node = "" if storage.shared else task.node
    volume = Volume(volid, node, args["content"], form, args["size"], ctime_s=world.now_s)
    volume.checksum = args["checksum"] or ""
    world.volumes.append(volume)


_BASE = "/nodes/{node}/storage/{storage}"

ROUTES: Routes = {
    ("GET", f"{_BASE}/content"): _list,
    ("POST", f"{_BASE}/content"): _allocate,
    ("GET", f"{_BASE}/content/{{volume}}"): _read,
    ("PUT", f"{_BASE}/content/{{volume}}"): _change,
    ("DELETE", f"{_BASE}/content/{{volume}}"): _drop,
    ("POST", f"{_BASE}/upload"): _upload,
    ("POST", f"{_BASE}/download-url"): _download,
}

ACTIONS = {"imgdel": Action(finish=_dropped), "upload": Action(finish=_stored)}
