"""Emulated time: whatever is due happens in order, on the next look at the world."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tests.proxmox.tasks import Action, end, finish_due, start_new
from tests.proxmox.world import Guest, Node, Task, World

Round = Callable[[World], None]


def settle(world: World, actions: Mapping[str, Action], ha_round: Round, now_s: float) -> bool:
    """Brings the world to `now_s`: workers start and end, the HA manager and the status daemon make their rounds.

    True if anything happened on the way.
    """
    happened = start_new(world, actions)
    while (event := _next(world, now_s)) is not None:
        world.now_s, task = event
        if task is not None:
            finish_due(world, task, actions)
        _rounds(world, ha_round)
        start_new(world, actions)
        happened = True
    world.now_s = max(world.now_s, now_s)
    if not world.settings.resources_lag_s:
        broadcast_status(world)
    return happened


def _next(world: World, now_s: float) -> tuple[float, Task | None] | None:
    """The earliest thing due by `now_s`: a worker's end or a round."""
    running = [task for task in world.tasks if task.phase == "running" and task.due_s is not None]
    task = min(running, key=lambda task: task.due_s or 0.0, default=None)
    due_s = math.inf if task is None else max(task.due_s or 0.0, world.now_s)
    round_s = _next_round_s(world, min(due_s, now_s))
    if round_s is not None and round_s < due_s:
        return round_s, None
    return (due_s, task) if task is not None and due_s <= now_s else None


def _next_round_s(world: World, limit_s: float) -> float | None:
    times = []
    if world.ha or any(not node.online for node in world.nodes.values()):
        times.append(world.next_ha_round_s)
    if world.settings.resources_lag_s:
        # Rounds between which nothing happens look alike: only the last of them counts.
        lag_s = world.settings.resources_lag_s
        skipped = max(0, math.floor((limit_s - world.next_status_s) / lag_s))
        times.append(world.next_status_s + skipped * lag_s)
    due = [max(time_s, world.now_s) for time_s in times if time_s <= limit_s]
    return min(due, default=None)


def _rounds(world: World, ha_round: Round) -> None:
    if world.next_ha_round_s <= world.now_s:
        world.next_ha_round_s = world.now_s + world.settings.ha_round_s
        ha_round(world)
    lag_s = world.settings.resources_lag_s
    if lag_s and world.next_status_s <= world.now_s:
        world.next_status_s += lag_s * (math.floor((world.now_s - world.next_status_s) / lag_s) + 1)
        broadcast_status(world)


def broadcast_status(world: World) -> None:
    """What the status daemons of the nodes that are up tell the cluster of their guests."""
    for guest in world.guests.values():
        if world.nodes[guest.node].online:
            guest.shown = _shown(guest)


def _shown(guest: Guest) -> dict[str, str]:
    name = guest.config.get("name" if guest.kind == "qemu" else "hostname")
    fallback = f"VM {guest.vmid}" if guest.kind == "qemu" else f"CT{guest.vmid}"
    return {"name": name or fallback, "status": "running" if guest.running else "stopped"}


def node_down(world: World, node: Node) -> None:
    """A node loses power: its workers are gone, its guests do not run, nobody is told."""
    node.online = False
    node.fenced = False
    node.boot_s = world.now_s
    for task in world.tasks:
        if task.node == node.name and task.phase != "stopped":
            end(world, task, "unexpected status")
    for guest in world.guests.values():
        if guest.node == node.name:
            guest.running = guest.paused = False
            guest.shown = None
    world.next_ha_round_s = max(world.next_ha_round_s, world.now_s)


def node_up(world: World, node: Node) -> None:
    """It boots again; what had `onboot` and is not managed by HA starts."""
    node.online = True
    node.fenced = False
    node.boot_s = world.now_s
    for guest in world.guests.values():
        managed = f"{'vm' if guest.kind == 'qemu' else 'ct'}:{guest.vmid}" in world.ha
        if guest.node == node.name and guest.config.get("onboot") == "1" and not managed:
            guest.running = True
            guest.started_s = world.now_s
