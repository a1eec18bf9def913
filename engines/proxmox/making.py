"""The steps that make a guest: created or cloned, brought to what is wanted, then started. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.blueprint.units import shown_size
from controller.blueprint.value import Value
from controller.plan.resource import Desired
from controller.plan.step import Phase, Step
from engines.engine import Refused
from engines.proxmox import guest, options, steps
from engines.proxmox.changing import below, filled, walls
from engines.proxmox.differences import part_of
from engines.proxmox.settings import Settings
from engines.proxmox.steps import Call, Source, Target


@dataclass(frozen=True, slots=True)
class Making:
    """Steps, and what the plan shows beside the wanted fields."""

    steps: tuple[Step, ...]
    told: Mapping[str, Value] = field(default_factory=dict)


def making(kind: str, desired: Desired, vmid: int, node: str, source: Source | None, settings: Settings) -> Making:
    """Raises Refused for a disk that would be smaller than the template's."""
    own = Target(desired.key, str(desired.resource), vmid=vmid)
    born = desired.private["birth"]
    stop = desired.private["stop"]
    assert isinstance(born, Mapping)
    assert isinstance(stop, Mapping)
    config = {p: v for p, v in desired.fields.items() if not guest.elsewhere(p)}
    made = _created(kind, desired, vmid, node, config, born, settings) if source is None else ()
    sent = [*(made or _cloned(kind, desired, vmid, node, config, born, source, settings))]
    sent += walls(own, Phase.STAGE, desired.fields, {})
    if desired.fields.get("template"):
        sent.append(own.step(Phase.STAGE, Call.TEMPLATE, {}))
    if desired.fields.get("running") is True:
        sent.append(steps.power(own, Call.START, {**stop, "own": True}))
    if asked := below(desired.fields, "ha"):
        sent.append(steps.ha(own, asked, {}))
    told = {k: v for k, v in born.items() if k in ("clone", "image")}
    return Making(tuple(sent), {**told, "vmid": vmid, "node": node})


def _created(
    kind: str,
    desired: Desired,
    vmid: int,
    node: str,
    config: Mapping[str, Value],
    born: Mapping[str, Value],
    settings: Settings,
) -> tuple[Step, ...]:
    fields = {**config, **filled(kind, desired, config, settings)}
    if kind == options.LXC and "rootfs.size" not in fields:
        raise Refused(f"{desired.place}: {desired.key.name} needs the size of its root; write `disk: 8GB`")
    given = {k: v for k, v in born.items() if k in ("image", "password", "ssh_keys") or k.startswith("import.")}
    made = steps.create(desired, vmid, node, fields, given, desired.fields.get("pool"))
    own = Target(desired.key, str(desired.resource), vmid=vmid)
    # An imported image brings its own size.
    grown = [k.removeprefix("import.") for k in given if k.startswith("import.")]
    sizes = {d: config[f"disks.{d}.size"] for d in sorted(grown) if f"disks.{d}.size" in config}
    return (made, *(steps.resize(own, Phase.STAGE, d, int(str(s))) for d, s in sizes.items()))


def _cloned(
    kind: str,
    desired: Desired,
    vmid: int,
    node: str,
    config: Mapping[str, Value],
    born: Mapping[str, Value],
    source: Source | None,
    settings: Settings,
) -> tuple[Step, ...]:
    assert source is not None
    inherited = {part_of(p) for p in source.fields}
    new = {p: v for p, v in config.items() if part_of(p) not in inherited or "." not in part_of(p)}
    disks = {p: v for p, v in new.items() if part_of(p) != "rootfs"}
    extra = {p: v for p, v in filled(kind, desired, disks, settings).items() if part_of(p) not in inherited}
    full = bool(born.get("full")) if born.get("full") is not None else not source.template
    storage = config.get("disks.scsi0.storage") or config.get("rootfs.storage")
    made = steps.clone(desired, vmid, source, node, full, storage, desired.fields.get("pool"))
    own = Target(desired.key, str(desired.resource), vmid=vmid)
    written = {p: v for p, v in {**config, **extra}.items() if not _inherited_volume(p, inherited)}
    sent = [made, steps.config(own, Phase.STAGE, written, (), (), steps.mark_request(desired), born=_imports(born))]
    for path, value in sorted(config.items()):
        if path.endswith(".size") and part_of(path) in inherited:
            sent += _grown(desired, own, source, path, int(str(value)))
    return tuple(sent)


def _inherited_volume(path: str, inherited: set[str]) -> bool:
    """True for size and storage of a disk that the template brings: they are not written in its line."""
    return path.endswith((".size", ".storage")) and part_of(path) in inherited


def _imports(born: Mapping[str, Value]) -> dict[str, Value]:
    return {k: v for k, v in born.items() if k.startswith("import.")}


def _grown(desired: Desired, own: Target, source: Source, path: str, size: int) -> list[Step]:
    there = source.fields.get(path)
    if isinstance(there, int) and size < there:
        raise Refused(
            f"{desired.place}: {path} of {desired.key.name} is {shown_size(size)}, but what it is cloned from has"
            f" {shown_size(there)}; volumes only grow"
        )
    disk = part_of(path).partition(".")[2] or part_of(path)
    return [] if there == size else [steps.resize(own, Phase.STAGE, disk, size)]
