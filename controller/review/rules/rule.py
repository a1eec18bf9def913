"""What a rule is: a function of a scope, with the reason it is there and an example of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import TypeVar

from controller.blueprint.entry import Disruption, Entry, Lifecycle, Probe, Tolerated, Waived
from controller.blueprint.value import Value
from controller.errors import Place
from controller.plan.change import Change, Plan
from controller.plan.graph import DesiredGraph
from controller.plan.resource import Capacity, Claim, ObjectKey, ResourceId, Snapshot
from controller.plan.step import Action, Effect, Expect, Phase, Step
from controller.review.finding import Finding, Severity
from controller.review.manifest import Manifest, manifests
from controller.review.rules.coverage import ANYTHING, MANIFEST, kind_of


class Reason(StrEnum):
    """Why a field is wrong, in the words a report groups by. Of one field no two rules may say one of these."""

    HOST = "host access"
    PRIVILEGE = "privilege"
    EXPOSURE = "exposure"
    SECRET = "secret"  # noqa: S105 - a word of reports
    TRANSPORT = "transport"
    SUPPLY = "supply chain"
    SUPPORT = "support"
    LIMITS = "limits"
    AVAILABILITY = "availability"
    DATA = "data"
    IDENTITY = "identity and access"
    CHANGE = "change"
    CAPACITY = "capacity"
    CORRECTNESS = "correctness"
    WAIVER = "waiver"


@dataclass(frozen=True)
class ScopeView:
    """All a rule may look at: what is wanted, what would change, and what the targets have. `today` and `rules` (the
    ids that exist) are there for what is said about waivers."""

    graph: DesiredGraph
    plan: Plan
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    today: date = date.min
    rules: frozenset[str] = frozenset()

    @cached_property
    def by_kind(self) -> Mapping[str, tuple[Entry, ...]]:
        """Wanted resources by the engine kind that they are judged as."""
        found: dict[str, list[Entry]] = {}
        for entry in self.graph.entries:
            found.setdefault(kind_of(entry), []).append(entry)
        return {kind: tuple(entries) for kind, entries in found.items()}

    def of(self, kinds: tuple[str, ...]) -> Iterator[Entry]:
        """The wanted resources of these kinds."""
        if ANYTHING in kinds:
            return iter(self.graph.entries)
        return (entry for kind in kinds for entry in self.by_kind.get(kind, ()))

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """Kubernetes objects that stand in the blueprints as such."""
        return tuple(m for e in self.by_kind.get("kubernetes/manifest", ()) for m in manifests(e))


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a rule is broken, and how to mend it. `path` is inside the entry (`specs.privileged`)."""

    resource: str
    place: Place | None
    message: str
    fix: str
    path: str = ""


def hit(entry: Entry, path: str, message: str, fix: str) -> Hit:
    """A Hit at `path` of `entry`."""
    return Hit(entry.id, entry.locate(path), message, fix, path)


def told(manifest: Manifest, path: str, message: str, fix: str) -> Hit:
    """A Hit at `path` of a Kubernetes object."""
    return hit(manifest.entry, manifest.place(path), message, fix)


Check = Callable[[ScopeView], Iterable[Hit]]
_TODAY = date(2026, 11, 21)  # when the examples are judged


