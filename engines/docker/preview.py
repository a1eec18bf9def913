"""What each resource needs on a Docker host: effects and their steps, from what is wanted and what was seen. Pure;
the one thing that needs a call, which image a tag means, comes in as an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.blueprint.entry import Disruption, OnDelete, Probe, ProbeKind, UpdateOrder
from controller.blueprint.value import Value, markers
from controller.plan.diff import three_way, without
from controller.plan.resource import (
    ClaimKind,
    Desired,
    Mark,
    MarkLifecycle,
    ObjectKey,
    Part,
    ResourceId,
    Seen,
    Snapshot,
)
from controller.plan.step import Action, Effect, FieldChange, Step
from engines.docker import container, image, network, steps, volume
from engines.engine import Refused

PLATFORM = Probe(ProbeKind.PLATFORM)
DOWN_S = 2  # a stop and a start, where the process obeys its stop signal
_ORDER = {container.KIND: 0, network.KIND: 1, volume.KIND: 2, image.KIND: 3}


@dataclass(frozen=True, slots=True)
class Source:
    """What an image reference means here and now: what to create from, and whether it must be pulled first."""

    create_from: str
    pull: bool

    def pins(self, reference: str) -> dict[str, str]:
        """What a review records, so that the run uses the same image."""
        digest = self.create_from.rpartition("@")[2]
        return {reference: digest} if digest.startswith("sha256:") and "@" not in reference else {}


Sources = Mapping[str, Source]


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


def matches(wanted: Sequence[Desired], seen: Snapshot, scope: str) -> list[Match]:
    """Each wanted object with its live one: by key, by the mark of the same or a former resource, by adoption. Raises
    Refused for a rename that the platform cannot do."""
    current = [s for s in seen.objects if s.part is Part.CURRENT]
    by_key = {s.key: s for s in current}
    by_mark = {(s.key.kind, s.mark.resource): s for s in current if s.mark and s.mark.scope == scope}
    return [_match(d, by_key, by_mark, scope) for d in wanted]


def _match(
    desired: Desired, by_key: Mapping[ObjectKey, Seen], by_mark: Mapping[tuple[str, str], Seen], scope: str
) -> Match:
    held = by_key.get(desired.key)
    if desired.external or desired.key.kind == image.KIND:
        return Match(desired, held)
    if held and held.mark and held.mark.scope == scope:
        return Match(desired, held)
    if held:
        return Match(desired, held if _adoptable(desired, held) else None, adopted=True, held=held)
    same = by_mark.get((desired.key.kind, str(desired.resource)))
    if same and desired.key.kind == container.KIND:
        return Match(desired, same)
    for former in desired.formerly:
        if moved := by_mark.get((desired.key.kind, former)):
            if desired.key.kind != container.KIND:
                text = f"{desired.place}: Docker cannot rename {moved.key}; keep it with specs.name: {moved.key.name}"
                raise Refused(text)
            return Match(desired, moved)
    return Match(desired, None)


def _adoptable(desired: Desired, held: Seen) -> bool:
    """Only the object a person named, by its id and not by its name (I16)."""
    adopt, uid = str(desired.adopt or ""), held.uid or ""
    short = desired.key.kind == container.KIND and len(adopt) >= 12 and uid.startswith(adopt)
    return held.mark is None and bool(adopt) and (uid == adopt or short)


def _not_ours(held: Seen) -> str:
    whose = f"belongs to {held.mark.resource}" if held.mark else "is not ours"
    return (
        f"{held.key} is taken: it {whose} (id {(held.uid or '')[:80]});"
        " write `adopt: ID` to take it over, or another specs.name"
    )


def images_needed(found: Sequence[Match]) -> dict[str, Mapping[str, str]]:
    """References that a container will be made from, or that shall lie on the host, each with its pins."""
    needed: dict[str, Mapping[str, str]] = {}
    for match in found:
        kind = match.desired.key.kind
        made = kind == container.KIND and (match.seen is None or bool(_replacing(match, _changes(match))))
        if made or (kind == image.KIND and match.seen is None):
            needed[str(match.desired.fields["image"])] = match.desired.pins
    return needed


def effects(found: Sequence[Match], seen: Snapshot, scope: str, sources: Sources) -> tuple[Effect, ...]:
    """One Effect per wanted object and per owned object of `scope` that nobody wants."""
    result = [_effect(match, sources) for match in found]
    taken = {m.seen.uid for m in found if m.seen}
    result += [
        _gone(s)
        for s in seen.objects
        if s.part is Part.CURRENT and s.mark and s.mark.scope == scope and s.uid not in taken
    ]
    return tuple(sorted(result, key=lambda e: (e.resource, e.key)))


def _effect(match: Match, sources: Sources) -> Effect:
    desired = match.desired
    if desired.external:
        return _external(match)
    if desired.key.kind == image.KIND:
        return _image(match, sources)
    if desired.key.kind == container.KIND:
        return _container(match, sources)
    return _plain(match)


def _external(match: Match) -> Effect:
    desired = match.desired
    if match.seen is None:
        raise Refused(f"{desired.place}: external {desired.key} is not on this host; create it or correct its name")
    return Effect(desired.resource, desired.key, Action.UPDATE, Disruption.NONE, uid=match.seen.uid)


def _image(match: Match, sources: Sources) -> Effect:
    desired = match.desired
    if match.seen is not None:
        return Effect(desired.resource, desired.key, Action.UPDATE, Disruption.NONE, uid=match.seen.uid)
    source = sources[str(desired.fields["image"])]
    created = tuple(FieldChange(p, None, v) for p, v in sorted(desired.fields.items()))
    pulled = (steps.pull(source.create_from),)
    return Effect(
        desired.resource, desired.key, Action.CREATE, Disruption.NONE, created, claims=desired.claims, steps=pulled
    )


def _plain(match: Match) -> Effect:
    """A network or a volume: made once; Docker changes none of its fields afterwards."""
    desired, seen = match.desired, match.seen
    fields = desired.fields
    create = steps.create_network if desired.key.kind == network.KIND else steps.create_volume
    base = Effect(desired.resource, desired.key, Action.CREATE, Disruption.NONE, claims=desired.claims)
    if seen is None:
        return replace(base, fields=_created(desired, fields), steps=(create(desired, fields),), reason=match.obstacle)
    changed = _changes(match)
    if changed and not match.adopted:
        raise Refused(
            f"{desired.place}: {desired.key} cannot change {changed[0].path} in place; "
            "give it a new specs.name and move what uses it, or add lifecycle.ignore for that field"
        )
    return _marked(match, base, ())


def _container(match: Match, sources: Sources) -> Effect:
    desired, seen = match.desired, match.seen
    base = Effect(
        desired.resource,
        desired.key,
        Action.CREATE,
        Disruption.NONE,
        claims=desired.claims,
        probe=desired.probe or PLATFORM,
    )
    if seen is None:
        made = _creation(desired, sources)
        base = replace(base, fields=_created(desired, desired.fields), reason=match.obstacle)
        return replace(base, steps=made, pins=_pins(desired, sources))
    changed = _changes(match)
    if _replacing(match, changed):
        return _replacement(match, base, changed, sources)
    return _marked(match, base, changed)


def _created(desired: Desired, fields: Mapping[str, Value]) -> tuple[FieldChange, ...]:
    """What is worth reading of a new object: not what stands at the platform's default."""
    hidden = container.secret_paths(fields)
    said = {p: v for p, v in fields.items() if p != "running" and container.IN_PLACE.get(p) != v}
    return tuple(FieldChange(p, None, v, p in hidden) for p, v in sorted(said.items()))


