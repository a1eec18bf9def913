"""Starting and stopping guests, and what their status says."""

from __future__ import annotations

import re
from typing import Any

from tests.proxmox.calls import Call, Handler, Routes
from tests.proxmox.config_change import apply_pending
from tests.proxmox.drives import is_drive, size_bytes
from tests.proxmox.faults import TaskError, died
from tests.proxmox.guest_config import check_unlocked, volumes_of
from tests.proxmox.hotplug import CLOUDINIT
from tests.proxmox.tasks import Action, end, power_tasks
from tests.proxmox.volumes import find
from tests.proxmox.world import Guest, Task, World

_MIB = 1024 * 1024
_SHUTDOWN_S = 60.0
_SIZE = re.compile(r",size=([^,]+)")


def sid(guest: Guest) -> str:
    """The guest's name for the HA manager."""
    return f"{'vm' if guest.kind == 'qemu' else 'ct'}:{guest.vmid}"


def guest_name(guest: Guest) -> str:
    """What lists call a guest."""
    if guest.kind == "qemu":
        return guest.config.get("name", f"VM {guest.vmid}")
    return guest.config.get("hostname", f"CT{guest.vmid}")


def usage(world: World, guest: Guest) -> dict[str, Any]:
    """Status and figures as lists and `status/current` show them."""
    config = guest.config
    cores = int(config.get("cores", "1")) * int(config.get("sockets", "1"))
    memory = int(config.get("memory", "512").removeprefix("current="))
    row: dict[str, Any] = {
        "status": "running" if guest.running else "stopped",
        "name": guest_name(guest),
        "cpus": cores,
        "maxmem": memory * _MIB,
        "maxdisk": _boot_disk_bytes(guest),
        "uptime": int(world.now_s - guest.started_s) if guest.running else 0,
        "cpu": 0.01 if guest.running else 0,
        "mem": memory * _MIB // 2 if guest.running else 0,
    }
    row |= {key: config[key] for key in ("lock", "tags") if key in config}
    if config.get("template") == "1":
        row["template"] = 1
    return row if guest.kind == "qemu" else {**row, "type": "lxc"}


def _boot_disk_bytes(guest: Guest) -> int:
    """The size that the configuration names for its first disk."""
    for key, text in guest.config.items():
        size = _SIZE.search(text) if is_drive(guest.kind, key) else None
        if size is not None and "media=cdrom" not in text:
            return size_bytes(size[1])
    return 0


def _current(call: Call, kind: str) -> dict[str, Any]:
    guest = call.guest(kind)
    resource = call.world.ha.get(sid(guest))
    row = {"vmid": guest.vmid, **usage(call.world, guest)}
    row["ha"] = {"managed": 0} if resource is None else {"managed": 1, "state": resource.state}
    if kind == "qemu":
        row["qmpstatus"] = "paused" if guest.paused else row["status"]
        if guest.config.get("agent", "0").split(",")[0] in ("1", "enabled=1"):
            row["agent"] = 1
    return row


def _power(verb: str) -> Handler:
    return lambda call: _begin(call, "qemu", verb)


def _ct_power(verb: str) -> Handler:
    return lambda call: _begin(call, "lxc", verb)


def _begin(call: Call, kind: str, verb: str) -> str:
    guest = call.guest(kind)
    managed = call.world.ha.get(sid(guest))
    if managed is not None and managed.state != "ignored" and verb in ("start", "stop", "shutdown"):
        managed_verb = "hastart" if verb == "start" else "hastop"
        wanted = "started" if verb == "start" else "stopped"
        return call.begin(managed_verb, guest.vmid, "ha-request", sid=sid(guest), state=wanted)
    _refuse_at_once(call, guest, verb)
    prefix = "qm" if kind == "qemu" else "vz"
    keys = ("timeout", "forceStop", "overrule-shutdown")
    args = {key: call.params[key] for key in keys if key in call.params}
    return call.begin(f"{prefix}{verb}", guest.vmid, verb, vmid=guest.vmid, kind=kind, **args)


def _refuse_at_once(call: Call, guest: Guest, verb: str) -> None:
    label = "VM" if guest.kind == "qemu" else "CT"
    if verb == "start" and not call.world.settings.quorate:
        raise died("cluster not ready - no quorum?")
    if guest.kind == "lxc" and verb == "start" and guest.running:
        raise died(f"CT {guest.vmid} already running")
    if not guest.running and (verb == "reboot" or (guest.kind == "lxc" and verb in ("stop", "shutdown"))):
        raise died(f"{label} {guest.vmid} not running")
    if verb == "shutdown" and guest.paused and not call.flag("forceStop"):
        raise died("VM is paused - cannot shutdown")


