"""The cluster as a whole: version, resources, ids, tasks of all nodes, datacenter options."""

from __future__ import annotations

from typing import Any

from tests.proxmox.calls import Call, Routes
from tests.proxmox.config_change import changes_in
from tests.proxmox.faults import bad_parameter, died
from tests.proxmox.named_formats import split_list
from tests.proxmox.permissions import may
from tests.proxmox.power import sid, usage
from tests.proxmox.property_string import parse
from tests.proxmox.volumes import used_bytes
from tests.proxmox.world import Guest, Node, Storage, Task, World

_RELEASES = {"9.1": "9.1.9", "8.4": "8.4.1"}


def _version(call: Call) -> dict[str, str]:
    return {"release": call.world.version, "version": _RELEASES[call.world.version], "repoid": "emulator"}


def _status(call: Call) -> list[dict[str, Any]]:
    nodes = call.world.nodes
    head = {
        "id": "cluster",
        "type": "cluster",
        "name": "emulated",
        "nodes": len(nodes),
        "quorate": int(call.world.settings.quorate),
        "version": len(nodes),
    }
    rows = [
        {"id": f"node/{name}", "type": "node", "name": name, "nodeid": n + 1, "online": int(node.online)}
        | {"ip": f"192.0.2.{n + 1}", "local": int(n == 0), "level": ""}
        for n, (name, node) in enumerate(nodes.items())
    ]
    return [head, *rows]


def _resources(call: Call) -> list[dict[str, Any]]:
    world, login, wanted = call.world, call.login, call.optional("type")
    rows: list[dict[str, Any]] = []
    if wanted in (None, "vm"):
        rows += [_guest(world, g) for g in world.guests.values() if may(world, login, f"/vms/{g.vmid}", "VM.Audit")]
    if wanted in (None, "node"):
        audit = [node for node in world.nodes.values() if may(world, login, f"/nodes/{node.name}", "Sys.Audit")]
        rows += [_node(world, node) for node in audit]
        rows += [_hidden(node) for node in world.nodes.values() if node not in audit]
    if wanted in (None, "storage"):
        for storage in world.storages.values():
            if may(world, login, f"/storage/{storage.name}", "Datastore.Audit"):
                rows += [_storage(world, storage, n) for n in world.nodes.values() if storage.serves(n.name)]
    if wanted is None:
        rows += [
            {"id": f"/pool/{name}", "type": "pool", "pool": name}
            for name in world.pools
            if may(world, login, f"/pool/{name}", "Pool.Audit")
        ]
    return rows


def _guest(world: World, guest: Guest) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": f"{guest.kind}/{guest.vmid}",
        "type": guest.kind,
        "vmid": guest.vmid,
        "node": guest.node,
        "template": int(guest.config.get("template", "0")),
    }
    if (pool := world.pool_of(guest.vmid)) is not None:
        row["pool"] = pool
    if (resource := world.ha.get(sid(guest))) is not None:
        row["hastate"] = resource.service
    if guest.shown is None:
        return {**row, "status": "unknown"}
    figures = usage(world, guest)
    keys = ("uptime", "cpu", "mem", "maxmem", "maxdisk", "lock", "tags")
    row |= {key: figures[key] for key in keys if key in figures}
    return {**row, "maxcpu": figures["cpus"], "disk": 0, "diskread": 0, "diskwrite": 0, **guest.shown}


def _node(world: World, node: Node) -> dict[str, Any]:
    row: dict[str, Any] = {"id": f"node/{node.name}", "type": "node", "node": node.name}
    if not node.online:
        return {**row, "status": "offline"}
    return row | node_figures(world, node) | {"status": "online", "level": ""}


def _hidden(node: Node) -> dict[str, Any]:
    status = "online" if node.online else "offline"
    return {"id": f"node/{node.name}", "type": "node", "node": node.name, "status": status}


def node_figures(world: World, node: Node) -> dict[str, Any]:
    """What a node has and how much of it is in use."""
    used = sum(usage(world, guest)["mem"] for guest in world.guests.values() if guest.node == node.name)
    disk, local = 0, world.storages.get("local")
    if local is not None:
        disk = used_bytes(world, local, node.name)
    return {
        "maxcpu": node.cores,
        "cpu": 0.02,
        "maxmem": node.memory_bytes,
        "mem": used,
        "disk": disk,
        "maxdisk": 0 if local is None else local.total_bytes,
        "uptime": int(world.now_s - node.boot_s),
    }


def _storage(world: World, storage: Storage, node: Node) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": f"storage/{node.name}/{storage.name}",
        "type": "storage",
        "storage": storage.name,
        "node": node.name,
        "plugintype": storage.type,
        "shared": int(storage.shared),
        "content": storage.options.get("content", ""),
        "status": "available" if node.online else "unknown",
    }
    if not node.online:
        return row
    return {**row, "disk": used_bytes(world, storage, node.name), "maxdisk": storage.total_bytes}


def _nextid(call: Call) -> str:
    wanted = call.optional("vmid")
    if wanted is not None:
        if int(wanted) in call.world.guests:
            raise bad_parameter("vmid", f"VM {wanted} already exists")
        return wanted
    limits = dict(part.partition("=")[::2] for part in call.world.options.get("next-id", "").split(",") if part)
    lower, upper = int(limits.get("lower", 100)), int(limits.get("upper", 1_000_000))
    for vmid in range(lower, upper):
        if vmid not in call.world.guests:
            return str(vmid)
    raise died(f"unable to get any free VMID in range [{lower},{upper - 1}]")


def task_row(task: Task) -> dict[str, Any]:
    """One task as lists show it."""
    row: dict[str, Any] = {
        "upid": task.upid,
        "node": task.node,
        "pid": task.pid,
        "pstart": task.pstart,
        "starttime": task.starttime_s,
        "type": task.type,
        "id": task.id,
        "user": task.user if task.token is None else f"{task.user}!{task.token}",
    }
    if task.token is not None:
        row |= {"tokenid": task.token}
    if task.exitstatus is not None and task.endtime_s is not None:
        row |= {"endtime": int(task.endtime_s), "status": task.exitstatus}
    return row


def _tasks(call: Call) -> list[dict[str, Any]]:
    tasks = [task for task in reversed(call.world.tasks) if _may_see(call, task)]
    return [task_row(task) for task in tasks[:200]]


def _may_see(call: Call, task: Task) -> bool:
    return task.user == call.login.userid or may(call.world, call.login, f"/nodes/{task.node}", "Sys.Audit")


def _options(call: Call) -> dict[str, Any]:
    shown: dict[str, Any] = dict(call.world.options)
    for key in ("next-id", "tag-style"):
        if key in shown:
            schema = call_schema(call.world, key)
            shown[key] = parse(schema, shown[key])
    return shown


def call_schema(world: World, key: str) -> dict[str, Any]:
    """The sub-keys of a datacenter option, all of them free text: they were checked when they were set."""
    names = dict(part.partition("=")[::2] for part in world.options[key].split(","))
    return {name: {"type": "string", "optional": 1} for name in names}


def _set_options(call: Call) -> None:
    for key in split_list(call.text("delete")):
        call.world.options.pop(key, None)
    call.world.options |= changes_in(call.params)


ROUTES: Routes = {
    ("GET", "/version"): _version,
    ("GET", "/cluster/status"): _status,
    ("GET", "/cluster/resources"): _resources,
    ("GET", "/cluster/nextid"): _nextid,
    ("GET", "/cluster/tasks"): _tasks,
    ("GET", "/cluster/options"): _options,
    ("PUT", "/cluster/options"): _set_options,
}
