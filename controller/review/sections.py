"""What the templates of a comment print: rows that fit their share of the room, everything literal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from controller.review.audit import FORMULA
from controller.review.cost import ZERO, Cost, CostLine, range_text, unpriced_note
from controller.review.finding import Finding, Severity
from controller.review.fitting import fit
from controller.review.inert import Markdown, cell, code, prose, prose_cell
from controller.review.plan_section import PlanSection
from controller.review.report import (
    UNREVIEWED,
    Review,
    ScopeReview,
    Verdict,
    cost_text,
    counts_of,
    counts_text,
    disruption_text,
    findings_text,
)
from controller.review.undo_section import Undo
from controller.review.wording import money_text

ICONS: Mapping[Verdict, str] = {
    Verdict.BLOCKED: "❌",
    Verdict.UNREADABLE: "🔌",
    Verdict.WAITS: "✋",
    Verdict.UNTOUCHED: "➖",
    Verdict.UNREVIEWED: "👁️",
    Verdict.NOTHING: "✅",
    Verdict.READY: "✅",
}
SEVERITY_ICONS: Mapping[Severity, str] = {
    Severity.CRITICAL: "🟥",
    Severity.HIGH: "🟧",
    Severity.MEDIUM: "🟨",
    Severity.LOW: "🟦",
    Severity.INFO: "⬜",
}
_REASONS_MAX = 12
Facts = dict[str, object]


def verdict_facts(review: Review, plan: PlanSection) -> Facts:
    """The first line, and what a reviewer must know before merging."""
    reasons = list(_reasons(review, plan))
    if len(reasons) > _REASONS_MAX:
        reasons = [*reasons[: _REASONS_MAX - 1], f"and {len(reasons) - _REASONS_MAX + 1} more reasons"]
    return {
        "icon": Markdown(ICONS[review.verdict]),
        "headline": Markdown(headline(review)),
        "reasons": [Markdown(r) for r in reasons],
    }


def headline(review: Review) -> str:
    """`1 to create · worst disruption restart (about 2 s) · +4.20 EUR/month · 1 finding (medium)`."""
    if review.verdict is Verdict.UNTOUCHED:
        return "this pull request touches no scope"
    if review.verdict is Verdict.UNREVIEWED:
        return UNREVIEWED
    planned = bool(review.plans)
    parts = [counts_text(counts_of(review.plans)) if planned else "no plan"]
    if any(p.changes for p in review.plans):
        parts += [f"worst disruption {disruption_text(review)}", cost_text(review)]
    if any(s.audit for s in review.scopes):
        parts.append(findings_text(review))
    return " · ".join(p for p in parts if p)


def _reasons(review: Review, plan: PlanSection) -> Iterable[str]:
    if review.unreviewed:
        yield "nothing was planned, audited or priced before the merge, and the merge clears nothing"
    if plan.hidden:
        total = len(plan.hidden) + len(plan.listed)
        yield f"{len(plan.hidden):,} of {total:,} changes are not shown here: the run waits for confirm"
    if review.audit_fails and review.fail_on:
        yield f"blocked: a finding is {review.fail_on.value} or worse"
    if review.over_budget and review.budget:
        yield f"blocked: {prose(review.budget.text)}"
    for scope in review.scopes:
        if scope.failed or scope.unreadable:
            yield f"{code(scope.name)} {_why(scope)}"
        yield from (f"{code(scope.name)} waits: {prose(reason)}" for reason in scope.waits[:5])


def _why(scope: ScopeReview) -> str:
    if scope.problems:
        more = f" (and {len(scope.problems) - 1} more)" if len(scope.problems) > 1 else ""
        return f"is invalid: {prose(str(scope.problems[0]))}{more}"
    if scope.refused:
        return f"is refused: {prose(scope.refused)}"
    return f"could not be read, it is tried again: {prose(scope.unreadable)}"


def scope_facts(scopes: Sequence[ScopeReview], room: int) -> Facts:
    """One row per scope; those with trouble, then those with changes, come first."""
    order = sorted(scopes, key=lambda s: (not s.failed, not s.unreadable, not (s.plan and s.plan.changes), s.name))
    rows, more = fit([_scope_row(s) for s in order], room)
    return {"rows": rows, "more": more}


def _scope_row(scope: ScopeReview) -> Markdown:
    name = f"{cell(scope.name)}{' (new scope)' if scope.new else ''}"
    if scope.plan is None:
        return Markdown(f"| {name} | {_outcome(scope)} | | | |")
    counts = counts_text(counts_of((scope.plan,))) + (", waits" if scope.waits else "")
    money = money_text(scope.cost.delta, scope.cost.currency, signed=True) if scope.cost else ""
    return Markdown(f"| {name} | {counts} | {scope.plan.disruption.value} | {money} | {_found(scope)} |")


def _outcome(scope: ScopeReview) -> str:
    if scope.problems:
        return "invalid"
    if scope.refused:
        return "refused"
    return "not readable" if scope.unreadable else "not reviewed"


def _found(scope: ScopeReview) -> str:
    if scope.audit is None:
        return ""
    found = scope.audit.notable
    return f"{len(found)} ({found[0].severity.value})" if found else "none"


def finding_facts(review: Review, room: int) -> Facts:
    """Findings over all scopes, worst first, then what was waived and the marks."""
    audits = [(s.name, s.audit) for s in review.scopes if s.audit]
    found = sorted((f for _, a in audits for f in a.notable), key=lambda f: -f.severity.rank)
    waived = [w for _, a in audits for w in a.waived]
    rows, more = fit([_finding_row(f) for f in found], room)
    lines = [
        f"- {code(w.finding.rule)} at {code(w.finding.resource)}, until {w.waiver.until.isoformat()}, "
        f"{code(w.waiver.by)}: {prose(w.waiver.reason)}"
        for w in waived
    ]
    waived_rows, waived_more = fit([Markdown(line) for line in lines], room // 3)
    return {
        "audited": bool(audits),
        "rows": rows,
        "more": more,
        "notes": sum(a.count(Severity.INFO) for _, a in audits),
        "waived": waived_rows,
        "waived_more": waived_more,
        "waived_count": len(waived),
        "scores": Markdown(", ".join(f"{code(name)} {a.score}/10" for name, a in audits[:10])),
        "formula": Markdown(FORMULA),
    }


def _finding_row(f: Finding) -> Markdown:
    where = f"{cell(f'{f.place.file}:{f.place.line}')}<br>{cell(f.resource)}" if f.place else cell(f.resource)
    what = f"{prose_cell(f.message)}<br>→ {prose_cell(f.fix)}"
    return Markdown(f"| {SEVERITY_ICONS[f.severity]} {f.severity.value} | {cell(f.rule)} | {where} | {what} |")


def cost_facts(review: Review, room: int) -> Facts:
    """Sums per scope, then the resources whose cost changes most."""
    costs = [(s.name, s.cost) for s in review.scopes if s.cost]
    changed = [(line, c) for _, c in costs for line in c.lines if line.delta]
    changed.sort(key=lambda pair: -abs(pair[0].delta))
    rows, more = fit([_cost_row(line, c.currency) for line, c in changed], room)
    totals, more_totals = fit([_total_row(name, c) for name, c in costs], room // 2)
    unpriced = [u for _, c in costs for u in c.unpriced]
    names, more_names = fit([Markdown(f"- {code(n)}: {prose(why)}") for n, why in unpriced], room // 4)
    return {
        "totals": totals,
        "more_totals": more_totals,
        "rows": rows,
        "more": more,
        "assumptions": list(dict.fromkeys(a for _, c in costs for a in c.assumptions))[:6],
        "unpriced": names,
        "more_unpriced": more_names,
        "unpriced_note": Markdown(unpriced_note(unpriced)),
        "budget": review.budget.text if review.budget else "",
        "ranges": [Markdown(f"{code(n)} after: {prose(range_text(c))}.") for n, c in costs[:5] if range_text(c)],
    }


def _total_row(name: str, c: Cost) -> Markdown:
    return _money_row(f"**{cell(name)}**", c.total_before, c.total_after, c.currency)


def _cost_row(line: CostLine, currency: str) -> Markdown:
    name = f"{cell(line.resource)} {prose_cell(line.basis)}" if line.basis else cell(line.resource)
    return _money_row(name, line.before, line.after, currency)


def _money_row(name: str, before: Decimal | None, after: Decimal | None, currency: str) -> Markdown:
    delta = money_text((after or ZERO) - (before or ZERO), currency, signed=True)
    sides = [money_text(side, currency) if side is not None else "–" for side in (before, after)]
    return Markdown(f"| {name} | {sides[0]} | {sides[1]} | {delta} |")


def undo_facts(found: Undo, room: int) -> Facts:
    """What undo does, and what it cannot."""
    lost, more = fit([Markdown(f"- {code(r)}: {prose(text)}") for r, text in found.lost], room)
    return {"ways": [Markdown(w) for w in found.ways], "lost": lost, "more": more}


def digest_facts(review: Review, room: int) -> Facts:
    """The digest of each plan, and the commits they were made from."""
    rows, more = fit([Markdown(f"{code(p.scope)} {code(p.digest)}") for p in review.plans], room)
    return {"rows": rows, "more": more, "head": review.head, "base": review.base, "footer": review.footer}
