"""PURE: the barriers of a run, there and back. The legs of one barrier go side by side, its steps in order:

    STAGE per wave → for each wave: STAGE that needs an output, CUT, CHECK → RETIRE → done
                 any failure → UNDO, the same barriers backwards → RECHECK → undone | parked

What was inherited from a superseded run takes part in RETIRE and in UNDO only (I13, I15).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.blueprint.value import Output, markers
from controller.plan.change import Change
from controller.plan.step import Action, Phase, Step
from controller.runtime.run import Barrier, Leg, LegKind, OpRef, RunState, RunWord, Work


def steps_of(state: RunState, leg: Leg) -> tuple[tuple[int, Step], ...]:
    """The numbered steps of a forward leg."""
    steps = enumerate(state.works[leg.work].change.effect.steps)
    return tuple((n, s) for n, s in steps if _leg_kind(s) is leg.kind)


def _leg_kind(step: Step) -> LegKind:
    if step.phase is Phase.STAGE:
        waits = any(isinstance(m, Output) for m in markers(step.request))
        return LegKind.LATE if waits else LegKind.STAGE
    return LegKind.CUT if step.phase is Phase.CUT else LegKind.RETIRE


def program(works: tuple[Work, ...], own: int) -> tuple[Barrier, ...]:
    """All barriers of the forward way, in order."""
    barriers: list[Barrier] = []
    kinds = [_kinds(w.change) for w in works]

    def add(word: RunWord, kind: LegKind, among: Iterable[int]) -> None:
        legs = tuple(Leg(kind, w) for w in among if kind in kinds[w])
        if legs:
            barriers.append(Barrier(word, legs))

    by_wave: dict[int, list[int]] = {}
    for index in sorted(range(own), key=lambda w: works[w].change.wave):
        by_wave.setdefault(works[index].change.wave, []).append(index)
    for members in by_wave.values():
        add(RunWord.RUNNING, LegKind.STAGE, members)
    for members in by_wave.values():
        add(RunWord.RUNNING, LegKind.LATE, members)
        add(RunWord.RUNNING, LegKind.CUT, members)
        add(RunWord.VERIFYING, LegKind.CHECK, members)
    return (*barriers, *_retiring(works, kinds))


def _retiring(works: tuple[Work, ...], kinds: Sequence[frozenset[LegKind]]) -> tuple[Barrier, ...]:
    """Replaced parts first, last wave first; then destroys, dependents first. Inherited works count as the former."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, work in enumerate(works):
        if LegKind.RETIRE in kinds[index]:
            gone = work.change.effect.action is Action.DESTROY
            key = (1, work.change.wave) if gone else (0, -work.change.wave)
            groups.setdefault(key, []).append(index)
    return tuple(
        Barrier(RunWord.RETIRING, tuple(Leg(LegKind.RETIRE, w) for w in groups[key])) for key in sorted(groups)
    )


def _kinds(change: Change) -> frozenset[LegKind]:
    kinds = {_leg_kind(s) for s in change.effect.steps}
    if change.effect.probe and change.effect.action not in (Action.DESTROY, Action.FORGET):
        kinds.add(LegKind.CHECK)
    return frozenset(kinds)


def undo_program(state: RunState) -> tuple[tuple[Leg, ...], ...]:
    """The way back: own barriers in reverse order of the way there, then what was inherited, then the rechecks."""
    touched = {ref.work for ref in state.ops if ref.undo < 0}
    order: list[tuple[Leg, ...]] = []
    seen: set[int] = set()
    own = [b for b in state.program if b.word is not RunWord.RETIRING]
    for barrier in reversed(own):
        legs = [x.work for x in barrier.legs if x.kind is not LegKind.CHECK and x.work in touched]
        fresh = tuple(Leg(LegKind.UNDO, w) for w in legs if w not in seen)
        seen.update(legs)
        if fresh:
            order.append(fresh)
    inherited = sorted((w for w in touched if w >= state.own), key=lambda w: -state.works[w].change.wave)
    order += [(Leg(LegKind.UNDO, w),) for w in inherited]
    rechecks = tuple(Leg(LegKind.RECHECK, w) for w in sorted(touched) if _restored(state, w))
    return (*order, rechecks) if rechecks else tuple(order)


def _restored(state: RunState, work: int) -> bool:
    """True for a work whose CUT touched something that was there before: it must be healthy again."""
    effect = state.works[work].change.effect
    cut = any(state.works[work].change.effect.steps[r.step].phase is Phase.CUT for r in state.ops if r.work == work)
    return cut and effect.action is not Action.CREATE and effect.probe is not None and effect.ran_before


def clean_program(state: RunState) -> tuple[tuple[Leg, ...], ...]:
    """Superseded: works that were staged and never cut are taken away."""
    cut = {r.work for r in state.ops if state.works[r.work].change.effect.steps[r.step].phase is Phase.CUT}
    staged = sorted({r.work for r in state.ops if r.work < state.own} - cut)
    return (tuple(Leg(LegKind.CLEAN, w) for w in staged),) if staged else ()


def only_staged(state: RunState) -> dict[str, frozenset[str]]:
    """Target → uids of the objects that the CLEAN of a superseded run takes away: whoever plans what follows must not
    count on them, though they stand under their names already."""
    works = {leg.work for legs in clean_program(state) for leg in legs}
    found: dict[str, frozenset[str]] = {}
    for ref, op in state.ops.items():
        change = state.works[ref.work].change
        if ref.work in works and op.receipt and op.receipt.uid and change.effect.steps[ref.step].expects.absent:
            found[change.target] = found.get(change.target, frozenset()) | {op.receipt.uid}
    return found


def undo_refs(state: RunState, leg: Leg) -> tuple[OpRef, ...]:
    """Ops of the leg's work that took effect, last first: what its inverses must take back. RETIRE has no inverse."""
    steps = state.works[leg.work].change.effect.steps
    refs = [r for r in state.ops if r.work == leg.work and r.undo < 0 and steps[r.step].phase is not Phase.RETIRE]
    return tuple(sorted(refs, key=lambda r: -r.step))
