"""Lists and configurations of guests, for VMs and containers alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.proxmox import config_change
from tests.proxmox.calls import Call, Handler, Routes
from tests.proxmox.faults import bad_parameter
from tests.proxmox.guest_config import merged, pending_rows, shown
from tests.proxmox.hotplug import CLOUDINIT
from tests.proxmox.permissions import Login, may
from tests.proxmox.power import usage
from tests.proxmox.tasks import Action, nothing
from tests.proxmox.world import Guest, Task, World


def for_kind(handler: Callable[[Call, str], Any], kind: str) -> Handler:
    """A handler of one kind from one for both."""
    return lambda call: handler(call, kind)


def _list(call: Call, kind: str) -> list[dict[str, Any]]:
    rows = []
    for guest in call.world.guests.values():
        if (guest.node, guest.kind) == (call.node, kind) and may(
            call.world, call.login, f"/vms/{guest.vmid}", "VM.Audit"
        ):
            rows.append({"vmid": guest.vmid, **usage(call.world, guest)})
    return rows


def _index(call: Call, kind: str) -> list[dict[str, Any]]:
    call.guest(kind)
    names = ("config", "pending", "status", "migrate", "clone", "resize", "snapshot", "firewall")
    return [{"subdir": name} for name in names]


def _read(call: Call, kind: str) -> dict[str, Any]:
    guest = call.guest(kind)
    name = call.optional("snapshot")
    if name is not None and call.flag("current"):
        raise bad_parameter("snapshot", "cannot use 'snapshot' parameter with 'current'")
    if name is not None:
        snapshot = guest.snapshots.get(name)
        if snapshot is None:
            raise bad_parameter("snapshot", f"snapshot '{name}' does not exist")
        return shown(call.world, guest, snapshot["config"])
    return shown(call.world, guest, guest.config if call.flag("current") else merged(guest))


def _pending(call: Call, kind: str) -> list[dict[str, Any]]:
    return pending_rows(call.world, call.guest(kind))


def _put(call: Call, kind: str) -> None:
    guest = call.guest(kind)
    config_change.update(call.world, call.login, guest, call.params)
    _keep_for_cloudinit(guest)


def _keep_for_cloudinit(guest: Guest) -> None:
    """A stopped VM gets its image written at start; a running one shows what waits."""
    if guest.kind == "qemu" and not guest.running:
        guest.cloudinit = {key: value for key, value in guest.config.items() if CLOUDINIT.fullmatch(key)}


def _post(call: Call) -> str | None:
    """POST config works in a task; what it does is done at once, a fault or a delay only shows in the task."""
    guest = call.guest("qemu")
    config_change.check(call.world, call.login, guest, call.params)
    upid = call.begin("qmconfig", guest.vmid, "config", vmid=guest.vmid, params=dict(call.params))
    lengths = call.world.settings.task_length_s
    length_s = lengths.get("qmconfig", lengths.get("*", 0.0))
    delay_s = call.number("background_delay")
    return None if delay_s and length_s <= delay_s else upid


def _config_finish(world: World, task: Task) -> None:
    guest = world.guest(task.node, task.args["vmid"], "qemu")
    config_change.update(world, Login(task.user, task.token), guest, task.args["params"])
    _keep_for_cloudinit(guest)


def _cloudinit(call: Call) -> list[dict[str, Any]]:
    guest = call.guest("qemu")
    now = {key: value for key, value in guest.config.items() if CLOUDINIT.fullmatch(key)}
    rows = []
    for key in sorted({*now, *guest.cloudinit}):
        row: dict[str, Any] = {"key": key}
        if key in guest.cloudinit:
            row["value"] = "**********" if key == "cipassword" else guest.cloudinit[key]
        if key not in now:
            row["delete"] = 1
        elif now[key] != guest.cloudinit.get(key):
            row["pending"] = "**********" if key == "cipassword" else now[key]
        rows.append(row)
    return rows


def _write_cloudinit(call: Call) -> None:
    guest = call.guest("qemu")
    guest.cloudinit = {key: value for key, value in guest.config.items() if CLOUDINIT.fullmatch(key)}


def _routes(kind: str) -> dict[tuple[str, str], Handler]:
    base = f"/nodes/{{node}}/{kind}"
    one = f"{base}/{{vmid}}"
    return {
        ("GET", base): for_kind(_list, kind),
        ("GET", one): for_kind(_index, kind),
        ("GET", f"{one}/config"): for_kind(_read, kind),
        ("PUT", f"{one}/config"): for_kind(_put, kind),
        ("GET", f"{one}/pending"): for_kind(_pending, kind),
    }


ROUTES: Routes = {
    **_routes("qemu"),
    **_routes("lxc"),
    ("POST", "/nodes/{node}/qemu/{vmid}/config"): _post,
    ("GET", "/nodes/{node}/qemu/{vmid}/cloudinit"): _cloudinit,
    ("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit"): _write_cloudinit,
}

ACTIONS = {"config": Action(nothing, _config_finish)}
