"""A plan as text for a terminal, as lines for whoever colours them, and as JSON. Formats of design.md 4: stable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.plan.change import Change, Plan
from controller.plan.step import Action, FieldChange
from controller.review.inert import visible
from controller.review.wording import SECRET, SYMBOLS, field_sides, is_sensitive, plain, seconds_text

DIGEST_SHOWN = 12  # hexadecimal digits; `--confirm` takes as many


class LineKind(StrEnum):
    """What a line is, for whoever colours it. The first six are the words of `Action`."""

    CREATE = "create"
    UPDATE = "update"
    RECREATE = "recreate"
    DESTROY = "destroy"
    ADOPT = "adopt"
    FORGET = "forget"
    FIELD = "field"
    REASON = "reason"
    LOST = "lost"
    NOTICE = "notice"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One line without its line end: no control character, no secret."""

    kind: LineKind
    text: str


def plan_text(plan: Plan) -> str:
    """The plan as design.md 4 shows it. Ends with the summary line and a line end."""
    return "".join(f"{line.text}\n" for line in plan_lines(plan))


def plan_lines(plan: Plan) -> Iterator[PlanLine]:
    """One header per change with its fields, reason and losses below, then notices, then the summary."""
    headers = columns(plan.changes)
    for change, header in zip(plan.changes, headers, strict=True):
        action = change.effect.action
        yield PlanLine(LineKind(action.value), f"{SYMBOLS[action]:>3} {header}")
        yield from _details(change)
    for notice in plan.notices:
        yield PlanLine(LineKind.NOTICE, f"  i {visible(str(notice.resource))}   {visible(notice.text, 400)}")
    yield PlanLine(LineKind.SUMMARY, summary_line(plan))


def columns(changes: Sequence[Change]) -> list[str]:
    """Id, kind, disruption, time down, wave and (where a resource has several) object, aligned over all changes."""
    members = Counter(str(c.effect.resource) for c in changes)
    rows = [_row(c, several=members[str(c.effect.resource)] > 1) for c in changes]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(6)]
    used = [i for i in range(6) if widths[i]]
    return ["   ".join(row[i].ljust(widths[i]) for i in used).rstrip() for row in rows]


def _row(change: Change, *, several: bool) -> tuple[str, ...]:
    e = change.effect
    down = f"~{seconds_text(e.down_s)} down" if e.down_s else ""
    member = visible(e.key.name) if several else ""
    return (visible(str(e.resource)), visible(e.key.kind), e.disruption.value, down, f"wave {change.wave}", member)


def _details(change: Change) -> Iterator[PlanLine]:
    e = change.effect
    width = max((len(visible(f.path)) for f in e.fields), default=0)
    for field in e.fields:
        yield PlanLine(LineKind.FIELD, f"      {visible(field.path).ljust(width)}  {_sides(field, e.action)}")
    if e.reason:
        yield PlanLine(LineKind.REASON, f"      because  {visible(e.reason, 400)}")
    for lost in e.lost:
        yield PlanLine(LineKind.LOST, f"      lost  {visible(lost, 400)}")


def _sides(field: FieldChange, action: Action) -> str:
    before, after = field_sides(field)
    return after if action is Action.CREATE and field.before is None else f"{before} → {after}"


def summary_line(plan: Plan) -> str:
    """`Plan: 1 to create, … Disruption: restart. Digest: 4f0c…`: the stable last line."""
    always = (Action.CREATE, Action.UPDATE, Action.RECREATE, Action.DESTROY)
    counts = [f"{plan.count(a)} to {a.value}" for a in always]
    counts += [f"{plan.count(a)} to {a.value}" for a in (Action.ADOPT, Action.FORGET) if plan.count(a)]
    return f"Plan: {', '.join(counts)}. Disruption: {plan.disruption.value}. Digest: {plan.digest[:DIGEST_SHOWN]}"


def plans_json(plans: Iterable[Plan]) -> dict[str, object]:
    """`alma.plan/v1` for one scope, `alma.plans/v1` for none or several. JSON-safe, without secrets."""
    each = [plan_json(p) for p in plans]
    return each[0] if len(each) == 1 else {"format": "alma.plans/v1", "plans": each}


def plan_json(plan: Plan) -> dict[str, object]:
    """`alma.plan/v1` of one scope."""
    return {
        "format": "alma.plan/v1",
        "scope": plan.scope,
        "revision": plan.revision,
        "digest": plan.digest,
        "changes": [_change_json(c) for c in plan.changes],
        "notices": [{"resource": str(n.resource), "text": n.text} for n in plan.notices],
        "summary": {**{a.value: plan.count(a) for a in Action}, "disruption": plan.disruption.value},
    }


def _change_json(change: Change) -> dict[str, object]:
    e = change.effect
    return {
        "resource": str(e.resource),
        "kind": e.key.kind,
        "target": change.target,
        "action": e.action.value,
        "disruption": e.disruption.value,
        "wave": change.wave,
        "object": e.key.name,
        "fields": [_field_json(f) for f in e.fields],
        "reason": e.reason,
        "lost": list(e.lost),
    }


def _field_json(field: FieldChange) -> dict[str, object]:
    if is_sensitive(field):
        sides = (None if s is None else SECRET for s in (field.before, field.after))
        before, after = sides
        return {"path": field.path, "before": before, "after": after, "sensitive": True}
    return {"path": field.path, "before": plain(field.before), "after": plain(field.after), "sensitive": False}
