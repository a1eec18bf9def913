"""Interfaces of a node: edits wait in a second file until they are applied or dropped."""

from __future__ import annotations

import copy
import difflib
from typing import Any

from tests.proxmox.calls import Call, Extended, Routes
from tests.proxmox.faults import bad_parameter
from tests.proxmox.tasks import Action
from tests.proxmox.world import Task, World

Interfaces = dict[str, dict[str, str]]

_NUMBERS = frozenset({"autostart", "bridge_vlan_aware", "vlan-id", "ovs_tag"})


def _now(call: Call) -> Interfaces:
    node = call.world.nodes[call.node]
    return node.interfaces if node.staged is None else node.staged


def _edited(call: Call) -> Interfaces:
    node = call.world.nodes[call.node]
    if node.staged is None:
        node.staged = copy.deepcopy(node.interfaces)
    return node.staged


def _row(options: dict[str, str]) -> dict[str, Any]:
    return {key: int(value) if key in _NUMBERS else value for key, value in options.items()}


def _text(interfaces: Interfaces) -> list[str]:
    return [f"{name} {key}={value}\n" for name, options in sorted(interfaces.items()) for key, value in options.items()]


def _list(call: Call) -> Extended:
    node, wanted = call.world.nodes[call.node], call.optional("type")
    rows: list[dict[str, Any]] = [
        {"iface": name, **_row(options), "active": int(name in node.interfaces)}
        for name, options in _now(call).items()
        if wanted in (None, "any_bridge", "include_sdn", options["type"])
    ]
    if wanted in ("any_bridge", "include_sdn"):
        rows += [{"iface": name, "type": "vnet", "active": 1} for name in node.vnets]
    if node.staged is None:
        return Extended(rows)
    return Extended(rows, {"changes": "".join(difflib.unified_diff(_text(node.interfaces), _text(node.staged)))})


def _one(call: Call) -> dict[str, str]:
    if call.text("iface") not in _now(call):
        raise bad_parameter("iface", "interface does not exist")
    return _now(call)[call.text("iface")]


def _given(call: Call) -> dict[str, str]:
    return {key: str(value) for key, value in call.params.items() if key not in ("node", "iface", "delete")}


def _add(call: Call) -> None:
    if call.text("iface") in _now(call):
        raise bad_parameter("iface", "interface already exists")
    _edited(call)[call.text("iface")] = _given(call)


def _change(call: Call) -> None:
    """The given options replace all that the interface had."""
    _one(call)
    _edited(call)[call.text("iface")] = _given(call)


def _drop(call: Call) -> None:
    _one(call)
    del _edited(call)[call.text("iface")]


def _revert(call: Call) -> None:
    call.world.nodes[call.node].staged = None


def _apply(call: Call) -> str:
    return call.begin("srvreload", "networking", "network-reload")


def _applied(world: World, task: Task) -> None:
    node = world.nodes[task.node]
    if node.staged is not None:
        node.interfaces, node.staged = node.staged, None


_BASE = "/nodes/{node}/network"

ROUTES: Routes = {
    ("GET", _BASE): _list,
    ("POST", _BASE): _add,
    ("PUT", _BASE): _apply,
    ("DELETE", _BASE): _revert,
    ("GET", f"{_BASE}/{{iface}}"): lambda call: _row(_one(call)),
    ("PUT", f"{_BASE}/{{iface}}"): _change,
    ("DELETE", f"{_BASE}/{{iface}}"): _drop,
}

ACTIONS = {"network-reload": Action(finish=_applied)}
