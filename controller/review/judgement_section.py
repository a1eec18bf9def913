"""Two folded parts of a comment: what the targets have room for, and what frameworks say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.review.capacity import Load, amount_text, together
from controller.review.compliance import Compliance, ComplianceState, Control, frameworks_text
from controller.review.fitting import fit
from controller.review.inert import Markdown, cell, code
from controller.review.report import Review
from controller.review.wording import many

_FULL = 0.9  # from here on the fold says it
_STATES: Mapping[ComplianceState, str] = {
    ComplianceState.FAILING: "🟥",
    ComplianceState.PARTIAL: "🟨",
    ComplianceState.COMPLIANT: "🟩",
    ComplianceState.NOT_ASSESSABLE: "⬜",
}


def capacity_facts(review: Review, room: int) -> dict[str, object]:
    """Targets that the change weighs on, the fullest first."""
    found = [load for load in together(one for s in review.scopes for one in s.loads) if load.change]
    found.sort(key=lambda load: -(load.share or 0))
    rows, more = fit([_load_row(load) for load in found], room)
    return {"rows": rows, "more": more, "headline": Markdown(_headline(found))}


def _headline(found: Sequence[Load]) -> str:
    known = [load for load in found if load.share is not None]
    full = [load for load in known if (load.share or 0) > _FULL]
    if full:
        return f": ⚠️ {len(full)} above {_FULL:.0%} after this change"
    return f": at most {max((load.share or 0) for load in known):.0%} taken after this change" if known else ""


def _load_row(load: Load) -> Markdown:
    share = f" ({load.share:.0%})" if load.share is not None else ""
    sign = "−" if load.change < 0 else "+"
    change = f"{sign}{amount_text(load.measure, abs(load.change))}"
    sides = [amount_text(load.measure, side) for side in (load.total, load.before)]
    after = amount_text(load.measure, load.after) + share
    return Markdown(f"| {cell(load.target)} | {load.measure.value} | {sides[0]} | {sides[1]} | {change} | {after} |")


def compliance_facts(review: Review, room: int) -> dict[str, object]:
    """One line per scope and framework, then the controls that are failing or partial with their evidence."""
    found = [(s.name, c) for s in review.scopes for c in s.compliance]
    lines = [_line(name, c) for name, c in found]
    open_ = [(c.framework, control) for _, c in found for control in c.controls if control.findings or control.accepted]
    open_.sort(key=lambda pair: pair[1].state is not ComplianceState.FAILING)
    rows, more = fit([_control_row(framework, control) for framework, control in open_], room)
    shown, _ = fit(lines, room // 2)
    return {"frameworks": shown, "rows": rows, "more": more, "headline": Markdown(_verdicts([c for _, c in found]))}


def _verdicts(found: Sequence[Compliance]) -> str:
    worst: dict[str, ComplianceState] = {}
    order = list(ComplianceState)
    for one in found:
        worst[one.framework] = min(worst.get(one.framework, one.state), one.state, key=order.index)
    return ": " + ", ".join(f"{name} {state.value}" for name, state in worst.items()) if worst else ""


def _line(scope: str, found: Compliance) -> Markdown:
    told = frameworks_text([found])[found.framework]
    return Markdown(f"{code(scope)} {_STATES[found.state]} {found.framework} {told}")


def _control_row(framework: str, control: Control) -> Markdown:
    icon = f"{_STATES[control.state]} {control.state.value}"
    name = f"{cell(control.id)} {control.title}"
    return Markdown(f"| {framework} | {name} | {icon} | {_evidence(control)} |")


def _evidence(control: Control) -> str:
    """Who looked, and the first thing found of each sort, with its place."""
    said = [many(len(control.checked), "rule") + " looked"]
    sorts = (("finding", control.findings), ("waived", tuple(w.finding for w in control.accepted)))
    for word, findings in sorts:
        if findings:
            first = findings[0]
            where = f" {cell(f'{first.place.file}:{first.place.line}')}" if first.place else ""
            count = many(len(findings), word) if word == "finding" else f"{len(findings)} {word}"
            said.append(f"{count}: {cell(first.rule)} at {cell(first.resource)}{where}")
    return "<br>".join(said)
