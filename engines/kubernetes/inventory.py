"""One record per scope on the cluster: which kinds it has in which namespaces. Pure.

Without it a lost journal would leave only one way to find what to prune: to list every kind in every namespace. It is
a ConfigMap `alma.INSTALL.SCOPE` in the target's own namespace, one key per kind with its namespaces as value. It grows
before the first object of a run is applied, and shrinks after the last one is gone (the idea of kubectl's ApplySets).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.blueprint.entry import Disruption
from controller.blueprint.value import Value
from controller.plan.resource import Mark, ObjectKey, ResourceId, Seen
from controller.plan.step import Action, Effect, Expect, FieldChange, Phase, Step
from engines.kubernetes import marks, steps
from engines.kubernetes.objects import KIND, kind_of, place_of

Contents = frozenset[tuple[str, str]]  # (group-kind, namespace); the namespace is empty for what has none
COMPONENT = "app.kubernetes.io/component"
PURPOSE = "inventory"
SELECTOR = f"{marks.SELECTOR},{COMPONENT}={PURPOSE}"
_KIND = f"{KIND}ConfigMap"


def resource(scope: str) -> ResourceId:
    """The id of the record: no blueprint can hold it, because `alma` there is ours."""
    return ResourceId(scope, "alma", PURPOSE)


def key(home: str, install: str, scope: str) -> ObjectKey:
    """Where the record of `scope` lies."""
    return ObjectKey(_KIND, f"{home}/alma.{install}.{scope}")


def is_record(mark: Mark | None) -> bool:
    """True for the mark of a record."""
    return mark is not None and mark.resource == str(resource(mark.scope))


def contents(data: Mapping[str, object]) -> Contents:
    """What a record's data say."""
    return frozenset((kind, place) for kind, places in data.items() for place in str(places).split(","))


def contents_of(record: Seen) -> Contents:
    """What a live record says."""
    return contents({p.removeprefix("data."): v for p, v in record.fields.items() if p.startswith("data.")})


def of_keys(keys: Iterable[ObjectKey]) -> Contents:
    """What a record of these objects has to say."""
    return frozenset((kind_of(k), place_of(k)[0]) for k in keys)


def effect(scope: str, where: ObjectKey, old: Seen | None, wanted: Contents, owned: Contents) -> Effect | None:
    """The record's own part of a plan: wider before the first object, exact after the last; None where it stands."""
    before = contents_of(old) if old else frozenset()
    during = before | wanted | owned
    todo = []
    if during != before or (old is None and during):
        todo.append(_write(scope, where, Phase.STAGE, during, _expect(old)))
    if wanted != during:
        todo.append(_shrunk(scope, where, wanted, old))
    if not todo:
        return None
    return Effect(
        resource(scope),
        where,
        Action.UPDATE,
        Disruption.NONE,
        fields=(FieldChange("contents", _shown(before), _shown(wanted)),),
        reason="what the scope has on this cluster",
        steps=tuple(todo),
        uid=old.uid if old else None,
        bookkeeping=True,
    )


def _expect(old: Seen | None) -> Expect:
    return Expect(uid=old.uid) if old else Expect(absent=True)


def _shrunk(scope: str, where: ObjectKey, wanted: Contents, old: Seen | None) -> Step:
    expects = Expect(uid=old.uid) if old else Expect()
    if wanted:
        return _write(scope, where, Phase.RETIRE, wanted, expects)
    return replace(steps.deletion(where, str(resource(scope)), expects, Phase.RETIRE), reversible=False)


def _write(scope: str, where: ObjectKey, phase: Phase, said: Contents, expects: Expect) -> Step:
    namespace, name = place_of(where)
    body: dict[str, Value] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {COMPONENT: PURPOSE}},
        "data": _data(said),
    }
    return steps.applying(where, str(resource(scope)), body, expects, phase)


def _data(said: Contents) -> dict[str, Value]:
    kinds = sorted({kind for kind, _ in said})
    return {kind: ",".join(sorted(place for k, place in said if k == kind)) for kind in kinds}


def _shown(said: Contents) -> tuple[str, ...] | None:
    return tuple(f"{kind} in {place}" if place else kind for kind, place in sorted(said)) or None