@dataclass(frozen=True, slots=True)
class Sample:
    """A small scope to show a rule on: one entry and, for rules about plans, what would happen to it."""

    specs: Mapping[str, Value]
    type: str = "container"
    product: str | None = None
    backup: Mapping[str, Value] = field(default_factory=dict)
    network: Mapping[str, Value] = field(default_factory=dict)
    health: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    dependencies: tuple[str, ...] = ()
    action: Action | None = None
    disruption: Disruption = Disruption.NONE
    reversible: bool = True
    lost: tuple[str, ...] = ()
    capacity: Capacity = Capacity()
    claims: frozenset[Claim] = frozenset()
    down_s: int | None = None
    others: tuple[Entry, ...] = ()
    provider: str | None = None
    waivers: tuple[Waived, ...] = ()
    tolerate: tuple[Tolerated, ...] = ()
    metadata: Mapping[str, Value] = field(default_factory=dict)

    def entry(self) -> Entry:
        """The resource `prod/shop/web`."""
        return Entry(
            scope="prod",
            blueprint="shop",
            name="web",
            type=self.type,
            product=self.product,
            place=Place("shop.yaml", 3, 5),
            specs=self.specs,
            backup=self.backup,
            network=self.network,
            health=self.health,
            lifecycle=self.lifecycle,
            dependencies=self.dependencies,
            provider=self.provider,
            waivers=self.waivers,
            tolerate=self.tolerate,
            metadata=self.metadata,
        )

    def view(self) -> ScopeView:
        """The scope `prod` with that resource on target `one`."""
        entry = self.entry()
        entries = () if self.action is Action.DESTROY else (entry, *self.others)
        changes = (self._change(entry),) if self.action else ()
        plan = Plan("prod", "0" * 40, changes, "0" * 64, "", total=len(entries), wanted=len(entries))
        return ScopeView(
            DesiredGraph("prod", entries, {}),
            plan,
            {"one": Snapshot(capacity=self.capacity)},
            today=_TODAY,
            rules=frozenset({"privileged"}),
        )

    def _change(self, entry: Entry) -> Change:
        key = ObjectKey(f"simulation/{self.type}", "prod-shop-web")
        step = Step(Phase.CUT, key, Expect(), {"call": "change"}, reversible=self.reversible)
        effect = Effect(
            ResourceId.parse(entry.id),
            key,
            self.action or Action.UPDATE,
            self.disruption,
            lost=self.lost,
            steps=(step,),
            claims=self.claims,
            down_s=self.down_s,
        )
        return Change(effect, "one", 0, place=entry.place)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the audit. `why` is for the person who meets it; `source` is the clause it comes from; `kinds` are
    the engine kinds it looks at; `controls` maps a framework to the controls it bears on. `bad` breaks it, `good` does
    not: tests and documentation are made from both."""

    id: str
    title: str
    severity: Severity
    reason: Reason
    why: str
    source: str
    kinds: tuple[str, ...]
    controls: Mapping[str, tuple[str, ...]]
    bad: Sample
    good: Sample
    check: Check

    def findings(self, view: ScopeView) -> Iterator[Finding]:
        for h in self.check(view):
            yield Finding(self.id, self.severity, h.resource, h.place, h.message, h.fix, h.path)

    def touches(self, view: ScopeView) -> bool:
        """True if the scope has something this rule looks at: only then is its silence evidence."""
        return bool(view.by_kind) if ANYTHING in self.kinds else any(kind in view.by_kind for kind in self.kinds)


Checked = TypeVar("Checked")
_Maker = Callable[[Callable[[Checked], Iterable[Hit]]], Rule]


def rule(
    id: str,  # noqa: A002 - the word users see
    severity: Severity,
    reason: Reason,
    title: str,
    *,
    why: str,
    source: str,
    kinds: tuple[str, ...],
    bad: Sample,
    good: Sample,
    controls: Mapping[str, tuple[str, ...]] | None = None,
) -> _Maker[Entry]:
    """Make a Rule of a function that looks at one wanted resource of these kinds."""

    def make(check: Callable[[Entry], Iterable[Hit]]) -> Rule:
        def each(view: ScopeView) -> Iterator[Hit]:
            return (h for entry in view.of(kinds) for h in check(entry))

        return Rule(id, title, severity, reason, why, source, kinds, controls or {}, bad, good, each)

    return make


def scope_rule(
    id: str,  # noqa: A002 - the word users see
    severity: Severity,
    reason: Reason,
    title: str,
    *,
    why: str,
    source: str,
    bad: Sample,
    good: Sample,
    kinds: tuple[str, ...] = (ANYTHING,),
    controls: Mapping[str, tuple[str, ...]] | None = None,
) -> _Maker[ScopeView]:
    """Make a Rule of a function over a whole scope: its resources beside each other, its plan, its targets."""

    def make(check: Check) -> Rule:
        return Rule(id, title, severity, reason, why, source, kinds, controls or {}, bad, good, check)

    return make


def manifest_rule(
    id: str,  # noqa: A002 - the word users see
    severity: Severity,
    reason: Reason,
    title: str,
    *,
    why: str,
    source: str,
    bad: Mapping[str, Value],
    good: Mapping[str, Value],
    controls: Mapping[str, tuple[str, ...]] | None = None,
) -> _Maker[Manifest]:
    """Make a Rule of a function that looks at one Kubernetes object; the examples are such objects."""
    samples = Sample(bad, type="manifest"), Sample(good, type="manifest")

    def make(check: Callable[[Manifest], Iterable[Hit]]) -> Rule:
        def each(view: ScopeView) -> Iterator[Hit]:
            return (h for manifest in view.manifests for h in check(manifest))

        return Rule(id, title, severity, reason, why, source, MANIFEST, controls or {}, *samples, each)

    return make