def _creation(desired: Desired, sources: Sources) -> tuple[Step, ...]:
    source = sources[str(desired.fields["image"])]
    pulled = [steps.pull(source.create_from)] if source.pull else []
    made = steps.create(desired, desired.fields, source.create_from, desired.key.name)
    return (*pulled, *made, steps.start(desired, desired.key.name))


def _changes(match: Match) -> tuple[FieldChange, ...]:
    """What differs, three-way; limits and restart policy count as always set."""
    desired, seen = match.desired, match.seen
    assert seen is not None
    wanted = dict(desired.fields)
    live = seen.fields
    before = seen.mark.fields if seen.mark else frozenset()
    if desired.private.get("job") and live.get("running") == "finished":
        wanted["running"] = "finished"
    changed = three_way(wanted, live, before)
    moved = _moved_references(desired, seen, changed)
    return without(sorted((*changed, *moved), key=lambda c: c.path), desired.lifecycle.ignore)


def _moved_references(desired: Desired, seen: Seen, known: Iterable[FieldChange]) -> list[FieldChange]:
    """Values with secrets in them that are not what they were made from: another reference, or another text around
    it. One that waits for an output of another resource is not compared."""
    before = seen.fields.get("refs")
    if seen.mark is None or not isinstance(before, Mapping):
        return []
    said = {c.path for c in known}
    return [
        FieldChange(path, before.get(path), text, sensitive=True)
        for path, text in container.refs(desired.fields).items()
        if path not in said and before.get(path) != text and not any(True for _ in markers(text))
    ]


