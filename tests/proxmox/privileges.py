"""The privileges and built-in roles of a release, as data."""

from __future__ import annotations

from functools import cache

_VM_CONFIG = frozenset(
    f"VM.Config.{part}" for part in ("Disk", "CDROM", "CPU", "Memory", "Network", "HWType", "Options", "Cloudinit")
)
_VM_AGENT = frozenset(f"VM.GuestAgent.{part}" for part in ("Audit", "FileRead", "FileWrite", "FileSystemMgmt"))
_VM_USER = frozenset({"VM.Audit", "VM.Backup", "VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.PowerMgmt"})
_VM_ADMIN = (
    _VM_CONFIG
    | _VM_AGENT
    | _VM_USER
    | {"VM.Allocate", "VM.Clone", "VM.Migrate", "VM.Monitor", "VM.Replicate", "VM.Snapshot", "VM.Snapshot.Rollback"}
    | {"VM.GuestAgent.Unrestricted"}
)
_DATASTORE_USER = frozenset({"Datastore.Audit", "Datastore.AllocateSpace"})
_DATASTORE_ADMIN = _DATASTORE_USER | {"Datastore.Allocate", "Datastore.AllocateTemplate"}
_MAPPING = frozenset({"Mapping.Audit", "Mapping.Modify", "Mapping.Use"})
_SDN = frozenset({"SDN.Audit", "SDN.Allocate", "SDN.Use"})
_SYS_ADMIN = frozenset({"Sys.Audit", "Sys.Console", "Sys.Syslog"})
_USER_ADMIN = frozenset({"Group.Allocate", "Realm.AllocateUser", "User.Modify"})
_AUDITOR = frozenset(
    {"Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit", "VM.GuestAgent.Audit"}
)
_POOL = frozenset({"Pool.Audit", "Pool.Allocate"})
_ONLY_ADMINISTRATOR = frozenset(
    {"Permissions.Modify", "Realm.Allocate", "Sys.AccessNetwork", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt"}
)

_PVE_ADMIN = _VM_ADMIN | _DATASTORE_ADMIN | _MAPPING | _SDN | _SYS_ADMIN | _USER_ADMIN | _POOL

PRIVILEGES = _PVE_ADMIN | _ONLY_ADMINISTRATOR
"""Every privilege name of any release we serve."""

_NEW_IN_9 = frozenset(name for name in PRIVILEGES if name.startswith("VM.GuestAgent.")) | {"VM.Replicate"}
_GONE_IN_9 = frozenset({"VM.Monitor"})


def privileges_of(version: str) -> frozenset[str]:
    """Privilege names that exist in release `version` ("9.1", "8.4")."""
    return PRIVILEGES - (_GONE_IN_9 if version.startswith("9") else _NEW_IN_9)


@cache
def builtin_roles(version: str) -> dict[str, frozenset[str]]:
    """Built-in roles of release `version` and what they grant."""
    known = privileges_of(version)
    roles = {
        "Administrator": PRIVILEGES,
        "NoAccess": frozenset[str](),
        "PVEAdmin": _PVE_ADMIN,
        "PVEAuditor": _AUDITOR,
        "PVEDatastoreAdmin": _DATASTORE_ADMIN,
        "PVEDatastoreUser": _DATASTORE_USER,
        "PVEMappingAdmin": _MAPPING,
        "PVEMappingAuditor": frozenset({"Mapping.Audit"}),
        "PVEMappingUser": frozenset({"Mapping.Audit", "Mapping.Use"}),
        "PVEPoolAdmin": _POOL,
        "PVEPoolUser": frozenset({"Pool.Audit"}),
        "PVESDNAdmin": _SDN,
        "PVESDNUser": frozenset({"SDN.Audit", "SDN.Use"}),
        "PVESysAdmin": _SYS_ADMIN,
        "PVETemplateUser": frozenset({"VM.Audit", "VM.Clone"}),
        "PVEUserAdmin": _USER_ADMIN,
        "PVEVMAdmin": _VM_ADMIN,
        "PVEVMUser": _VM_USER,
    }
    return {name: granted & known for name, granted in roles.items()}
