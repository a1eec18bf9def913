"""What each resource needs on a cluster: effects and their steps, from what is wanted and what was seen. Pure; what
must be asked first (free ids, where a template lies, what is free) comes in as a `Site`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.blueprint.entry import Disruption, OnDelete, Probe, ProbeKind
from controller.blueprint.value import Value
from controller.plan.diff import without
from controller.plan.resource import Desired, Mark, MarkLifecycle, ObjectKey, Part, ResourceId, Seen, Snapshot
from controller.plan.step import Action, Effect, FieldChange, Phase, Step
from engines.engine import Refused
from engines.proxmox import guest, others, steps
from engines.proxmox.changing import changing
from engines.proxmox.differences import differences
from engines.proxmox.listing import Listing
from engines.proxmox.making import making
from engines.proxmox.settings import Settings
from engines.proxmox.steps import Call, Source, Target

PLATFORM = Probe(ProbeKind.PLATFORM)
_ORDER = {"proxmox/qemu": 1, "proxmox/lxc": 1, others.BACKUP: 0, others.POOL: 2, others.IMAGE: 3}


@dataclass(frozen=True, slots=True)
class Match:
    """A wanted object and the live one that is it, if any. `adopted`: foreign so far, named by a person. `held`: what
    sits on its key; where that is not `seen`, a create will be refused."""

    desired: Desired
    seen: Seen | None
    adopted: bool = False
    held: Seen | None = None

    @property
    def obstacle(self) -> str:
        """Why a create cannot succeed, where the plan knows it already."""
        return _not_ours(self.held) if self.held and self.seen is None else ""

    @property
    def kind(self) -> str | None:
        """`qemu` or `lxc`; None for what is no guest."""
        return guest.KINDS.get(self.desired.key.kind)


@dataclass(frozen=True, slots=True)
class Site:
    """What was asked of the cluster before the effects are made."""

    settings: Settings
    listing: Listing = Listing({}, {}, {})
    vmids: Mapping[ObjectKey, int] = field(default_factory=dict)  # of guests that will be made
    nodes: Mapping[ObjectKey, str] = field(default_factory=dict)  # where they will be made
    sources: Mapping[ObjectKey, Source] = field(default_factory=dict)  # what they will be cloned from


def matches(wanted: Sequence[Desired], seen: Snapshot, scope: str) -> list[Match]:
    """Each wanted object with its live one: by key, by the mark of the same or a former resource, by adoption."""
    current = [s for s in seen.objects if s.part is Part.CURRENT]
    by_key = {s.key: s for s in current}
    by_mark = {(s.key.kind, s.mark.resource): s for s in current if s.mark and s.mark.scope == scope}
    return [_match(d, by_key, by_mark, scope) for d in wanted]


def _match(
    desired: Desired, by_key: Mapping[ObjectKey, Seen], by_mark: Mapping[tuple[str, str], Seen], scope: str
) -> Match:
    held = by_key.get(desired.key)
    if desired.key.kind == others.IMAGE:
        return Match(desired, held)
    if held and held.mark and held.mark.scope == scope:
        return Match(desired, held)
    if held:
        adoptable = held.mark is None and bool(desired.adopt) and desired.adopt == held.uid
        return Match(desired, held if adoptable else None, adopted=True, held=held)
    is_guest = desired.key.kind in guest.KINDS
    if is_guest and (same := by_mark.get((desired.key.kind, str(desired.resource)))):
        return Match(desired, same)
    for former in desired.formerly:
        if moved := by_mark.get((desired.key.kind, former)):
            if not is_guest:
                text = f"{desired.place}: {moved.key} cannot be renamed; keep it with specs.name: {moved.key.name}"
                raise Refused(text)
            return Match(desired, moved)
    return Match(desired, None)


def _not_ours(held: Seen) -> str:
    whose = f"belongs to {held.mark.resource}" if held.mark else "is not ours"
    return (
        f"{held.key} is taken: it {whose} (id {(held.uid or '')[:80]});"
        " write `adopt: ID` to take it over, or another specs.name"
    )


def effects(found: Sequence[Match], seen: Snapshot, scope: str, site: Site) -> tuple[Effect, ...]:
    """One Effect per wanted object and per owned object of `scope` that nobody wants."""
    result = [_effect(match, site) for match in found]
    taken = {(m.seen.key.kind, m.seen.uid) for m in found if m.seen}
    result += [
        _gone(s)
        for s in seen.objects
        if s.part is Part.CURRENT and s.mark and s.mark.scope == scope and (s.key.kind, s.uid) not in taken
    ]
    return tuple(sorted(result, key=lambda e: (e.resource, e.key)))


def _effect(match: Match, site: Site) -> Effect:
    if match.seen is not None and match.seen.task:
        return _busy(match.desired, match.seen)
    if match.kind is None:
        return _plain(match, site)
    return _guest(match, match.kind, site)


def _busy(desired: Desired, seen: Seen) -> Effect:
    """Somebody works on it: neither drift nor missing; the next pass looks again."""
    reason = f"being worked on ({seen.task}); it is looked at again"
    return Effect(desired.resource, seen.key, Action.UPDATE, Disruption.NONE, reason=reason, uid=seen.uid)


def _guest(match: Match, kind: str, site: Site) -> Effect:
    desired = match.desired
    probe = None if desired.fields.get("running") is not True else desired.probe or PLATFORM
    base = Effect(desired.resource, desired.key, Action.CREATE, Disruption.NONE, claims=desired.claims, probe=probe)
    if match.seen is None:
        return _made(match, kind, site, base)
    settings = site.settings
    diff = differences(kind, desired, match.seen)
    plan = changing(kind, desired, match.seen, diff, settings)
    said = with_id(desired, match.seen, diff.changes)
    sent = list(plan.steps)
    if len(said) > len(diff.changes) and not any(s.request["call"] == Call.CONFIG for s in sent):
        target = Target(desired.key, str(desired.resource), match.seen)
        fields = desired.fields if match.adopted else _set_before(match.seen)
        sent.insert(0, steps.config(target, Phase.CUT, {}, (), (), steps.mark_request(desired, fields)))
    return replace(
        base,
        action=Action.ADOPT if match.adopted else Action.UPDATE,
        disruption=plan.disruption,
        fields=said,
        reason=plan.reason,
        lost=plan.lost,
        steps=tuple(sent),
        uid=match.seen.uid,
        probe=probe if diff.changes and sent else None,
        ran_before=match.seen.fields.get("running") is True,
        down_s=plan.down_s,
    )


def _set_before(seen: Seen) -> Mapping[str, None]:
    return dict.fromkeys(seen.mark.fields) if seen.mark else {}


def _made(match: Match, kind: str, site: Site, base: Effect) -> Effect:
    desired = match.desired
    source = site.sources.get(desired.key)
    plan = making(kind, desired, site.vmids[desired.key], site.nodes[desired.key], source, site.settings)
    hidden = steps.refs(desired.fields)
    told = {**desired.fields, **plan.told}
    created = tuple(FieldChange(p, None, v, p in hidden) for p, v in sorted(told.items()) if p != "running")
    return replace(base, fields=created, steps=tuple(plan.steps), reason=match.obstacle, claims=desired.claims)


def with_id(desired: Desired, seen: Seen, changed: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
    """`changed`, led by what moves in the mark: the id, then the lifecycle."""
    if seen.mark is None:
        return (FieldChange("id", None, str(desired.resource)), *changed)
    moved = []
    if seen.mark.resource != str(desired.resource):
        moved.append(FieldChange("id", seen.mark.resource, str(desired.resource)))
    elif seen.key != desired.key:
        moved.append(FieldChange("name", seen.key.name, desired.key.name))
    before, after = seen.mark.lifecycle, MarkLifecycle.of(desired.lifecycle)
    if before.protect != after.protect:
        moved.append(FieldChange("lifecycle.protect", before.protect, after.protect))
    if before.on_delete != after.on_delete:
        moved.append(FieldChange("lifecycle.on_delete", str(before.on_delete), str(after.on_delete)))
    cut_before, cut_after = seen.fields.get("stop.cut_off_s") or 0, steps.cut_off_s(desired.private.get("stop"))
    if cut_before != cut_after:
        moved.append(FieldChange("stop.cut_off_s", cut_before, cut_after))
    return (*moved, *changed)


# --- pools, jobs, images ----------------------------------------------------------------------------------------------

_MAKES = {others.POOL: Call.CREATE_POOL, others.BACKUP: Call.CREATE_JOB}
_WRITES = {others.POOL: Call.UPDATE_POOL, others.BACKUP: Call.UPDATE_JOB}
_REMOVES = {others.POOL: Call.REMOVE_POOL, others.BACKUP: Call.REMOVE_JOB}


def _plain(match: Match, site: Site) -> Effect:
    desired, seen = match.desired, match.seen
    kind = desired.key.kind
    base = Effect(desired.resource, desired.key, Action.CREATE, Disruption.NONE, claims=desired.claims)
    if kind == others.IMAGE:
        return _image(desired, seen, base)
    request: dict[str, Value] = {"fields": dict(desired.fields), "mark": steps.mark_request(desired)}
    if seen is None:
        created = tuple(FieldChange(p, None, v) for p, v in sorted(desired.fields.items()))
        created = created or (FieldChange("name", None, desired.key.name),)
        # A job that is made at once could back up what is half made: it comes after its guests.
        phase = Phase.STAGE if kind == others.POOL else Phase.CUT
        made = steps.simple(phase, _MAKES[kind], desired.key, None, request)
        return replace(base, fields=created, steps=(made,), reason=match.obstacle)
    changed = without(_plain_changes(desired, seen), desired.lifecycle.ignore)
    said = with_id(desired, seen, changed)
    if not said:
        return replace(base, action=Action.UPDATE, uid=seen.uid)
    before = {c.path: seen.fields.get(c.path) for c in changed}
    request["unset"] = _dropped(changed)
    written = steps.simple(Phase.CUT, _WRITES[kind], desired.key, seen.uid, request, before)
    return replace(
        base,
        action=Action.ADOPT if match.adopted else Action.UPDATE,
        disruption=Disruption.IN_PLACE if changed else Disruption.NONE,
        fields=said,
        steps=(written,),
        uid=seen.uid,
    )


def _dropped(changed: Sequence[FieldChange]) -> tuple[str, ...]:
    return tuple(c.path for c in changed if c.after is None)


def _plain_changes(desired: Desired, seen: Seen) -> tuple[FieldChange, ...]:
    live = {**{p: d for p, d in others.DEFAULTS.items() if p in desired.fields}, **seen.fields}
    return differences("", desired, replace(seen, fields=live)).changes


def _image(desired: Desired, seen: Seen | None, base: Effect) -> Effect:
    if seen is not None:
        return replace(base, action=Action.UPDATE, uid=seen.uid)
    created = (
        *(FieldChange(p, None, v) for p, v in sorted(desired.fields.items())),
        FieldChange("url", None, desired.private["url"]),
    )
    request = {**desired.private, **desired.fields}
    fetched = replace(steps.simple(Phase.STAGE, Call.DOWNLOAD, desired.key, None, request))
    return replace(base, fields=created, steps=(fetched,))


# --- what nobody wants ------------------------------------------------------------------------------------------------


def _gone(seen: Seen) -> Effect:
    assert seen.mark is not None
    resource = ResourceId.parse(seen.mark.resource)
    base = Effect(resource, seen.key, Action.DESTROY, Disruption.NONE, uid=seen.uid, order=_ORDER[seen.key.kind])
    if seen.task:
        return replace(base, reason=f"being worked on ({seen.task}); it is looked at again")
    if seen.mark.lifecycle.on_delete is OnDelete.RETAIN:
        return replace(base, action=Action.FORGET, reason="on_delete: retain", steps=(_forgotten(seen, seen.mark),))
    if seen.key.kind not in guest.KINDS:
        removed = steps.simple(Phase.RETIRE, _REMOVES[seen.key.kind], seen.key, seen.uid, {})
        return replace(base, disruption=Disruption.IN_PLACE, steps=(removed,))
    return _destroyed(seen, seen.mark, base)


def _forgotten(seen: Seen, mark: Mark) -> Step:
    if seen.key.kind in guest.KINDS:
        return steps.config(Target(seen.key, mark.resource, seen), Phase.CUT, {}, (), (), None)
    kept = {p: v for p, v in seen.fields.items() if not p.startswith("refs.")}
    request: dict[str, Value] = {"fields": kept, "mark": None, "unset": ()}
    return steps.simple(Phase.CUT, _WRITES[seen.key.kind], seen.key, seen.uid, request)


def _destroyed(seen: Seen, mark: Mark, base: Effect) -> Effect:
    if seen.fields.get("protection") is True:
        raise Refused(
            f"{mark.resource} would be destroyed, but {seen.key.name} has PVE's own protection on;"
            " set protection: false in an earlier commit"
        )
    target = Target(seen.key, mark.resource, seen)
    # How it may be taken down stood in the entry that is gone, and stands in the marker still.
    cut_off_s = seen.fields.get("stop.cut_off_s")
    stop = {"timeout_s": cut_off_s or 60, "force": bool(cut_off_s)}
    sent = [steps.power(target, Call.SHUTDOWN, stop)] if seen.fields.get("running") else []
    lost = tuple(
        f"{p.removeprefix('disks.').removeprefix('mounts.').removesuffix('.storage')} on {v}"
        for p, v in sorted(seen.fields.items())
        if p.endswith(".storage") and not p.startswith("cloudinit")
    )
    lost += tuple(
        f"{p.removeprefix('unused.')}: {v}" for p, v in sorted(seen.fields.items()) if p.startswith("unused.")
    )
    return replace(
        base,
        disruption=Disruption.DATA_LOSS,
        reason=f"cut off if it does not end within {cut_off_s} s" if cut_off_s and sent else "",
        lost=lost,
        steps=(*sent, steps.destroy(target)),
        frees=frozenset(c for c in seen.claims if c.amount == 0 and c.value[:5] != "vmid/"),
    )
