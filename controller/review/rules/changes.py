"""Rules about what a plan would do to what is live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.blueprint.entry import Disruption
from controller.plan.change import Change
from controller.plan.resource import Capacity, Claim, ClaimKind
from controller.plan.step import Action
from controller.review.finding import Severity
from controller.review.rules.controls import CAPACITY, CHANGE, RESTORE
from controller.review.rules.rule import Hit, Reason, Rule, Sample, ScopeView, scope_rule
from controller.review.wording import seconds_text

_HOLDING = ("volume", "disk", "storage", "database", "persistentvolumeclaim", "qemu", "vm")
_GAP_S = 60
_GIB = 2**30
_BIG = Claim(ClaimKind.MEMORY, "prod-shop-web", amount=8 * _GIB)


def _hit(change: Change, message: str, fix: str) -> Hit:
    return Hit(str(change.effect.resource), change.place, message, fix)


@scope_rule(
    "destroys-data",
    Severity.HIGH,
    Reason.DATA,
    "Data would be destroyed",
    why="No undo brings back data that were only there.",
    source="threats I15, I17",
    controls=RESTORE,
    bad=Sample({}, type="volume", action=Action.DESTROY, disruption=Disruption.DATA_LOSS),
    good=Sample({}, type="network", action=Action.DESTROY),
)
def destroys_data(view: ScopeView) -> Iterator[Hit]:
    for change in view.plan.changes:
        e = change.effect
        gone = e.action is Action.DESTROY and e.key.kind.rpartition("/")[2] in _HOLDING
        if gone or e.disruption is Disruption.DATA_LOSS:
            fix = "lifecycle: {on_delete: retain}, or confirm after a backup"
            yield _hit(change, f"{e.action.value} of {e.key.kind} {e.key.name} loses data", fix)


@scope_rule(
    "cannot-be-undone",
    Severity.MEDIUM,
    Reason.CHANGE,
    "Step without way back",
    why="If a later step fails, this one stays as it is.",
    source="threats I15",
    controls=CHANGE,
    bad=Sample({"image": "web:1"}, action=Action.UPDATE, reversible=False),
    good=Sample({"image": "web:1"}, action=Action.UPDATE),
)
def cannot_be_undone(view: ScopeView) -> Iterator[Hit]:
    for change in view.plan.changes:
        if change.effect.irreversible:
            what = change.effect.lost[0] if change.effect.lost else "a step has no inverse"
            yield _hit(change, f"cannot be undone in full: {what}", "take a backup or a snapshot first")


@scope_rule(
    "new-identity",
    Severity.MEDIUM,
    Reason.CHANGE,
    "Made anew under a new identity",
    why="What others noted of it (address, MAC, id) is no longer true.",
    source="design.md 2",
    controls=CHANGE,
    bad=Sample({"image": "web:1"}, action=Action.RECREATE, disruption=Disruption.RECREATE),
    good=Sample({"image": "web:1"}, action=Action.UPDATE, disruption=Disruption.RESTART),
)
def new_identity(view: ScopeView) -> Iterator[Hit]:
    for change in view.plan.changes:
        if change.effect.disruption is Disruption.RECREATE and change.effect.action is not Action.DESTROY:
            fix = "lifecycle: {max_disruption: restart} refuses it; else tell those who refer to it"
            yield _hit(change, "would get a new identity", fix)


@scope_rule(
    "long-gap",
    Severity.LOW,
    Reason.AVAILABILITY,
    "Long gap for users",
    why=f"A gap of {_GAP_S} s or more is noticed; a maintenance window says when it is meant to be.",
    source="design.md 3 (windows)",
    controls=CHANGE,
    bad=Sample({"image": "web:1"}, action=Action.UPDATE, disruption=Disruption.RESTART, down_s=120),
    good=Sample({"image": "web:1"}, action=Action.UPDATE, disruption=Disruption.RESTART, down_s=2),
)
def long_gap(view: ScopeView) -> Iterator[Hit]:
    for change in view.plan.changes:
        down_s = change.effect.down_s or 0
        if down_s >= _GAP_S:
            text = f"down for about {seconds_text(down_s)}"
            yield _hit(change, text, "use lifecycle: {update: start-first}, or a window in policy.windows")


@scope_rule(
    "memory-exceeded",
    Severity.HIGH,
    Reason.CAPACITY,
    "More memory than the target has free",
    why="It will not start, or the host starts killing neighbours.",
    source="requirements M02 (quota)",
    controls=CAPACITY,
    bad=Sample(
        {"memory": "8GB"},
        action=Action.CREATE,
        claims=frozenset({_BIG}),
        capacity=Capacity(memory_bytes=16 * _GIB, memory_bytes_free=4 * _GIB),
    ),
    good=Sample(
        {"memory": "8GB"},
        action=Action.CREATE,
        claims=frozenset({_BIG}),
        capacity=Capacity(memory_bytes=16 * _GIB, memory_bytes_free=12 * _GIB),
    ),
)
def memory_exceeded(view: ScopeView) -> Iterator[Hit]:
    for target, needed, last in _needs(view, ClaimKind.MEMORY):
        free = view.snapshots[target].capacity.memory_bytes_free
        if free is not None and needed > free:
            text = f"{target} has {_gib(free)} GiB of memory free, this plan needs {_gib(needed)} GiB"
            yield _hit(last, text, "make it smaller, free memory first, or choose another target")


@scope_rule(
    "disk-exceeded",
    Severity.HIGH,
    Reason.CAPACITY,
    "More disk than the target has free",
    why="A full disk stops every neighbour too.",
    source="requirements M02 (quota)",
    controls=CAPACITY,
    bad=Sample(
        {"disk": "100GB"},
        action=Action.CREATE,
        claims=frozenset({Claim(ClaimKind.DISK, "prod-shop-web", amount=100 * _GIB)}),
        capacity=Capacity(disk_bytes=500 * _GIB, disk_bytes_free=50 * _GIB),
    ),
    good=Sample(
        {"disk": "100GB"},
        action=Action.CREATE,
        claims=frozenset({Claim(ClaimKind.DISK, "prod-shop-web", amount=100 * _GIB)}),
        capacity=Capacity(disk_bytes=500 * _GIB),
    ),
)
def disk_exceeded(view: ScopeView) -> Iterator[Hit]:
    for target, needed, last in _needs(view, ClaimKind.DISK):
        free = view.snapshots[target].capacity.disk_bytes_free
        if free is not None and needed > free:
            text = f"{target} has {_gib(free)} GiB of disk free, this plan needs {_gib(needed)} GiB"
            yield _hit(last, text, "make it smaller, free space first, or choose another target")


@scope_rule(
    "cpu-overcommitted",
    Severity.LOW,
    Reason.CAPACITY,
    "One guest with more cores than its host",
    why="Its threads wait for each other; it gets slower, not faster.",
    source="requirements M02 (quota)",
    controls=CAPACITY,
    bad=Sample(
        {"cpu": 16},
        action=Action.CREATE,
        claims=frozenset({Claim(ClaimKind.CPU, "prod-shop-web", amount=16_000)}),
        capacity=Capacity(cpu_millicores=8_000),
    ),
    good=Sample(
        {"cpu": 4},
        action=Action.CREATE,
        claims=frozenset({Claim(ClaimKind.CPU, "prod-shop-web", amount=4_000)}),
        capacity=Capacity(cpu_millicores=8_000),
    ),
)
def cpu_overcommitted(view: ScopeView) -> Iterator[Hit]:
    for change in view.plan.changes:
        total = _capacity(view, change).cpu_millicores
        wanted = _amount(change.effect.claims, ClaimKind.CPU)
        if total is not None and wanted > total:
            text = f"wants {wanted / 1000:g} cores, {change.target} has {total / 1000:g}"
            yield _hit(change, text, f"at most {total / 1000:g} cores")


def _capacity(view: ScopeView, change: Change) -> Capacity:
    snapshot = view.snapshots.get(change.target)
    return snapshot.capacity if snapshot else Capacity()


def _needs(view: ScopeView, kind: ClaimKind) -> Iterator[tuple[str, int, Change]]:
    """Per target: what this plan adds beyond what it frees, and the last change that adds to it."""
    for target in view.snapshots:
        changes = [c for c in view.plan.changes if c.target == target]
        adding = [c for c in changes if _amount(c.effect.claims, kind)]
        freed = sum(_amount(c.effect.frees, kind) for c in changes)
        if adding:
            yield target, sum(_amount(c.effect.claims, kind) for c in adding) - freed, adding[-1]


def _amount(claims: Iterable[Claim], kind: ClaimKind) -> int:
    return sum(c.amount for c in claims if c.kind is kind)


def _gib(count: int) -> str:
    return f"{count / _GIB:.1f}".removesuffix(".0")


RULES: tuple[Rule, ...] = (
    destroys_data,
    cannot_be_undone,
    new_identity,
    long_gap,
    memory_exceeded,
    disk_exceeded,
    cpu_overcommitted,
)