def _replacing(match: Match, changed: Sequence[FieldChange]) -> bool:
    """True if a new container must take the old one's place."""
    assert match.seen is not None
    if match.seen.key != match.desired.key:
        return True
    return any(c.path != "running" and not container.updatable(c.path, c.before, c.after) for c in changed)


def _replacement(match: Match, base: Effect, changed: tuple[FieldChange, ...], sources: Sources) -> Effect:
    """engine.md, docker replace: made beside, cut over, the old kept until everything is verified."""
    desired, seen = match.desired, match.seen
    assert seen is not None
    # Data in volumes that Docker named by itself move on; ignored fields stay as they are, but for what is run.
    ignored = container.kept(seen.fields, desired.lifecycle.ignore)
    fixed = ("image", "running", "refs", "note")
    stays = {p: v for p, v in ignored.items() if p not in fixed}
    fields = {**container.anonymous_volumes(seen.fields), **desired.fields, **stays}
    source = sources[str(desired.fields["image"])]
    name, new = desired.key.name, steps.staged(desired.key.name)
    stage = [steps.pull(source.create_from)] if source.pull else []
    stage += steps.create(desired, fields, source.create_from, new)
    down = [*steps.hold(seen), *steps.stop(seen), steps.rename_old(seen)]
    stops_first = desired.lifecycle.update is UpdateOrder.STOP_FIRST or bool(desired.private.get("reason"))
    if stops_first or (desired.lifecycle.update is None and container.stop_first(seen.fields, False)):
        cut = [*down, steps.rename_new(desired, new, name), steps.start(desired, name)]
        down_s = DOWN_S
    else:
        cut = [steps.start(desired, new, base.probe), *down, steps.rename_new(desired, new, name)]
        down_s = 0
    retire = [steps.remove(seen, name=steps.kept(seen.key.name)), *steps.remove_note(seen)]
    return replace(
        base,
        action=Action.ADOPT if match.adopted else Action.UPDATE,
        disruption=Disruption.RESTART,
        fields=_with_id(match, changed),
        lost=_written(desired),
        steps=(*stage, *cut, *retire),
        uid=seen.uid,
        down_s=down_s,
        frees=seen.claims - desired.claims,
        pins=_pins(desired, sources),
    )


def _pins(desired: Desired, sources: Sources) -> dict[str, str]:
    reference = str(desired.fields["image"])
    return sources[reference].pins(reference)


def _marked(match: Match, base: Effect, changed: tuple[FieldChange, ...]) -> Effect:
    """The same object, with what can change in place and what its mark must say from now on."""
    desired, seen = match.desired, match.seen
    assert seen is not None
    sent: list[Step] = []
    if limits := [c.path for c in changed if c.path != "running"]:
        sent.append(steps.update(seen, desired.fields, limits))
    starts = any(c.path == "running" for c in changed)
    if starts:
        sent.append(steps.start_again(seen))
    said = _with_id(match, changed)
    if len(said) > len(changed):
        sent += steps.note(seen, _mark(match))
    return replace(
        base,
        action=Action.ADOPT if match.adopted else Action.UPDATE,
        disruption=Disruption.RESTART if starts else Disruption.IN_PLACE if changed else Disruption.NONE,
        fields=said,
        reason="" if sent else _newer_image(desired, seen),
        steps=tuple(sent),
        uid=seen.uid,
        probe=base.probe if changed else None,
    )


