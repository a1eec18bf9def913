"""High availability: what is asked for is recorded at once, the manager acts in its rounds."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.proxmox import tasks
from tests.proxmox.calls import Call, Routes
from tests.proxmox.faults import bad_parameter, died
from tests.proxmox.guest_config import volumes_of
from tests.proxmox.named_formats import split_list
from tests.proxmox.permissions import Login
from tests.proxmox.power import sid
from tests.proxmox.tasks import Action
from tests.proxmox.volumes import storage_name
from tests.proxmox.world import Guest, Resource, Task, World

_OPTIONS = ("comment", "max_relocate", "max_restart", "group", "failback")
_NUMBERS = ("max_relocate", "max_restart", "failback")
_ROOT = Login("root@pam")


def _digest(world: World) -> str:
    text = repr(sorted((r.sid, r.state, sorted(r.options.items())) for r in world.ha.values()))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _named(world: World, text: str) -> str:
    """`100` or `vm:100` as the name of a resource."""
    if ":" in text:
        return text
    guest = world.guests.get(int(text))
    return f"vm:{text}" if guest is None else sid(guest)


def _guest_of(world: World, name: str) -> Guest | None:
    return world.guests.get(int(name.partition(":")[2]))


def _resource(call: Call) -> Resource:
    name = _named(call.world, call.text("sid"))
    if name not in call.world.ha:
        raise died(f"no such resource '{name}'")
    return call.world.ha[name]


def _row(world: World, resource: Resource) -> dict[str, Any]:
    options: dict[str, Any] = {k: int(v) if k in _NUMBERS else v for k, v in resource.options.items()}
    kind = resource.sid.partition(":")[0]
    return {"sid": resource.sid, "type": kind, "state": resource.state, **options, "digest": _digest(world)}


def _list(call: Call) -> list[dict[str, Any]]:
    wanted = call.optional("type")
    return [_row(call.world, r) for r in call.world.ha.values() if wanted in (None, r.sid.partition(":")[0])]


def _options(call: Call) -> dict[str, str]:
    if call.world.version.startswith("9") and "group" in call.params:
        raise bad_parameter("group", "invalid parameter 'group': ha groups have been migrated to rules")
    return {key: call.text(key) for key in _OPTIONS if key in call.params}


def _state(text: str) -> str:
    return "started" if text == "enabled" else text


def _add(call: Call) -> None:
    name = _named(call.world, call.text("sid"))
    guest = _guest_of(call.world, name)
    if name in call.world.ha:
        raise died(f"resource ID '{name}' already defined")
    if guest is None or sid(guest) != name:
        raise died(f"unable to add resource '{name}' - guest does not exist")
    call.world.ha[name] = Resource(name, _state(call.text("state", "started")), _options(call))
    call.world.next_ha_round_s = max(call.world.next_ha_round_s, call.world.now_s + call.world.settings.ha_round_s)


def _change(call: Call) -> None:
    resource = _resource(call)
    if call.optional("digest") not in (None, _digest(call.world)):
        raise died("detected modified configuration - file changed by other user? Try again.")
    if resource.service == "error" and call.text("state") not in ("", "disabled"):
        raise died(f"service '{resource.sid}' in error state, must be disabled and fixed first")
    for key in split_list(call.text("delete")):
        resource.options.pop(key, None)
    resource.options |= _options(call)
    resource.state = _state(call.text("state", resource.state))


def _drop(call: Call) -> None:
    name = _named(call.world, call.text("sid"))
    if name not in call.world.ha:
        raise died(f"cannot delete service '{name}', not HA managed!")
    del call.world.ha[name]


def _move(call: Call, *, relocate: bool) -> dict[str, str] | None:
    resource, node = _resource(call), call.text("node")
    if node not in call.world.nodes:
        raise died(f"no such cluster node '{node}'")
    resource.move_to, resource.relocate = node, relocate
    if not call.world.version.startswith("9"):
        return None
    return {"sid": resource.sid, "requested-node": node}


def _status(call: Call) -> list[dict[str, Any]]:
    world = call.world
    rows: list[dict[str, Any]] = [
        {"id": "quorum", "type": "quorum", "node": next(iter(world.nodes)), "quorate": 1, "status": "OK"}
    ]
    for resource in world.ha.values():
        guest = _guest_of(world, resource.sid)
        node = guest.node if guest is not None else ""
        row = {"id": f"service:{resource.sid}", "type": "service", "sid": resource.sid, "node": node}
        row |= {"state": resource.service, "request_state": resource.state, "crm_state": resource.service}
        rows.append({**row, "status": f"{resource.sid} ({node}, {resource.service})"})
    return rows


def ha_round(world: World) -> None:
    """One round of the manager: each resource comes one step closer to what is asked for."""
    for node in world.nodes.values():
        if not node.online and world.now_s >= node.boot_s + world.settings.fence_s:
            node.fenced = True
    for resource in world.ha.values():
        guest = _guest_of(world, resource.sid)
        if guest is None or resource.state == "ignored":
            resource.service = "ignored" if guest is not None else "error"
            continue
        if not _busy(world, resource):
            _drive(world, resource, guest)


def _busy(world: World, resource: Resource) -> bool:
    task = next((task for task in world.tasks if task.upid == resource.task), None)
    if task is None or task.phase != "stopped":
        return task is not None
    resource.task = None
    if task.exitstatus not in ("OK", None) and not str(task.exitstatus).startswith("WARNINGS"):
        resource.service = "error" if task.exitstatus != "unexpected status" else resource.service
    return False


def _drive(world: World, resource: Resource, guest: Guest) -> None:
    if not world.nodes[guest.node].online:
        _recover(world, resource, guest)
    elif resource.service == "error" and resource.state != "disabled":
        return
    elif resource.move_to is not None:
        _carry(world, resource, guest)
    elif resource.state == "started":
        resource.service = "started" if guest.running else "starting"
        if not guest.running:
            _start_task(world, resource, guest, "start")
    else:
        resource.service = "stopping" if guest.running else resource.state
        if guest.running:
            _start_task(world, resource, guest, "shutdown", forceStop="1")


def _recover(world: World, resource: Resource, guest: Guest) -> None:
    """The guest of a fenced node is taken over by another one, if its volumes can be reached from there."""
    resource.service = "fence"
    if not world.nodes[guest.node].fenced:
        return
    if any(not world.storages[storage_name(volid)].shared for volid in volumes_of(world, guest).values()):
        resource.service = "recovery"
        return
    healthy = [name for name, node in world.nodes.items() if node.online]
    if healthy:
        guest.node = healthy[0]
        guest.config.pop("lock", None)
        resource.service = "recovery"


def _carry(world: World, resource: Resource, guest: Guest) -> None:
    target, resource.move_to = resource.move_to, None
    if target == guest.node or target is None:
        return
    resource.service = "migrate"
    args = {"restart": True, "local": True, "progress": "migration status", "target": target}
    _start_task(world, resource, guest, "migrate", **args)


def _start_task(world: World, resource: Resource, guest: Guest, verb: str, **args: Any) -> None:
    prefix = "qm" if guest.kind == "qemu" else "vz"
    values = {"vmid": guest.vmid, "kind": guest.kind, **args}
    resource.task = tasks.begin(world, _ROOT, guest.node, f"{prefix}{verb}", str(guest.vmid), verb, values)


def _requested(world: World, task: Task) -> None:
    resource = world.ha.get(task.args["sid"])
    if resource is None:
        raise died(f"no such resource '{task.args['sid']}'")
    if "state" in task.args:
        resource.state = task.args["state"]
    else:
        resource.move_to, resource.relocate = task.args["move_to"], task.args["relocate"]


ROUTES: Routes = {
    ("GET", "/cluster/ha/resources"): _list,
    ("POST", "/cluster/ha/resources"): _add,
    ("GET", "/cluster/ha/resources/{sid}"): lambda call: _row(call.world, _resource(call)),
    ("PUT", "/cluster/ha/resources/{sid}"): _change,
    ("DELETE", "/cluster/ha/resources/{sid}"): _drop,
    ("POST", "/cluster/ha/resources/{sid}/migrate"): lambda call: _move(call, relocate=False),
    ("POST", "/cluster/ha/resources/{sid}/relocate"): lambda call: _move(call, relocate=True),
    ("GET", "/cluster/ha/status/current"): _status,
}

ACTIONS = {"ha-request": Action(finish=_requested)}
