"""What a rule is: a function of a scope, with the reason it is there and an example of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from controller.blueprint.entry import Disruption, Entry, Lifecycle, Probe
from controller.blueprint.value import Value
from controller.errors import Place
from controller.plan.change import Change, Plan
from controller.plan.graph import DesiredGraph
from controller.plan.resource import Capacity, Claim, ObjectKey, ResourceId, Snapshot
from controller.plan.step import Action, Effect, Expect, Phase, Step
from controller.review.finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class ScopeView:
    """All a rule may look at: what is wanted, what would change, and what the targets have."""

    graph: DesiredGraph
    plan: Plan
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a rule is broken, and how to mend it. `path` is inside the entry (`specs.privileged`)."""

    resource: str
    place: Place | None
    message: str
    fix: str


def hit(entry: Entry, path: str, message: str, fix: str) -> Hit:
    """A Hit at `path` of `entry`."""
    return Hit(entry.id, entry.locate(path), message, fix)


Check = Callable[[ScopeView], Iterable[Hit]]


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

    def view(self) -> ScopeView:
        """The scope `prod` with the resource `prod/shop/web` on target `one`."""
        entry = Entry(
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
        )
        entries = () if self.action is Action.DESTROY else (entry, *self.others)
        changes = (self._change(entry),) if self.action else ()
        plan = Plan("prod", "0" * 40, changes, "0" * 64, "", total=len(entries), wanted=len(entries))
        return ScopeView(DesiredGraph("prod", entries, {}), plan, {"one": Snapshot(capacity=self.capacity)})

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
    """One rule of the audit. `why` is for the person who meets it; `source` says where it comes from; `controls` maps a
    framework to the controls it touches. `bad` breaks it, `good` does not: the tests run both."""

    id: str
    title: str
    severity: Severity
    why: str
    source: str
    controls: Mapping[str, tuple[str, ...]]
    bad: Sample
    good: Sample
    check: Check

    def findings(self, view: ScopeView) -> Iterator[Finding]:
        for h in self.check(view):
            yield Finding(self.id, self.severity, h.resource, h.place, h.message, h.fix)


def rule(
    id: str,  # noqa: A002 - the word users see
    severity: Severity,
    title: str,
    *,
    why: str,
    source: str,
    bad: Sample,
    good: Sample,
    controls: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[Check], Rule]:
    """Make a Rule of a function over a whole scope."""

    def make(check: Check) -> Rule:
        return Rule(id, title, severity, why, source, controls or {}, bad, good, check)

    return make


def per_entry(check: Callable[[Entry], Iterable[Hit]]) -> Check:
    """A rule that looks at each wanted resource alone."""
    return lambda view: (h for entry in view.graph.entries for h in check(entry))
