"""What a preview must ask before effects can be made: free ids, where a template lies, what is free. Asked only when a
guest must be made or a volume grown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from controller.blueprint.units import shown_size
from controller.blueprint.value import Value
from controller.plan.resource import Desired, ObjectKey, Seen
from engines.engine import Refused, Transient
from engines.proxmox import guest
from engines.proxmox.client import Client, Taken, at
from engines.proxmox.listing import Listing
from engines.proxmox.preview import Match, Site
from engines.proxmox.reader import Reader
from engines.proxmox.steps import Source

_PROBES_MAX = 200


class Surveyor:
    """Asks one cluster."""

    def __init__(self, client: Client, reader: Reader, install: str) -> None:
        self._client = client
        self._reader = reader
        self._install = install

    async def site(self, found: Sequence[Match]) -> Site:
        """Raises Refused when there is no room, no id, or no template."""
        settings = self._client.settings
        made = [m for m in found if m.kind is not None and m.seen is None]
        grown = [m for m in found if m.seen is not None and _grows(m.desired, m.seen)]
        if not made and not grown:
            return Site(settings)
        listing = await self._reader.listing()
        vmids: dict[ObjectKey, int] = {}
        nodes: dict[ObjectKey, str] = {}
        sources: dict[ObjectKey, Source] = {}
        for match in made:
            # A template of this very plan lies where it will be made; it comes first in the order of dependencies.
            vmids[match.desired.key] = await self._vmid(match.desired, listing, set(vmids.values()))
            nodes[match.desired.key] = _node(match.desired, listing, settings.node)
        for match in made:
            source = await self._source(match, found, vmids, nodes, listing)
            if source is not None:
                sources[match.desired.key] = source
                if not _born(match.desired).get("node"):
                    nodes[match.desired.key] = source.node
        site = Site(settings, listing, vmids, nodes, sources)
        _room(made, grown, site)
        return site

    async def _vmid(self, desired: Desired, listing: Listing, chosen: set[int]) -> int:
        """The id written down; else the first free one from where the name's hash points. Two plans for different
        guests hardly ever want the same, and one plan made twice has the same digest. The cluster is asked once more
        for what this token may not see. `prior` and the create itself refuse an id that was taken since."""
        settings = self._client.settings
        low, high = settings.vmids
        written = _born(desired).get("vmid")
        if isinstance(written, int):
            if not settings.owns_vmid(written):
                raise Refused(f"{desired.place}: vmid {written} is not within this target's range {low}-{high}")
            return written
        size = high - low + 1
        start = int.from_bytes(hashlib.sha256(str(desired.key).encode()).digest()[:8], "big") % size
        probed = 0
        for step in range(size):
            vmid = low + (start + step) % size
            _not_half_made(vmid, listing)
            if vmid in chosen or vmid in listing.guests:
                continue
            if await self._free(vmid):
                return vmid
            probed += 1
            if probed >= _PROBES_MAX:
                break
        raise Refused(f"{desired.place}: no vmid from {low} to {high} is free; widen `vmids` of the target")

    async def _free(self, vmid: int) -> bool:
        try:
            await self._client.get(at("cluster", "nextid"), vmid=vmid)
        except Taken:
            return False
        return True

    async def _source(
        self,
        match: Match,
        found: Sequence[Match],
        vmids: Mapping[ObjectKey, int],
        nodes: Mapping[ObjectKey, str],
        listing: Listing,
    ) -> Source | None:
        desired, written = match.desired, _born(match.desired).get("clone")
        if written is None:
            return None
        if isinstance(written, str):
            key = ObjectKey(desired.key.kind, written)
            own = next((m for m in found if m.desired.key == key), None)
            if own is not None and own.seen is None and key in vmids:
                fields = own.desired.fields
                return Source(vmids[key], nodes[key], fields, bool(fields.get("template")))
        vmid = written if isinstance(written, int) else _vmid_of(found, desired, str(written))
        row = listing.guests.get(vmid or 0)
        if row is None or row["type"] != match.kind:
            raise Refused(
                f"{desired.place}: {written}, which {desired.key.name} is cloned from, is not on this cluster"
            )
        read = await self._reader.read(row)
        if read.marker(self._install) is None and read.vmid not in self._client.settings.templates:
            raise Refused(
                f"{desired.place}: vmid {read.vmid} is not ours and not among the target's templates; an administrator"
                " may list it there"
            )
        return Source(read.vmid, read.node, guest.live(read.kind, read.then), read.then.get("template") == "1")


def _not_half_made(vmid: int, listing: Listing) -> None:
    """A placeholder bears neither name nor marker: it may be this very guest, whose making nobody remembers."""
    row = listing.guests.get(vmid)
    if row is not None and row["node"] in listing.online():
        lock = row.get("lock")
        if lock in ("create", "clone") or "name" not in row:
            raise Transient(f"vmid {vmid} on {row['node']} is being made; it is looked at again when that is over")


def _vmid_of(found: Sequence[Match], desired: Desired, name: str) -> int | None:
    key = ObjectKey(desired.key.kind, name)
    own = next((m.seen for m in found if m.desired.key == key and m.seen), None)
    return int(str(own.outputs["vmid"])) if own and "vmid" in own.outputs else None


def _born(desired: Desired) -> Mapping[str, Value]:
    born = desired.private.get("birth")
    return born if isinstance(born, Mapping) else {}


def _node(desired: Desired, listing: Listing, preferred: str | None) -> str:
    online = listing.online()
    written = _born(desired).get("node") or preferred
    node = str(written) if written else min(online, default="")
    if node not in online:
        said = f"node {node} is not up" if node else "no node is up"
        raise Refused(f"{desired.place}: {said}; {desired.key.name} cannot be made there")
    return node


def _grows(desired: Desired, seen: Seen) -> bool:
    """True if memory or a volume would become larger."""
    paths = [p for p in desired.fields if p == "memory" or p.endswith(".size")]
    return any(_amount(desired.fields[p]) > _amount(seen.fields.get(p)) for p in paths)


def _amount(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _room(made: Sequence[Match], grown: Sequence[Match], site: Site) -> None:
    """Raises Refused where memory or storage will not do: known before anything is stopped."""
    memory: dict[str, int] = {}
    space: dict[tuple[str, str], int] = {}
    for match in (*made, *grown):
        fields, key = match.desired.fields, match.desired.key
        before: Mapping[str, Value] = match.seen.fields if match.seen else {}
        node = site.nodes.get(key) or str(match.seen.outputs.get("node") if match.seen else "")
        if fields.get("running") is True:
            more = _amount(fields.get("memory")) - (_amount(before.get("memory")) if before.get("running") else 0)
            memory[node] = memory.get(node, 0) + more
            _enough(match, f"memory of node {node}", memory[node], site.listing.memory_free(node))
        for path, size in fields.items():
            if path.endswith(".size"):
                named = fields.get(path.removesuffix("size") + "storage")
                storage = str(named or before.get(path.removesuffix("size") + "storage") or site.settings.storage)
                place = (node, storage)
                space[place] = space.get(place, 0) + max(0, _amount(size) - _amount(before.get(path)))
                _enough(match, f"storage {storage} of node {node}", space[place], site.listing.storage_free(*place))


def _enough(match: Match, what: str, wanted: int, free: int | None) -> None:
    if free is not None and wanted > free:
        raise Refused(
            f"{match.desired.place}: {match.desired.key.name} does not fit: {what} has {shown_size(_whole(free))} free,"
            f" and {shown_size(_whole(wanted))} is needed"
        )


def _whole(size: int) -> int:
    """Full MiB, so that the text stays short."""
    return size // 1024**2 * 1024**2
