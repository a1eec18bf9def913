"""What one `GET /cluster/resources` tells: guests with node and power, nodes and storages with what is free. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.plan.resource import Capacity
from engines.engine import Transient
from engines.proxmox import marks
from engines.proxmox.options import LXC, QEMU

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """All rows, by what they are about. A guest's node and id are always right; its name, tags and power come from a
    daemon that may be some ten seconds behind, and are missing for one just made or on a node that is down."""

    guests: Mapping[int, Row]
    nodes: Mapping[str, Row]
    storages: Mapping[tuple[str, str], Row]  # (node, storage)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Listing:
        """Sorts the rows; those of other types are left out. Raises Transient for one that does not tell who it is."""
        listed = list(rows)
        try:
            return cls(
                {int(r["vmid"]): r for r in listed if r.get("type") in (QEMU, LXC) and str(r["node"])},
                {str(r["node"]): r for r in listed if r.get("type") == "node"},
                {(str(r["node"]), str(r["storage"])): r for r in listed if r.get("type") == "storage"},
            )
        except (KeyError, ValueError, TypeError):
            raise Transient("the cluster's list holds a row that does not tell what it is about") from None

    def online(self) -> list[str]:
        """Names of the nodes that are up."""
        return sorted(n for n, r in self.nodes.items() if r.get("status") == "online")

    def named(self, kind: str, name: str) -> list[Row]:
        """Guests of this kind and name; a cluster does not keep names unique."""
        return [r for _, r in sorted(self.guests.items()) if r["type"] == kind and r.get("name") == name]

    def memory_free(self, node: str) -> int | None:
        """Bytes; None where the token may not see it."""
        return _free(self.nodes.get(node, {}), "maxmem", "mem")

    def storage_free(self, node: str, storage: str) -> int | None:
        """Bytes; None where the token may not see it."""
        return _free(self.storages.get((node, storage), {}), "maxdisk", "disk")

    def node_of_storage(self, storage: str, preferred: str | None) -> str | None:
        """An online node that sees this storage."""
        here = [n for n, s in self.storages if s == storage and n in self.online()]
        return preferred if preferred in here else min(here, default=None)

    def capacity(self) -> Capacity:
        """Of all nodes that are up; a figure the platform hides is None."""
        rows = [self.nodes[n] for n in self.online()]
        stores = {(s if int(r.get("shared") or 0) else (n, s)): r for (n, s), r in self.storages.items()}
        return Capacity(
            cpu_millicores=_sum(rows, "maxcpu", 1000),
            memory_bytes=_sum(rows, "maxmem"),
            memory_bytes_free=_sum_free(rows, "maxmem", "mem"),
            disk_bytes=_sum([r for r in stores.values() if "maxdisk" in r], "maxdisk"),
            disk_bytes_free=_sum_free([r for r in stores.values() if "maxdisk" in r], "maxdisk", "disk"),
        )


def tagged(row: Row) -> bool:
    """True for a guest that bears our tag."""
    return marks.TAG in str(row.get("tags") or "").lower().replace(",", ";").split(";")


def label(kind: str, vmid: int) -> str:
    """How HA names a guest."""
    return f"{'vm' if kind == QEMU else 'ct'}:{vmid}"


def _free(row: Row, total: str, used: str) -> int | None:
    return int(row[total]) - int(row[used]) if total in row and used in row else None


def _sum(rows: Sequence[Row], key: str, factor: int = 1) -> int | None:
    return sum(int(r[key]) * factor for r in rows) if rows and all(key in r for r in rows) else None


def _sum_free(rows: Sequence[Row], total: str, used: str) -> int | None:
    free = [_free(r, total, used) for r in rows]
    return sum(f for f in free if f is not None) if free and None not in free else None
