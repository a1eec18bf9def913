"""Software-defined networks: zones and vnets are edited apart from what is live, and applied as a whole."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tests.proxmox.calls import Call, Handler, Routes
from tests.proxmox.faults import died
from tests.proxmox.named_formats import split_list
from tests.proxmox.permissions import Login, may
from tests.proxmox.tasks import Action, begin
from tests.proxmox.world import Task, World

Objects = dict[str, dict[str, str]]

_NOT_OPTIONS = frozenset({"lock-token", "delete", "digest", "pending", "running", "zone", "vnet"})
_NUMBERS = frozenset({"tag", "mtu", "vlanaware", "isolate-ports", "vxlan-port"})


def _check_lock(call: Call) -> None:
    lock = call.world.sdn.lock
    if lock != call.optional("lock-token") and (lock is not None or call.optional("lock-token") is not None):
        raise died("invalid lock token provided!")


def _shown(key: str, name: str, options: Mapping[str, str]) -> dict[str, Any]:
    return {key: name, **{k: int(v) if k in _NUMBERS else v for k, v in options.items()}}


def _rows(call: Call, kind: str) -> list[dict[str, Any]]:
    key, sdn = kind[:-1], call.world.sdn
    staged, live = sdn.staged[kind], sdn.live[kind]
    if call.flag("running"):
        found = [_shown(key, name, options) for name, options in live.items()]
    elif call.flag("pending"):
        found = [_pending(key, name, staged.get(name), live.get(name)) for name in {**live, **staged}]
    else:
        found = [_shown(key, name, options) for name, options in staged.items()]
    return [row for row in found if _visible(call, kind, row)]


def _visible(call: Call, kind: str, row: Mapping[str, Any]) -> bool:
    zone = row["zone"] if "zone" in row else row.get("pending", {}).get("zone")
    path = f"/sdn/zones/{zone}" + (f"/{row['vnet']}" if kind == "vnets" else "")
    return may(call.world, call.login, path, "SDN.Audit") or may(call.world, call.login, path, "SDN.Allocate")


def _pending(key: str, name: str, staged: dict[str, str] | None, live: dict[str, str] | None) -> dict[str, Any]:
    if staged is None:
        return {**_shown(key, name, live or {}), "state": "deleted"}
    if live is None:
        return {**_shown(key, name, {}), "type": staged["type"], "state": "new", "pending": dict(staged)}
    changed = {k: v for k, v in staged.items() if live.get(k) != v} | {k: "deleted" for k in live if k not in staged}
    row = _shown(key, name, live)
    return {**row, "state": "changed", "pending": changed} if changed else row


def _one(call: Call, kind: str) -> dict[str, Any]:
    key = kind[:-1]
    for row in _rows(call, kind):
        if row[key] == call.text(key):
            return row
    raise died(f"sdn '{call.text(key)}' does not exist")


def _given(call: Call, kind: str) -> dict[str, str]:
    options = {key: str(value) for key, value in call.params.items() if key not in _NOT_OPTIONS}
    return {**options, "zone": call.text("zone")} if kind == "vnets" and "zone" in call.params else options


def _add(call: Call, kind: str) -> None:
    _check_lock(call)
    key, staged = kind[:-1], call.world.sdn.staged
    name, options = call.text(key), _given(call, kind)
    if name in staged[kind]:
        raise died(f"create sdn {key} object failed: sdn {key} object ID '{name}' already defined")
    if kind == "vnets" and options["zone"] not in staged["zones"]:
        raise died(f"create sdn vnet object failed: zone {options['zone']} does not exist")
    staged[kind][name] = {"type": key, **options}


def _change(call: Call, kind: str) -> None:
    _check_lock(call)
    options = _existing(call, kind)
    for key in split_list(call.text("delete")):
        options.pop(key, None)
    options |= _given(call, kind)


def _existing(call: Call, kind: str) -> dict[str, str]:
    key = kind[:-1]
    found = call.world.sdn.staged[kind].get(call.text(key))
    if found is None:
        raise died(f"sdn {key} object ID '{call.text(key)}' does not exist")
    return found


def _drop(call: Call, kind: str) -> None:
    _check_lock(call)
    _existing(call, kind)
    name, staged = call.text(kind[:-1]), call.world.sdn.staged
    user = next((vnet for vnet, options in staged["vnets"].items() if options["zone"] == name), None)
    if kind == "zones" and user is not None:
        raise died(f"delete sdn zone object failed: zone {name} is used by vnet {user}")
    del staged[kind][name]


def _take_lock(call: Call) -> str:
    sdn = call.world.sdn
    if sdn.lock is not None:
        raise died("SDN configuration is already locked")
    if sdn.staged != sdn.live and not call.flag("allow-pending"):
        raise died("configuration has pending changes")
    sdn.lock = f"{call.world.draw().getrandbits(64):016x}"
    return sdn.lock


def _drop_lock(call: Call) -> None:
    if not call.flag("force"):
        _check_lock(call)
    call.world.sdn.lock = None


def _rollback(call: Call) -> None:
    _check_lock(call)
    call.world.sdn.staged = copy.deepcopy(call.world.sdn.live)
    _release(call)


def _release(call: Call) -> None:
    if call.flag("release-lock", default=True):
        call.world.sdn.lock = None


def _apply(call: Call) -> str:
    _check_lock(call)
    _release(call)
    # Taken at the call: what is edited while the nodes reload is the next batch.
    call.world.sdn.live = copy.deepcopy(call.world.sdn.staged)
    node = next(name for name, node in call.world.nodes.items() if node.online)
    return begin(call.world, call.login, node, "reloadnetworkall", "", "sdn-apply", {})


def _applied(world: World, task: Task) -> None:
    """Starts a reload on every node and does not wait for any of them."""
    for node in world.nodes.values():
        if node.online:
            begin(world, Login(task.user, task.token), node.name, "srvreload", "networking", "sdn-reload", {})


def _reloaded(world: World, task: Task) -> None:
    world.nodes[task.node].vnets = sorted(world.sdn.live["vnets"])


def _routes(kind: str) -> dict[tuple[str, str], Handler]:
    base = f"/cluster/sdn/{kind}"
    one = f"{base}/{{{kind[:-1]}}}"
    return {
        ("GET", base): lambda call: _rows(call, kind),
        ("POST", base): lambda call: _add(call, kind),
        ("GET", one): lambda call: _one(call, kind),
        ("PUT", one): lambda call: _change(call, kind),
        ("DELETE", one): lambda call: _drop(call, kind),
    }


ROUTES: Routes = {
    **_routes("zones"),
    **_routes("vnets"),
    ("PUT", "/cluster/sdn"): _apply,
    ("POST", "/cluster/sdn/lock"): _take_lock,
    ("DELETE", "/cluster/sdn/lock"): _drop_lock,
    ("POST", "/cluster/sdn/rollback"): _rollback,
}

ACTIONS = {"sdn-apply": Action(finish=_applied), "sdn-reload": Action(finish=_reloaded)}
