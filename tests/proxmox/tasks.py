"""Workers: a UPID at once, the work when its time has come, a log, an exit status, and faults on request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.proxmox.faults import TaskError, died
from tests.proxmox.permissions import Login
from tests.proxmox.world import Task, World

Work = Callable[[World, Task], None]

_PROGRESS_STEPS = 10
_ARCHIVED = 1000
_PSTART = 12_345_678


def nothing(world: World, task: Task) -> None:
    """Work that changes nothing."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a worker does: `start` right after the fork, `finish` at its end, `abort` instead if it fails between."""

    start: Work = nothing
    finish: Work = nothing
    abort: Work = nothing


def begin(world: World, login: Login, node: str, kind: str, ident: str, action: str, args: Mapping[str, Any]) -> str:
    """Accepts a task and returns its UPID. Nothing of it has been done, nor checked, yet."""
    world.next_pid += 1
    pid, start_s = world.next_pid, int(world.now_s)
    pstart = _PSTART + pid
    upid = f"UPID:{node}:{pid:08X}:{pstart:08X}:{start_s:08X}:{kind}:{ident}:{login.name}:"
    lengths = world.settings.task_length_s
    world.tasks.append(
        Task(
            upid=upid,
            node=node,
            pid=pid,
            pstart=pstart,
            starttime_s=start_s,
            type=kind,
            id=ident,
            user=login.userid,
            token=login.token,
            action=action,
            args=dict(args),
            length_s=lengths.get(kind, lengths.get("*", 0.0)),
        )
    )
    return upid


def start_new(world: World, actions: Mapping[str, Action]) -> bool:
    """Lets every accepted worker begin. True if there was one."""
    accepted = [task for task in world.tasks if task.phase == "new"]
    for task in accepted:
        task.phase = "running"
        task.begun_s = world.now_s
        task.fault = _take_fault(world, task)
        task.due_s = world.now_s + task.length_s
        _guarded(world, task, actions, lambda task=task: _start(world, task, actions))  # type: ignore[misc] # bound now
    if accepted:
        _trim(world)
    return bool(accepted)


def _trim(world: World) -> None:
    """The archive keeps the last thousand tasks."""
    surplus = len(world.tasks) - _ARCHIVED
    if surplus > 0:
        old = {id(task) for task in [task for task in world.tasks if task.phase == "stopped"][:surplus]}
        world.tasks = [task for task in world.tasks if id(task) not in old]


def _start(world: World, task: Task, actions: Mapping[str, Action]) -> None:
    fault = task.fault or {}
    if fault.get("kind") == "fail" and fault.get("at") == "start":
        raise TaskError(str(fault.get("text", "emulated failure")))
    actions[task.action].start(world, task)
    if "length_s" in fault:
        task.length_s = float(fault["length_s"])
    task.due_s = None if fault.get("kind") == "hang" else task.begun_s + task.length_s


def finish_due(world: World, task: Task, actions: Mapping[str, Action]) -> None:
    """Ends one worker whose time has come."""
    fault = task.fault or {}
    if fault.get("kind") == "die":
        return end(world, task, "unexpected status")
    return _guarded(world, task, actions, lambda: _finish(world, task, actions))


def _finish(world: World, task: Task, actions: Mapping[str, Action]) -> None:
    fault = task.fault or {}
    if fault.get("kind") == "fail":
        raise TaskError(str(fault.get("text", "emulated failure")))
    task.log += _progress(task, 1.0)
    actions[task.action].finish(world, task)
    if fault.get("kind") == "warn":
        task.log += [f"WARN: {fault.get('text', 'emulated warning')}"] * int(fault.get("count", 1))
        task.warnings += int(fault.get("count", 1))
    task.log += [f"line {n}" for n in range(int(fault.get("lines", 0)))]
    end(world, task, f"WARNINGS: {task.warnings}" if task.warnings else "OK")


def _guarded(world: World, task: Task, actions: Mapping[str, Action], work: Callable[[], None]) -> None:
    world.working = task.upid
    try:
        work()
    except Exception as error:
        if not isinstance(error, TaskError) and not hasattr(error, "reason"):
            raise
        actions[task.action].abort(world, task)
        end(world, task, " ".join(str(error).split("\n")).strip())
    finally:
        world.working = None