def start_guest(world: World, guest: Guest) -> None:
    """Brings a guest up: pending changes take effect, the cloud-init image is written. Raises TaskError."""
    label = "VM" if guest.kind == "qemu" else "CT"
    if guest.config.get("template") == "1":
        raise TaskError(f"you can't start a {'vm' if guest.kind == 'qemu' else 'CT'} if it's a template")
    if guest.running:
        raise TaskError(f"{label} {guest.vmid} already running")
    check_unlocked(world, guest, allow=("suspended",))
    guest.config.pop("lock", None)
    apply_pending(world, guest, cold=True)
    for key, volid in volumes_of(world, guest).items():
        if find(world, volid, guest.node) is None:
            raise TaskError(f"volume '{volid}' does not exist ({key})")
    guest.running, guest.paused, guest.started_s = True, False, world.now_s
    guest.cloudinit = {key: value for key, value in guest.config.items() if CLOUDINIT.fullmatch(key)}


def stop_guest(world: World, guest: Guest) -> None:
    """Takes a guest down; pending changes of a stopped guest take effect at once."""
    guest.running = guest.paused = False
    apply_pending(world, guest, cold=True)


def _guest(world: World, task: Task) -> Guest:
    return world.guest(task.node, task.args["vmid"], task.args["kind"])


def _start(world: World, task: Task) -> None:
    start_guest(world, _guest(world, task))


def _stop_begins(world: World, task: Task) -> None:
    """A shutdown that is under way holds the lock, unless the caller wants it to end."""
    if task.args.get("overrule-shutdown") == "1":
        for other in power_tasks(world, task.args["vmid"]):
            if other.action == "shutdown":
                end(world, other, "received interrupt")
    check_unlocked(world, _guest(world, task))


def _stop(world: World, task: Task) -> None:
    guest = _guest(world, task)
    stop_guest(world, guest)


def _shutdown_begins(world: World, task: Task) -> None:
    """A guest that ignores the request (`agent` is "deaf") keeps the worker until its time-out."""
    guest = _guest(world, task)
    check_unlocked(world, guest)
    if guest.running and guest.agent == "deaf":
        task.length_s = max(task.length_s, float(task.args.get("timeout", _SHUTDOWN_S)))


def _shutdown(world: World, task: Task) -> None:
    guest = _guest(world, task)
    if guest.running and guest.agent == "deaf" and task.args.get("forceStop") != "1":
        raise TaskError("VM quit/powerdown failed - got timeout")
    stop_guest(world, guest)


def _reboot(world: World, task: Task) -> None:
    guest = _guest(world, task)
    if guest.agent == "deaf" and guest.kind == "qemu":
        raise TaskError("VM quit/powerdown failed - got timeout")
    stop_guest(world, guest)
    start_guest(world, guest)


def _check_running(world: World, task: Task) -> None:
    guest = _guest(world, task)
    if not guest.running:
        raise TaskError(f"VM {guest.vmid} not running")


def _suspend(world: World, task: Task) -> None:
    _check_running(world, task)
    _guest(world, task).paused = True


def _resume(world: World, task: Task) -> None:
    _check_running(world, task)
    _guest(world, task).paused = False


def _suspend_call(call: Call) -> str:
    guest = call.guest("qemu")
    return call.begin("qmpause", guest.vmid, "suspend", vmid=guest.vmid, kind="qemu")


_QEMU = "/nodes/{node}/qemu/{vmid}/status"
_LXC = "/nodes/{node}/lxc/{vmid}/status"

ROUTES: Routes = {
    ("GET", f"{_QEMU}/current"): lambda call: _current(call, "qemu"),
    ("GET", f"{_LXC}/current"): lambda call: _current(call, "lxc"),
    **{
        ("POST", f"{_QEMU}/{verb}"): _power(verb) for verb in ("start", "stop", "shutdown", "reboot", "reset", "resume")
    },
    ("POST", f"{_QEMU}/suspend"): _suspend_call,
    **{("POST", f"{_LXC}/{verb}"): _ct_power(verb) for verb in ("start", "stop", "shutdown", "reboot")},
}

ACTIONS = {
    "start": Action(finish=_start),
    "stop": Action(_stop_begins, _stop),
    "shutdown": Action(_shutdown_begins, _shutdown),
    "reboot": Action(_check_running, _reboot),
    "reset": Action(finish=_check_running),
    "suspend": Action(finish=_suspend),
    "resume": Action(finish=_resume),
}
