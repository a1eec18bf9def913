"""What a cluster told → Seen objects. Pure: rows and configurations come in as arguments."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.blueprint.value import Value
from controller.plan.health import HEALTHY, Health, HealthState
from controller.plan.resource import Claim, ClaimKind, ObjectKey, Part, Seen
from engines.proxmox import guest, marks, others
from engines.proxmox.listing import Row
from engines.proxmox.marks import Marker
from engines.proxmox.options import LXC, QEMU, READ_AT_START

KIND_OF = {QEMU: "proxmox/qemu", LXC: "proxmox/lxc"}
_RULE_PARTS = ("type", "action", "macro", "source", "dest", "proto", "sport", "dport", "iface", "log", "comment")
_OPTION_FLAGS = ("enable", "macfilter", "ipfilter", "dhcp")


@dataclass(frozen=True, slots=True)
class Read:
    """One guest as read in full: effective and future configuration as text, digest, and what lies elsewhere."""

    row: Row
    now: Mapping[str, str]
    then: Mapping[str, str]
    digest: str
    ha: Row | None = None
    firewall: Mapping[str, Value] = field(default_factory=dict)
    running: bool | None = None  # asked of the guest itself; None: as the row says

    @property
    def kind(self) -> str:
        return str(self.row["type"])

    @property
    def vmid(self) -> int:
        return int(self.row["vmid"])

    @property
    def node(self) -> str:
        return str(self.row["node"])

    @property
    def name(self) -> str:
        return self.then.get(guest.name_key(self.kind)) or str(self.row.get("name") or "")

    @property
    def runs(self) -> bool:
        return self.running if self.running is not None else self.row.get("status") == "running"

    def marker(self, install: str) -> Marker | None:
        """Its marker line; notes take effect at once, so what will be is what is."""
        return marks.read(self.then.get("description", ""), install)

    def fields(self) -> dict[str, Value]:
        """In effect now."""
        return {**guest.live(self.kind, self._in_effect()), **self._beside()}

    def _in_effect(self) -> dict[str, str]:
        waits = {k: self.then[k] for k in READ_AT_START if k in self.then}
        return {**{k: v for k, v in self.now.items() if k not in READ_AT_START}, **waits}

    def pending(self) -> dict[str, Value]:
        """Fields that will be others after a restart; None for one that will be gone."""
        now, then = guest.live(self.kind, self._in_effect()), guest.live(self.kind, self.then)
        return {p: then.get(p) for p in {*now, *then} if now.get(p) != then.get(p)}

    def coming(self) -> dict[str, Value]:
        """Fields as they will be once nothing is pending: what a write changes."""
        return {**guest.live(self.kind, self.then), **self._beside()}

    def _beside(self) -> dict[str, Value]:
        found: dict[str, Value] = {"running": self.runs, **self.firewall}
        if self.row.get("pool"):
            found["pool"] = str(self.row["pool"])
        return found | (ha_fields(self.ha) if self.ha else {})


def uid(ident: object, marker: Marker | None) -> str:
    """The platform's number or name, with the op that made the object: one made again is another one."""
    return f"{ident}.{marker.born}" if marker and marker.born else str(ident)


def vmid_of(uid: str) -> int | None:
    """The vmid within a guest's uid."""
    number = uid.partition(".")[0]
    return int(number) if number.isdigit() else None


def seen_guest(read: Read, key: ObjectKey, install: str) -> Seen:
    """An owned guest, or one that sits on an asked key."""
    marker = read.marker(install)
    fields = read.fields()
    if marker:
        fields |= {f"refs.{p}": r for p, r in marker.refs.items()}
        fields |= {"stop.cut_off_s": marker.cut_off_s} if marker.cut_off_s else {}
    lock = read.now.get("lock") or read.row.get("lock")
    return Seen(
        key=key,
        uid=uid(read.vmid, marker),
        version=read.digest,
        mark=marker.mark if marker else None,
        part=Part.CURRENT,
        claims=guest.claims(fields, read.vmid, running=read.runs),
        fields=fields,
        pending=read.pending(),
        outputs=outputs(read),
        health=_health(read),
        task=f"lock: {lock}" if lock else None,
    )


