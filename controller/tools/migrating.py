"""migrate_infrastructure: the same blueprint for another engine, with what has no counterpart there named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.blueprint.writing import yaml_text
from controller.tools.reading import OneBlueprint, loaded, short
from controller.tools.tool import Ground, Strict, Tool

Provider = Literal["docker", "proxmox", "kubernetes", "simulation"]
PROVIDERS: tuple[str, ...] = get_args(Provider)
_GUESTS = ("vm", "lxc")
_TYPES: Mapping[str, Mapping[str, str]] = {
    "docker": {"vm": "container", "lxc": "container", "compute": "container", "storage": "volume"},
    "kubernetes": {
        "vm": "compute",
        "lxc": "compute",
        "container": "compute",
        "volume": "storage",
        "database": "service",
    },
    "proxmox": {"container": "lxc", "compute": "vm", "service": "lxc", "database": "vm"},
    "simulation": {},
}
_ABSENT: Mapping[str, tuple[str, ...]] = {
    "docker": ("manifest",),
    "kubernetes": ("image",),
    "proxmox": ("manifest", "image", "network", "volume", "storage"),
    "simulation": (),
}
# Keys of specs that mean the same everywhere, under their name there.
_KEPT: Mapping[str, Mapping[str, str]] = {
    "docker": {"cores": "cpu", "cpus": "cpu", "mem_limit": "memory"},
    "kubernetes": {"cores": "cpu", "cpus": "cpu", "mem_limit": "memory"},
    "proxmox": {"cpus": "cores", "cpu": "cores", "mem_limit": "memory", "storage": "disk"},
    "simulation": {},
}
_EVERYWHERE = frozenset({"cpu", "cpus", "cores", "memory", "mem_limit", "disk", "storage", "size"})
_CONTAINERS_ONLY = frozenset(
    {"image", "command", "entrypoint", "env", "environment", "ports", "volumes", "networks", "restart", "user"}
    | {"working_dir", "healthcheck", "files", "labels", "replicas"}
)


class MigrateTakes(OneBlueprint):
    target_provider: Provider


class Unmapped(Strict):
    resource: str
    field: str
    why: str


class MigrateGives(Strict):
    blueprint: str
    steps: tuple[str, ...]
    unmapped: tuple[Unmapped, ...]


def migrate_infrastructure(given: MigrateTakes, ground: Ground) -> MigrateGives:
    found = loaded(given.blueprint)
    return moved(found.blueprints[0].name, found.entries, given.target_provider)


def moved(name: str, entries: tuple[Entry, ...], to: str) -> MigrateGives:
    """The entries of one blueprint as the blueprint `name` for `to`, one of `PROVIDERS`."""
    unmapped: list[Unmapped] = []
    resources = [_moved(e, to, unmapped) for e in entries if not _left_out(e, to, unmapped)]
    there = {str(r["name"]) for r in resources}
    for one in resources:
        needs = one.get("dependencies")
        one["dependencies"] = tuple(n for n in needs if n in there) if isinstance(needs, tuple) else ()
    kept = tuple({k: v for k, v in r.items() if v not in ((), {}, None)} for r in resources)
    text = yaml_text({"name": name, "provider": to, "resources": kept})
    return MigrateGives(blueprint=text, steps=_steps(entries, to), unmapped=tuple(unmapped))


def _left_out(entry: Entry, to: str, unmapped: list[Unmapped]) -> bool:
    if entry.type in _ABSENT[to]:
        unmapped.append(Unmapped(resource=entry.name, field="type", why=f"{to} has no {entry.type}"))
        return True
    return False


def _moved(entry: Entry, to: str, unmapped: list[Unmapped]) -> dict[str, Value]:
    kind = _TYPES[to].get(entry.type, entry.type)
    specs: dict[str, Value] = {}
    for key, value in entry.specs.items():
        if key in _EVERYWHERE or to == "simulation" or (key in _CONTAINERS_ONLY and kind not in _GUESTS):
            specs[_KEPT[to].get(key, key)] = value
        else:
            why = f"a {kind} of {to} has nothing like it"
            unmapped.append(Unmapped(resource=entry.name, field=f"specs.{key}", why=why))
    if to in ("docker", "kubernetes") and entry.type in _GUESTS and "image" not in specs:
        unmapped.append(Unmapped(resource=entry.name, field="specs.image", why="a guest has no image; name one"))
    return {
        "name": entry.name,
        "type": kind,
        "engine": entry.product,
        "version": entry.version,
        "specs": specs,
        "backup": entry.backup,
        "metadata": entry.metadata,
        "dependencies": tuple(short(d) for d in entry.dependencies),
    }


def _steps(entries: tuple[Entry, ...], to: str) -> tuple[str, ...]:
    data = [e.name for e in entries if e.backup or e.type in ("database", "volume", "storage")]
    moved = (
        f"move the data of {', '.join(data)}: dump, restore, compare counts" if data else "there are no data to move"
    )
    return (
        "mend what is unmapped, then validate: alma validate",
        f"deploy to {to} beside what runs: alma deploy --dry-run first",
        moved,
        "send a part of the traffic there and watch it",
        "send the rest, keep the old one until a backup of the new one was restored once",
        "remove the old one by a pull request",
    )


MIGRATE_INFRASTRUCTURE = Tool(
    "migrate_infrastructure",
    "The same blueprint for another engine, and what has no counterpart there.",
    MigrateTakes,
    MigrateGives,
    migrate_infrastructure,
)