def _with_id(match: Match, changed: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
    """`changed`, led by what moves in the mark: the id, then the lifecycle."""
    desired, seen = match.desired, match.seen
    assert seen is not None
    if seen.mark is None:
        return (FieldChange("id", None, str(desired.resource)), *changed)
    moved = []
    if seen.mark.resource != str(desired.resource):
        moved.append(FieldChange("id", seen.mark.resource, str(desired.resource)))
    before, after = seen.mark.lifecycle, MarkLifecycle.of(desired.lifecycle)
    if before.protect != after.protect:
        moved.append(FieldChange("lifecycle.protect", before.protect, after.protect))
    if before.on_delete != after.on_delete:
        moved.append(FieldChange("lifecycle.on_delete", str(before.on_delete), str(after.on_delete)))
    return (*moved, *changed)


def _mark(match: Match) -> Mapping[str, Value]:
    """The mark for the note: the fields that we had set, or with an adoption those that are wanted."""
    desired, seen = match.desired, match.seen
    assert seen is not None
    request = steps.mark_request(desired, desired.fields)
    if seen.mark is not None:
        request |= {"fields": tuple(sorted(seen.mark.fields)), "secrets": tuple(sorted(seen.mark.secrets))}
    return request


def _newer_image(desired: Desired, seen: Seen) -> str:
    """A tag that moved since is worth a word; it is no drift (design.md 7)."""
    reference = str(desired.fields.get("image", ""))
    reviewed, running = desired.pins.get(reference), str(seen.outputs.get("image", ""))
    if reviewed is None or "@" not in running or running.endswith(f"@{reviewed}"):
        return ""
    return f"newer image: {reference} is now {reviewed}"


def _written(desired: Desired) -> tuple[str, ...]:
    """Words only: undo does not take back what a new version writes."""
    writable = [str(w) for w in container.below(desired.fields, "mounts").values() if container.writable(str(w))]
    return tuple(f"what the new version writes to {w.partition(':')[2]} stays after undo" for w in sorted(writable))


def _gone(seen: Seen) -> Effect:
    """An owned object that nobody wants any more."""
    mark = seen.mark
    assert isinstance(mark, Mark)
    base = Effect(
        ResourceId.parse(mark.resource),
        seen.key,
        Action.DESTROY,
        Disruption.RECREATE,
        claims=frozenset(),
        uid=seen.uid,
        order=_ORDER[seen.key.kind],
    )
    if mark.lifecycle.on_delete is OnDelete.RETAIN:
        forgotten = tuple(steps.note(seen, None))
        return replace(base, action=Action.FORGET, disruption=Disruption.NONE, steps=forgotten)
    if seen.key.kind == container.KIND:
        return _destroyed_container(base, seen)
    data = seen.key.kind == volume.KIND
    return replace(
        base,
        disruption=Disruption.DATA_LOSS if data else Disruption.RECREATE,
        lost=(f"all data in volume {seen.key.name}",) if data else (),
        steps=(steps.remove_other(seen), *steps.remove_note(seen)),
    )


def _destroyed_container(base: Effect, seen: Seen) -> Effect:
    anonymous = sorted(p.removeprefix("mounts.") for p in container.anonymous_volumes(seen.fields))
    gone = [*steps.hold(seen), *steps.stop(seen), steps.remove(seen, volumes=True), *steps.remove_note(seen)]
    return replace(
        base,
        disruption=Disruption.DATA_LOSS if anonymous else Disruption.RECREATE,
        lost=tuple(f"all data in the anonymous volume at {a}" for a in anonymous),
        steps=tuple(gone),
        frees=frozenset(c for c in seen.claims if c.kind is not ClaimKind.NAME),
    )
