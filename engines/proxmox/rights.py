"""What an API token may do, and what it lacks, each with the command that mends it. Pure.

The role `Alma` is the least that this engine's calls need; `PVEAuditor` on / lets it see everything, so that what it
does not see is surely not there (I9). A role on a nearer path takes the place of one above it, so `Alma` sees, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SEEING = ("VM.Audit", "Pool.Audit", "Datastore.Audit", "Sys.Audit")
_GUESTS = (
    "VM.Audit",
    "VM.Allocate",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
)
ROLE: Mapping[str, tuple[str, ...]] = {
    "/vms": _GUESTS,
    "/storage": ("Datastore.Audit", "Datastore.AllocateSpace", "Datastore.AllocateTemplate"),
    "/sdn": ("SDN.Use",),
    "/pool": ("Pool.Audit", "Pool.Allocate"),
}


def held(paths: Mapping[str, Any]) -> tuple[str, ...]:
    """Every right held somewhere, sorted."""
    return tuple(sorted({right for rights in paths.values() if isinstance(rights, dict) for right in rights}))


def missing(paths: Mapping[str, Any], release: str) -> tuple[str, ...]:
    """What the engine's kinds need and this token lacks."""
    found = []
    for right in _SEEING:
        if not sees(paths, right, "/"):
            found.append(f"{right} on /: pveum acl modify / --tokens 'USER@REALM!TOKENID' --roles PVEAuditor")
    for path, rights in ROLE.items():
        if lacking := [r for r in rights if not _anywhere(paths, r)]:
            mend = (
                f"pveum role add Alma --privs '{' '.join(_all())}' && pveum acl modify {path} --tokens … --roles Alma"
            )
            found.append(f"{', '.join(lacking)} on {path}: {mend}")
    return tuple(found)


def _all() -> list[str]:
    return sorted({right for rights in ROLE.values() for right in rights})


def sees(paths: Mapping[str, Any], right: str, path: str) -> bool:
    """True if `/access/permissions` grants `right` on `path`, there or from above, to everything below."""
    rights = paths.get(path, paths.get("/"))
    return isinstance(rights, dict) and bool(rights.get(right))


def _anywhere(paths: Mapping[str, Any], right: str) -> bool:
    return any(isinstance(rights, dict) and rights.get(right) for rights in paths.values())
