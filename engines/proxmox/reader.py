"""Reads a cluster for observe: one list for all guests, and one call for each owned guest whose configuration may have
changed. Asks; decides nothing.

The quick pass costs a handful of calls whatever the number of guests: presence, node, power, tags and sizes stand in
the list. A guest is read again when its row differs, when this engine has written to it, or when what is known is older
than `full_pass`; then everything of it stands in one call (`…/pending`: what is in effect, what waits, and the digest).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.plan.resource import Gap, ObjectKey, Seen, Snapshot
from engines.engine import Ask, Refused, Transient
from engines.proxmox import guest, observe, others
from engines.proxmox.client import Client, NotFound, at
from engines.proxmox.listing import Listing, Row, label, tagged
from engines.proxmox.observe import KIND_OF, Read
from engines.proxmox.rights import sees

SETTLED_S = 30.0  # as long after one of our own writes the list may still tell the power from before
_SIGNATURE = ("node", "type", "name", "status", "tags", "maxmem", "maxcpu", "maxdisk", "lock", "template")
_AUDIT: Mapping[str, tuple[str, str]] = {
    "VM.Audit": ("/vms", "guests"),
    "Pool.Audit": ("/pool", "pools"),
    "Datastore.Audit": ("/storage", "storages"),
    "Sys.Audit": ("/", "nodes, tasks, backup jobs and HA"),
}
GUEST_KINDS = tuple(KIND_OF.values())


@dataclass(slots=True)
class _Known:
    """A guest as it was read, and when."""

    signature: tuple[object, ...]
    read: Read
    read_s: float


class Reader:
    """The reading half of one cluster that serves `observe`."""

    def __init__(self, client: Client, install: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._install = install
        self._clock = clock
        self._known: dict[int, _Known] = {}
        self._touched: dict[int, float] = {}

    async def listing(self) -> Listing:
        """All guests, nodes and storages this token sees, in one call."""
        listing = Listing.of(await self._client.rows(at("cluster", "resources")))
        if not listing.nodes:
            raise Transient("the cluster lists no node, not even the one that answers")
        return listing

    def touch(self, vmid: int) -> None:
        """This engine has changed the guest, or found it changed: it is read anew."""
        self._touched[vmid] = self._clock()
        self._known.pop(vmid, None)

    async def snapshot(self, ask: Ask) -> Snapshot:
        """See `Engine.observe`."""
        listing = await self.listing()
        gaps = await self._blind() + _unreached(listing)
        ha = await self._ha(gaps)
        rows = [r for r in listing.guests.values() if self._interests(r, ask, listing)]
        reads = await self._read_rows(rows, ha)
        self._forget_gone(listing)
        objects = self._guests(reads, listing, ask)
        names = {r.vmid: r.name for r in reads} | {v: str(r["name"]) for v, r in listing.guests.items() if "name" in r}
        objects += await self._pools(ask, gaps)
        objects += await self._jobs(ask, names, gaps)
        objects += await self._images(ask, listing, gaps)
        return Snapshot(tuple(objects), tuple(gaps), listing.capacity())

    async def read(self, row: Row) -> Read:
        """One guest in full, asked now. Raises NotFound when it is gone."""
        kind, node, vmid = str(row["type"]), str(row["node"]), int(row["vmid"])
        rows = await self._client.rows(at("nodes", node, kind, vmid, "pending"))
        now, then, digest = guest.effective(rows)
        if not digest:
            raise Transient(f"the configuration of {kind} {vmid} was told without its digest")
        return Read(row, now, then, digest)

    async def firewall(self, read: Read) -> Read:
        """`read` with its firewall."""
        base = ("nodes", read.node, read.kind, read.vmid, "firewall")
        rules, options = await asyncio.gather(
            self._client.rows(at(*base, "rules")), self._client.object(at(*base, "options"))
        )
        return replace(read, firewall=observe.firewall_fields(rules, options))

    async def power(self, read: Read) -> Read:
        """`read` with its power asked of the guest's own node."""
        status = await self._client.object(at("nodes", read.node, read.kind, read.vmid, "status", "current"))
        return replace(read, running=status.get("status") == "running")

    async def ha_row(self, kind: str, vmid: int) -> Row | None:
        """Its HA resource, if it is managed."""
        name = label(kind, vmid)
        rows = await self._client.rows(at("cluster", "ha", "resources"))
        return next((r for r in rows if r.get("sid") == name), None)

    def _interests(self, row: Row, ask: Ask, listing: Listing) -> bool:
        """Ours by tag, on an asked key, or one of which the list does not tell who it is though its node is up."""
        if str(row["node"]) not in listing.online():
            return False
        asked = {k.name for k in ask.keys if k.kind in GUEST_KINDS}
        known = self._known.get(int(row["vmid"]))
        named = row.get("name") in asked or (known is not None and known.read.name in asked)
        return tagged(row) or named or "name" not in row or self._is_ours(known)

    def _is_ours(self, known: _Known | None) -> bool:
        return known is not None and known.read.marker(self._install) is not None

    async def _read_rows(self, rows: Sequence[Row], ha: Mapping[str, Row]) -> list[Read]:
        """All of them, or the first error. Every call has ended then: one that went on would still note down later
        what it had read before."""
        told = await asyncio.gather(*(self._read_row(r, ha) for r in rows), return_exceptions=True)
        for one in told:
            if isinstance(one, BaseException):
                raise one
        return [r for r in told if isinstance(r, Read)]

    async def _read_row(self, row: Row, ha: Mapping[str, Row]) -> Read | None:
        vmid, now_s = int(row["vmid"]), self._clock()
        signature = tuple(row.get(k) for k in _SIGNATURE)
        known = self._known.get(vmid)
        fresh_s = self._client.settings.full_pass_s
        if known is None or known.signature != signature or now_s - known.read_s >= fresh_s:
            try:
                read = await self._read_in_full(row)
            except NotFound:
                return None  # it went, or moved, since the list was made: the next pass tells
            self._known[vmid] = known = _Known(signature, read, now_s)
        read = replace(known.read, row=row, ha=ha.get(label(str(row["type"]), vmid)))
        if now_s - self._touched.get(vmid, -SETTLED_S) < SETTLED_S or "status" not in row or row["status"] == "unknown":
            read = await self.power(read)
        return read

    async def _read_in_full(self, row: Row) -> Read:
        read = await self.read(row)
        marker = read.marker(self._install)
        if marker and any(p.startswith("firewall.") for p in marker.mark.fields):
            read = await self.firewall(read)
        return read

    def _forget_gone(self, listing: Listing) -> None:
        for vmid in [v for v in self._known if v not in listing.guests]:
            del self._known[vmid]
        late_s = self._clock() - SETTLED_S
        self._touched = {v: s for v, s in self._touched.items() if s > late_s}

    def _guests(self, reads: Sequence[Read], listing: Listing, ask: Ask) -> list[Seen]:
        """Ours first: where two guests bear one name, ours has the key and the others their id behind it."""
        ordered = sorted(reads, key=lambda r: (r.marker(self._install) is None, r.vmid))
        taken: set[ObjectKey] = set()
        found = []
        for read in ordered:
            key = _key(KIND_OF[read.kind], read.name, read.vmid, taken)
            seen = observe.seen_guest(read, key, self._install)
            mine = seen.mark is not None and seen.mark.scope in ask.scopes
            holds = any(a.collides(b) for a in seen.claims for b in ask.claims)
            if mine or seen.key in ask.keys or holds or ask.everything:
                found.append(seen)
        done = {r.vmid for r in reads}
        for vmid, row in sorted(listing.guests.items()):
            if vmid in done:
                continue
            key = _key(KIND_OF[str(row["type"])], str(row.get("name") or f"vmid-{vmid}"), vmid, taken)
            seen = observe.listed_guest(row, key)
            if ask.everything or any(a.collides(b) for a in seen.claims for b in ask.claims):
                found.append(seen)
        return found

    async def _blind(self) -> list[Gap]:
        """Lists are filtered by right without a word: without the right to see all, absence says nothing (I9)."""
        paths = await self._client.object(at("access", "permissions"))
        gaps = []
        for right, (path, what) in _AUDIT.items():
            if not sees(paths, right, path):
                reason = f"the token may not see all {what}: it needs {right} on {path}"
                gaps += [Gap(kind, reason) for kind in _HIDDEN[right]]
        return gaps

    async def _ha(self, gaps: list[Gap]) -> dict[str, Row]:
        try:
            rows = await self._client.rows(at("cluster", "ha", "resources"))
        except Refused as error:
            gaps += [Gap(kind, str(error)) for kind in GUEST_KINDS]
            return {}
        return {str(r.get("sid")): r for r in rows}

    async def _pools(self, ask: Ask, gaps: list[Gap]) -> list[Seen]:
        try:
            rows = await self._client.rows(at("pools"))
        except Refused as error:
            gaps.append(Gap(others.POOL, str(error)))
            return []
        return [s for r in rows if _asked(s := observe.seen_pool(r, self._install), ask)]

    async def _jobs(self, ask: Ask, names: Mapping[int, str], gaps: list[Gap]) -> list[Seen]:
        try:
            rows = await self._client.rows(at("cluster", "backup"))
        except Refused as error:
            gaps.append(Gap(others.BACKUP, str(error)))
            return []
        return [s for r in rows if _asked(s := observe.seen_job(r, names, self._install), ask)]

    async def _images(self, ask: Ask, listing: Listing, gaps: list[Gap]) -> list[Seen]:
        found = []
        for key in sorted(k for k in ask.keys if k.kind == others.IMAGE):
            try:
                row = await self.image(key, listing)
            except Refused as error:
                gaps.append(Gap(others.IMAGE, str(error)))
                continue
            if row is not None:
                found.append(observe.seen_image(row, key))
        return found

    async def image(self, key: ObjectKey, listing: Listing) -> Row | None:
        """The file that a key of an image names, if it is there. Raises Refused when no node sees its storage."""
        volume, storage, node = image_parts(key, listing, self._client.settings.node)
        content = volume.partition(":")[2].partition("/")[0]
        rows = await self._client.rows(at("nodes", node, "storage", storage, "content"), content=content)
        return next((r for r in rows if r.get("volid") == volume), None)