def end(world: World, task: Task, exitstatus: str) -> None:
    """Writes the last line of the log and the exit status."""
    task.phase = "stopped"
    task.exitstatus = exitstatus
    task.endtime_s = world.now_s
    good = exitstatus == "OK" or exitstatus.startswith("WARNINGS: ")
    if exitstatus != "unexpected status":
        task.log.append(f"TASK {exitstatus}" if good else f"TASK ERROR: {exitstatus}")


def stop(world: World, task: Task, actions: Mapping[str, Action]) -> None:
    """What DELETE on a task does: the worker cleans up and ends as an error; a finished one stays as it is."""
    if task.phase != "stopped":
        actions[task.action].abort(world, task)
        end(world, task, "interrupted by signal")


def _take_fault(world: World, task: Task) -> dict[str, Any] | None:
    for fault in world.faults:
        if fault["on"] == "task" and _matches(fault, task):
            fault["times"] = int(fault.get("times", 1)) - 1
            if fault["times"] <= 0:
                world.faults.remove(fault)
            return fault
    return None


def _matches(fault: Mapping[str, Any], task: Task) -> bool:
    wanted = {"type": task.type, "id": task.id, "node": task.node}
    return all(re.fullmatch(str(fault[key]), value) for key, value in wanted.items() if key in fault)


def find(world: World, node: str, upid: str) -> Task:
    """The task, asked on its own node. Raises the errors of the API."""
    parts = upid.split(":")
    if len(parts) != 9 or parts[0] != "UPID":
        raise died("unable to parse worker upid")
    for task in world.tasks:
        if task.upid == upid and task.node == node:
            return task
    raise LookupError(upid)


def visible_log(world: World, task: Task) -> list[str]:
    """The log as far as the worker has come."""
    if task.phase == "stopped":
        return task.log
    done = (world.now_s - task.begun_s) / task.length_s if task.length_s and task.due_s is not None else 0.0
    return [*task.log, *_progress(task, min(done, 1.0))]


def _progress(task: Task, done: float) -> list[str]:
    label = task.args.get("progress")
    if label is None:
        return []
    steps = int(done * _PROGRESS_STEPS)
    return [f"{label} ({step * 100 / _PROGRESS_STEPS:.2f}%)" for step in range(1, steps + 1)]


def running_on(world: World, kind: str, ident: str) -> list[Task]:
    """Tasks of a type and id that have not ended."""
    return [task for task in world.tasks if task.type == kind and task.id == ident and task.phase != "stopped"]


def check_lock(world: World, path: str, patience_s: float) -> None:
    """Raises the time-out of a lock file that somebody holds for longer than the API waits."""
    if world.held_locks.get(path, 0.0) > world.now_s + patience_s:
        raise died(f"can't lock file '{path}' - got timeout")


def check_guest_lock(world: World, kind: str, vmid: int, patience_s: float) -> None:
    """Raises the time-out of a guest's lock file: held by somebody else, or by a worker that starts or stops it."""
    check_lock(world, guest_lock(kind, vmid), patience_s)
    for task in power_tasks(world, vmid):
        if task.due_s is None or task.due_s > world.now_s + patience_s:
            raise died(f"can't lock file '{guest_lock(kind, vmid)}' - got timeout")


def power_tasks(world: World, vmid: int) -> list[Task]:
    """Workers under way, other than the one at work, that hold this guest's lock file as long as they run."""
    return [
        task
        for task in world.tasks
        if task.phase == "running"
        and task.action in ("start", "stop", "shutdown", "reboot", "config")
        and task.args["vmid"] == vmid
        and task.upid != world.working
    ]


def guest_lock(kind: str, vmid: int) -> str:
    """The lock file of a guest's configuration."""
    if kind == "qemu":
        return f"/var/lock/qemu-server/lock-{vmid}.conf"
    return f"/run/lock/lxc/pve-config-{vmid}.lock"


def storage_lock(name: str) -> str:
    """The lock file of a local storage."""
    return f"/var/lock/pve-manager/pve-storage-{name}"
