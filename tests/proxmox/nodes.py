"""Nodes and their tasks."""

from __future__ import annotations

from typing import Any

from tests.proxmox import tasks
from tests.proxmox.calls import Call, Extended, Routes
from tests.proxmox.cluster import node_figures, task_row
from tests.proxmox.faults import bad_parameter
from tests.proxmox.permissions import may, require
from tests.proxmox.world import Task

_LIMIT = 50


def _list(call: Call) -> list[dict[str, Any]]:
    world, rows = call.world, []
    for node in world.nodes.values():
        row: dict[str, Any] = {"node": node.name, "type": "node", "id": f"node/{node.name}"}
        row["status"] = "online" if node.online else "offline"
        if node.online and may(world, call.login, f"/nodes/{node.name}", "Sys.Audit"):
            row |= node_figures(world, node)
        rows.append(row)
    return rows


def _status(call: Call) -> dict[str, Any]:
    node = call.world.nodes[call.node]
    figures = node_figures(call.world, node)
    total, used, free = node.memory_bytes, figures["mem"], figures["maxdisk"] - figures["disk"]
    return {
        "uptime": figures["uptime"],
        "cpu": figures["cpu"],
        "cpuinfo": {"cpus": node.cores, "sockets": 1, "cores": node.cores, "model": "emulated"},
        "memory": {"total": total, "used": used, "free": total - used, "available": total - used},
        "boot-info": {"mode": "efi", "secureboot": 0},
        "current-kernel": {"sysname": "Linux", "release": "6.17.0-emulated", "version": "#1", "machine": "x86_64"},
        "swap": {"total": 0, "used": 0, "free": 0},
        "rootfs": {"total": figures["maxdisk"], "used": figures["disk"], "avail": free, "free": free},
        "loadavg": ["0.10", "0.10", "0.10"],
        "pveversion": f"pve-manager/{call.world.version}",
        "wait": 0,
    }


def _tasks(call: Call) -> Extended:
    source = call.text("source", "archive")
    found = [task for task in reversed(call.world.tasks) if _listed(call, task, source)]
    start, limit = call.number("start"), call.number("limit", _LIMIT)
    rows = []
    for task in found[start : start + limit]:
        row = task_row(task)
        rows.append(row if task.exitstatus is not None or source == "archive" else {**row, "status": "RUNNING"})
    return Extended(rows, {"total": len(found)})


def _listed(call: Call, task: Task, source: str) -> bool:
    stopped = task.phase == "stopped"
    wanted = {"archive": stopped, "active": not stopped, "all": True}[source]
    seen = task.user == call.login.userid or may(call.world, call.login, f"/nodes/{task.node}", "Sys.Audit")
    good = task.exitstatus == "OK" or str(task.exitstatus).startswith("WARNINGS")
    return (
        wanted
        and seen
        and task.node == call.node
        and call.text("vmid", task.id) == task.id
        and call.text("typefilter", task.type) == task.type
        and not (call.flag("errors") and (good or not stopped))
        and call.number("since") <= task.starttime_s
    )


def _find(call: Call) -> Task:
    """The task; its owner may look at it, others need Sys.Audit on the node."""
    try:
        task = tasks.find(call.world, call.node, call.text("upid"))
    except LookupError:
        raise bad_parameter("upid", "no such task") from None
    if task.user != call.login.userid:
        require(call.world, call.login, f"/nodes/{call.node}", ["Sys.Audit"])
    return task


def _task_status(call: Call) -> dict[str, Any]:
    task = _find(call)
    row = task_row(task)
    row |= {"user": task.user, "status": "stopped" if task.phase == "stopped" else "running"}
    row.pop("endtime", None)
    return {**row, "exitstatus": task.exitstatus} if task.phase == "stopped" else row


def _task_log(call: Call) -> Extended:
    lines = tasks.visible_log(call.world, _find(call)) or ["no content"]
    start, limit = call.number("start"), call.number("limit", _LIMIT)
    end = len(lines) if limit == 0 else start + limit
    rows = [{"n": n + 1, "t": text} for n, text in enumerate(lines)][start:end]
    return Extended(rows, {"total": len(lines)})


def _stop_task(call: Call) -> None:
    tasks.stop(call.world, _find(call), call.actions)


def _task_index(call: Call) -> list[dict[str, str]]:
    _find(call)
    return [{"name": "log"}, {"name": "status"}]


_TASK = "/nodes/{node}/tasks/{upid}"

ROUTES: Routes = {
    ("GET", "/nodes"): _list,
    ("GET", "/nodes/{node}/status"): _status,
    ("GET", "/nodes/{node}/tasks"): _tasks,
    ("GET", _TASK): _task_index,
    ("GET", f"{_TASK}/status"): _task_status,
    ("GET", f"{_TASK}/log"): _task_log,
    ("DELETE", _TASK): _stop_task,
}
