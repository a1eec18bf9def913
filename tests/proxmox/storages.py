"""storage.cfg, and what a node says of its storages."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.proxmox.calls import Call, Routes
from tests.proxmox.config_change import changes_in
from tests.proxmox.faults import died
from tests.proxmox.named_formats import split_list
from tests.proxmox.permissions import may
from tests.proxmox.volumes import storage_on, used_bytes
from tests.proxmox.world import GIB, Storage, World

_SECRETS = frozenset({"password", "keyring", "encryption-key", "master-pubkey"})
_FIXED = {"path", "vgname", "thinpool", "export", "server", "pool", "datastore", "monhost"}


def storages_digest(world: World) -> str:
    """SHA-1 of storage.cfg."""
    text = repr(sorted((s.name, s.type, sorted(s.options.items())) for s in world.storages.values()))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _row(world: World, storage: Storage) -> dict[str, Any]:
    options: dict[str, Any] = {key: value for key, value in storage.options.items() if key not in _SECRETS}
    for key in ("disable", "shared", "krbd"):
        if key in options:
            options[key] = int(options[key])
    return {"storage": storage.name, "type": storage.type, **options, "digest": storages_digest(world)}


def _list(call: Call) -> list[dict[str, Any]]:
    world, wanted = call.world, call.optional("type")
    return [
        _row(world, storage)
        for storage in world.storages.values()
        if wanted in (None, storage.type) and _visible(call, storage)
    ]


def _visible(call: Call, storage: Storage) -> bool:
    path = f"/storage/{storage.name}"
    return any(may(call.world, call.login, path, name) for name in ("Datastore.Audit", "Datastore.AllocateSpace"))


def _storage(call: Call) -> Storage:
    found = call.world.storages.get(call.text("storage"))
    if found is None:
        raise died(f"storage '{call.text('storage')}' does not exist")
    return found


def _sorted(options: dict[str, str]) -> dict[str, str]:
    for key in ("content", "nodes"):
        if key in options:
            options[key] = ",".join(sorted(split_list(options[key])))
    return options


def _add(call: Call) -> dict[str, str]:
    name, kind = call.text("storage"), call.text("type")
    if name in call.world.storages:
        raise died(f"create storage failed: storage ID '{name}' already defined")
    options = changes_in(call.params) | {key: call.text(key) for key in ("pool",) if key in call.params}
    options.pop("type")
    options.setdefault("content", "images,rootdir")
    for node in split_list(options.get("nodes", "")):
        if node not in call.world.nodes:
            raise died(f"create storage failed: no such cluster node '{node}'")
    call.world.storages[name] = Storage(name, kind, _sorted(options), 500 * GIB)
    return {"storage": name, "type": kind}


def _change(call: Call) -> dict[str, str]:
    storage = _storage(call)
    if call.optional("digest") not in (None, storages_digest(call.world)):
        raise died("detected modified configuration - file changed by other user? Try again.")
    changes = _sorted(changes_in(call.params))
    removals = split_list(call.text("delete"))
    for key in [*changes, *removals]:
        if key in _FIXED and key in storage.options:
            text = (
                f"unable to delete fixed option '{key}'"
                if key in removals
                else f"can't change value of fixed parameter '{key}'"
            )
            raise died(f"update storage failed: {text}")
    for key in removals:
        storage.options.pop(key, None)
    storage.options |= changes
    return {"storage": storage.name, "type": storage.type}


def _drop(call: Call) -> None:
    del call.world.storages[_storage(call).name]


def _figures(world: World, storage: Storage, node: str) -> dict[str, Any]:
    used, enabled = used_bytes(world, storage, node), int(storage.options.get("disable") != "1")
    return {
        "type": storage.type,
        "content": storage.options.get("content", ""),
        "shared": int(storage.shared),
        "enabled": enabled,
        "active": enabled,
        "total": storage.total_bytes,
        "used": used,
        "avail": storage.total_bytes - used,
    }


def _on_node(call: Call) -> list[dict[str, Any]]:
    rows = []
    for storage in call.world.storages.values():
        content = split_list(call.text("content"))
        fits = not content or any(storage.holds(kind) for kind in content)
        enabled = storage.options.get("disable") != "1" or not call.flag("enabled")
        same = call.text("storage", storage.name) == storage.name
        if storage.serves(call.node) and _visible(call, storage) and fits and enabled and same:
            figures = _figures(call.world, storage, call.node)
            rows.append({"storage": storage.name, **figures, "used_fraction": figures["used"] / figures["total"]})
    return rows


def _status(call: Call) -> dict[str, Any]:
    return _figures(call.world, storage_on(call.world, call.text("storage"), call.node), call.node)


ROUTES: Routes = {
    ("GET", "/storage"): _list,
    ("POST", "/storage"): _add,
    ("GET", "/storage/{storage}"): lambda call: _row(call.world, _storage(call)),
    ("PUT", "/storage/{storage}"): _change,
    ("DELETE", "/storage/{storage}"): _drop,
    ("GET", "/nodes/{node}/storage"): _on_node,
    ("GET", "/nodes/{node}/storage/{storage}/status"): _status,
}