def outputs(read: Read) -> dict[str, Value]:
    """What other resources may refer to."""
    told: dict[str, Value] = {"name": read.name, "vmid": read.vmid, "node": read.node}
    if address := guest.address_of(guest.live(read.kind, read.then)):
        told["address"] = address
    return told


def _health(read: Read) -> Health:
    if read.runs or read.now.get("template") == "1":
        return HEALTHY
    return Health(HealthState.SUSPENDED, "stopped")


def listed_guest(row: Row, key: ObjectKey) -> Seen:
    """A guest as the list tells it, which is enough for what is not asked about: who it is and what id it holds."""
    claims = frozenset({Claim(ClaimKind.NAME, f"vmid/{row['vmid']}")})
    fields: dict[str, Value] = {"running": row.get("status") == "running"}
    return Seen(key, str(row["vmid"]), None, None, Part.CURRENT, claims, fields)


def seen_pool(row: Row, install: str) -> Seen:
    """A pool as listed."""
    name, text = str(row["poolid"]), str(row.get("comment") or "")
    marker = marks.read(text, install)
    own = marks.notes_of(text)
    fields: dict[str, Value] = {"comment": own} if own else {}
    return Seen(
        ObjectKey(others.POOL, name),
        uid(name, marker),
        None,
        marker.mark if marker else None,
        Part.CURRENT,
        frozenset(),
        fields,
        outputs={"name": name},
        health=HEALTHY,
    )


def seen_job(row: Row, names: Mapping[int, str], install: str) -> Seen:
    """A backup job as listed."""
    name = str(row["id"])
    marker = marks.read(str(row.get("comment") or ""), install)
    fields = others.live_job(row, names)
    mark = marker.mark if marker else None
    key = ObjectKey(others.BACKUP, name)
    told: dict[str, Value] = {"name": name}
    return Seen(key, uid(name, marker), None, mark, Part.CURRENT, frozenset(), fields, outputs=told, health=HEALTHY)


def seen_image(row: Row, key: ObjectKey) -> Seen:
    """A file of a storage. It carries no mark: files belong to the storage."""
    volume = str(row["volid"])
    fields: dict[str, Value] = {"image": volume}
    return Seen(key, volume, None, None, Part.CURRENT, frozenset(), fields, outputs=fields, health=HEALTHY)


def ha_fields(row: Row) -> dict[str, Value]:
    """What the HA manager is asked for."""
    state = "started" if row.get("state") == "enabled" else str(row.get("state") or "started")
    found: dict[str, Value] = {"ha.state": state}
    if row.get("group"):
        found["ha.group"] = str(row["group"])
    return found | {f"ha.{n}": int(row[n]) for n in ("max_restart", "max_relocate") if n in row}


def firewall_fields(rules: Sequence[Row], options: Row) -> dict[str, Value]:
    """Rules in their order, and options."""
    found: dict[str, Value] = {"firewall.rules": tuple(rule(r) for r in sorted(rules, key=lambda r: int(r["pos"])))}
    found |= {f"firewall.{n}": str(options[n]) == "1" for n in _OPTION_FLAGS if n in options}
    return found | {f"firewall.{n}": str(options[n]) for n in ("policy_in", "policy_out") if n in options}


def rule(row: Row) -> dict[str, Value]:
    """One rule without its place and digest."""
    told: dict[str, Value] = {n: str(row[n]) for n in _RULE_PARTS if row.get(n) not in (None, "")}
    told["enable"] = str(row.get("enable", 0)) == "1"
    return dict(sorted(told.items()))


def guest_address(interfaces: Any, mac: str | None) -> str | None:
    """The address a guest tells of itself, best of the card that bears `mac`; never loopback or link-local."""
    best: str | None = None
    for interface in interfaces if isinstance(interfaces, list) else ():
        hardware = str(interface.get("hardware-address") or interface.get("hwaddr") or "").upper()
        for address in _usable(interface):
            if mac and hardware == mac.upper():
                return address
            best = best or address
    return best


def _usable(interface: Mapping[str, Any]) -> list[str]:
    listed = interface.get("ip-addresses") or ()
    texts = [str(a.get("ip-address")) for a in listed if isinstance(a, Mapping)]
    texts += [str(interface[n]).partition("/")[0] for n in ("inet", "inet6") if interface.get(n)]
    found = []
    for text in texts:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if not address.is_loopback and not address.is_link_local:
            found.append(text)
    return found