_HIDDEN: Mapping[str, tuple[str, ...]] = {
    "VM.Audit": GUEST_KINDS,
    "Pool.Audit": (others.POOL,),
    "Datastore.Audit": (others.IMAGE,),
    "Sys.Audit": (others.BACKUP,),
}


def image_parts(key: ObjectKey, listing: Listing, preferred: str | None) -> tuple[str, str, str]:
    """An image's volume, storage and the node to ask. Raises Refused when no node that is up sees its storage."""
    volume, _, written = key.name.partition("@")
    storage = volume.partition(":")[0]
    node = written or listing.node_of_storage(storage, preferred)
    if not node:
        raise Refused(f"no node that is up has a storage {storage}")
    return volume, storage, node


def _key(kind: str, name: str, vmid: int, taken: set[ObjectKey]) -> ObjectKey:
    key = ObjectKey(kind, name)
    if key in taken:
        key = ObjectKey(kind, f"{name}@{vmid}")
    taken.add(key)
    return key


def _asked(seen: Seen, ask: Ask) -> bool:
    mine = seen.mark is not None and seen.mark.scope in ask.scopes
    return mine or seen.key in ask.keys or ask.everything


def _unreached(listing: Listing) -> list[Gap]:
    """Guests of a node that is down: nobody can say which they are, so none is missing and none may be made anew."""
    online = set(listing.online())
    gone = sorted({(str(r["node"]), str(r["type"])) for r in listing.guests.values() if str(r["node"]) not in online})
    return [Gap(KIND_OF[kind], f"node {node} is down", within=node) for node, kind in gone]
