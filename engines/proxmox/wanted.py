"""What the `specs` of a guest ask for, as fields, and what is only given at birth. Pure."""

from __future__ import annotations

from controller.blueprint.value import Value
from engines.proxmox.guest_specs import ContainerSpecs, GuestSpecs, Strict, VmSpecs, said

_NOT_FIELDS = frozenset(
    {
        "name",
        "vmid",
        "node",
        "clone",
        "full",
        "stop",
        "snapshot",
        "cpu",
        "disk",
        "storage",
        "image",
        "password",
        "ssh_keys",
    }
)


def wanted(specs: GuestSpecs) -> dict[str, Value]:
    """Fields that a blueprint asks for. What it leaves out is not here, and will not be compared."""
    found: dict[str, Value] = {"running": specs.running and not specs.template}
    for name, value in said(specs).items():
        if name not in _NOT_FIELDS and name != "running":
            found |= _flat(name, value)
    if specs.cpu is not None:
        found["cores"] = specs.cpu
    found |= _first_disk(specs)
    if isinstance(specs, VmSpecs):
        # Said empty, they are still asked for.
        found |= {"efi.type": specs.efi.type or "4m"} if specs.efi else {}
        found |= {"tpm.version": specs.tpm.version or "v2.0"} if specs.tpm else {}
    return found


def _flat(name: str, value: Value) -> dict[str, Value]:
    if name == "firewall" and isinstance(value, Strict):
        return _firewall(value)
    if isinstance(value, Strict):
        return {p: v for k, inner in said(value).items() for p, v in _flat(f"{name}.{k}", inner).items()}
    if isinstance(value, dict):
        return {p: v for k, inner in value.items() for p, v in _flat(f"{name}.{k}", inner).items()}
    if name.startswith("disks.") and name.endswith(".discard"):
        return {name: "on" if value else "ignore"}
    return {} if name.endswith(".image") else {name: value}


def _firewall(value: Strict) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key, inner in said(value).items():
        if key == "rules" and isinstance(inner, tuple):
            found["firewall.rules"] = tuple(_rule(r) for r in inner)
        else:
            found[f"firewall.{key}"] = inner
    return found


def _rule(rule: Strict) -> dict[str, Value]:
    return dict(sorted(said(rule).items()))


def _first_disk(specs: GuestSpecs) -> dict[str, Value]:
    if isinstance(specs, VmSpecs):
        size = specs.disk or specs.storage
        return {"disks.scsi0.size": size} if size else {}
    assert isinstance(specs, ContainerSpecs)
    size = specs.disk or specs.storage
    return {"rootfs.size": size} if size else {}


def birth(specs: GuestSpecs) -> dict[str, Value]:
    """What is only given when it is made, and never compared afterwards."""
    found: dict[str, Value] = {"clone": specs.clone, "full": specs.full, "node": specs.node, "vmid": specs.vmid}
    if isinstance(specs, VmSpecs):
        found |= {f"import.{key}": disk.image for key, disk in specs.disks.items()}
    if isinstance(specs, ContainerSpecs):
        found |= {"image": specs.image, "password": specs.password, "ssh_keys": specs.ssh_keys}
    return {k: v for k, v in found.items() if v is not None}
