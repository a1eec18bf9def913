"""What ALMA answers to a command on a pull request: one short comment per command, everything literal (I44)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.plan.change import Change, Plan
from controller.plan.health import HealthState, SyncState
from controller.plan.step import Action, Phase
from controller.review import sections
from controller.review.fitting import fit
from controller.review.inert import Markdown, cell, code, fenced, prose, prose_cell, visible
from controller.review.judgement_section import capacity_facts, compliance_facts
from controller.review.markdown import LIMIT, text
from controller.review.order_graph import order_graph
from controller.review.plan_section import plan_section
from controller.review.plan_text import plan_lines
from controller.review.report import Review, counts_of, counts_text, disruption_text
from controller.review.told import Told
from controller.review.wording import SYMBOLS, seconds_text

_FULL_MAX = 40_000  # characters of one change in an explanation


class VerbKind(StrEnum):
    """What a verb may do; the order is that of the help."""

    READ = "read"
    BRANCH = "branch"
    ACT = "act"


_KINDS = {
    VerbKind.READ: "Anyone who may read",
    VerbKind.BRANCH: "Changes this branch, by a commit that passes every rule",
    VerbKind.ACT: "Acts; needs the role, looked up now",
}


@dataclass(frozen=True, slots=True)
class Verb:
    """One command that works here: `usage` as it is typed (`confirm DIGEST`), and what it does. `words`: it takes the
    rest of the line as it is written."""

    name: str
    kind: VerbKind
    usage: str
    meaning: str
    words: bool = False


@dataclass(frozen=True, slots=True)
class ScopeStatus:
    """One scope as it is now. `paused` is the reason, empty when it is not; `revision` the one it runs."""

    name: str
    sync: SyncState
    health: HealthState
    revision: str = ""
    drifted: int = 0
    run: str = ""
    paused: str = ""


def help_answer(verbs: Sequence[Verb], marker: str) -> str:
    """Every verb that works, by what it may do."""
    groups = [
        (Markdown(title), [(f"/alma {v.usage}", v.meaning) for v in verbs if v.kind is kind])
        for kind, title in _KINDS.items()
    ]
    return _answer(marker, text("answer_help.md.j2", groups=[(t, rows) for t, rows in groups if rows]))


def unknown_answer(word: str, verbs: Sequence[Verb], marker: str) -> str:
    """The nearest verb, then the help. Nothing was done."""
    near = difflib.get_close_matches(word[:40].lower(), [v.name for v in verbs], n=1, cutoff=0.5)
    usage = next((f"/alma {v.usage}" for v in verbs if near and v.name == near[0]), "")
    names = [f"/alma {v.name}" for v in verbs]
    return _answer(marker, text("answer_unknown.md.j2", word=word, nearest=usage, names=names))


def refused_answer(verb: str, login: str, reason: str, marker: str) -> str:
    """I6: who asked, what for, and why not. Nothing was done."""
    return _answer(marker, text("answer_refused.md.j2", verb=f"/alma {verb}", login=login, reason=reason))


def done_answer(verb: str, outcome: str, marker: str) -> str:
    """What an act came to, in a sentence."""
    return _answer(marker, text("answer_done.md.j2", verb=f"/alma {verb}", outcome=outcome))


def plan_answer(review: Review, marker: str, limit: int = LIMIT) -> str:
    """The plan as it is now, with what did not fit counted."""
    plan = plan_section(review.plans, limit - 2_000)
    facts = sections.scope_facts(review.scopes, limit // 20)
    counts = Markdown(f"{counts_text(counts_of(review.plans))} · worst disruption {disruption_text(review)}")
    body = text(
        "answer_plan.md.j2", counts=counts, plan=plan.text, scopes=Markdown(text("scopes.md.j2", **facts).strip())
    )
    return _answer(marker, body)


def audit_answer(review: Review, marker: str, limit: int = LIMIT) -> str:
    """Every finding, with its mend."""
    body = text("findings.md.j2", **sections.finding_facts(review, limit // 2))
    return _answer(marker, body if body.strip() else "Nothing was audited.")


def cost_answer(review: Review, marker: str, limit: int = LIMIT) -> str:
    """Cost before and after, with what the sums rest on."""
    body = text("cost.md.j2", **sections.cost_facts(review, limit // 2))
    return _answer(marker, body if body.strip() else "Nothing was priced.")


def compliance_answer(review: Review, marker: str, limit: int = LIMIT) -> str:
    """Frameworks control by control, with the evidence."""
    body = text("compliance.md.j2", **compliance_facts(review, limit // 2))
    return _answer(marker, _unfolded(body) if body.strip() else "Nothing was audited.")


def capacity_answer(review: Review, marker: str, limit: int = LIMIT) -> str:
    """What the targets have, and what this change takes of it."""
    body = text("capacity.md.j2", **capacity_facts(review, limit // 2))
    return _answer(
        marker, _unfolded(body) if body.strip() else "This change takes nothing of any target, and frees nothing."
    )


def told_answer(told: Told, marker: str, limit: int = LIMIT) -> str:
    """What a tool found."""
    room = limit // 3
    head = [Markdown(h) for h in told.head]
    rows, more_rows = fit([Markdown(f"| {' | '.join(prose_cell(c) for c in row)} |") for row in told.rows], room)
    points, more_points = fit([Markdown(f"- {prose(p)}") for p in told.points], room)
    facts = {"rows": rows, "more_rows": more_rows, "points": points, "more_points": more_points}
    rule = Markdown(f"|{' --- |' * len(head)}")
    columns = Markdown(f"| {' | '.join(head)} |")
    body = text(
        "answer_told.md.j2",
        title=Markdown(told.title),
        sentences=told.sentences[:20],
        columns=columns,
        rule=rule,
        **facts,
    )
    return _answer(marker, body)


def order_answer(review: Review, marker: str) -> str:
    """The order of the run as a graph."""
    graph = order_graph(review.plans)
    return _answer(marker, graph or "There is no order to show: fewer than two changes.")


def status_answer(scopes: Sequence[ScopeStatus], marker: str, limit: int = LIMIT) -> str:
    """Sync and health of each scope, the worst first."""
    order = sorted(scopes, key=lambda s: (s.sync is SyncState.SYNCED, s.health is HealthState.HEALTHY, s.name))
    rows, more = fit([_status_row(s) for s in order], limit - 2_000)
    return _answer(marker, text("answer_status.md.j2", rows=rows, more=more))


def _status_row(s: ScopeStatus) -> Markdown:
    notes = [f"{s.drifted} drifted"] if s.drifted else []
    notes += [f"run {s.run}"] if s.run else []
    notes += [f"paused: {s.paused}"] if s.paused else []
    revision = cell(s.revision[:12]) if s.revision else ""
    return Markdown(
        f"| {cell(s.name)} | {s.sync.value} | {s.health.value} | {revision} | {prose_cell(', '.join(notes))} |"
    )


def explain_answer(review: Review, name: str, marker: str) -> str:
    """What would happen to one resource, step by step: its full id, `blueprint/name` or its name alone."""
    found = [(p, c) for p in review.plans for c in p.changes if _is_named(c, name)]
    if not found:
        near = difflib.get_close_matches(
            name[:200], [str(c.effect.resource) for p in review.plans for c in p.changes], 3
        )
        return _answer(marker, text("answer_unexplained.md.j2", name=name, near=near))
    return _answer(marker, text("answer_explain.md.j2", changes=[_explained(p, c) for p, c in found[:5]]))


def _is_named(change: Change, name: str) -> bool:
    r = change.effect.resource
    return name in (str(r), f"{r.blueprint}/{r.name}", r.name)


def _explained(plan: Plan, change: Change) -> dict[str, object]:
    e = change.effect
    steps = [f"{s.phase.value:<7} {visible(str(s.key))}{'' if s.reversible else '   no way back'}" for s in e.steps]
    needs = plan.edges.get(str(e.resource), ())
    about = f"{SYMBOLS[e.action]} {e.action.value}, disruption {e.disruption.value}"
    down = f", about {seconds_text(e.down_s)} down" if e.down_s else ""
    lines = [line.text for line in plan_lines(Plan(plan.scope, "", (change,), "", ""))][:-1]
    return {
        "resource": str(e.resource),
        "about": Markdown(f"{about}{down}, wave {change.wave}"),
        "target": change.target,
        "needs": Markdown(", ".join(code(n) for n in needs[:20])),
        "diff": fenced(fit([Markdown(line) for line in lines], _FULL_MAX // 5)[0], "text"),
        "steps": fenced(steps[:60], "text") if steps else "",
        "undo": prose(_undo(e.action, cut_=any(s.phase is Phase.CUT for s in e.steps), irreversible=e.irreversible)),
    }


def _undo(action: Action, *, cut_: bool, irreversible: bool) -> str:
    if irreversible:
        return "cannot be undone in full"
    if action is Action.CREATE:
        return "is taken away again"
    return "is put back as it was" if cut_ else "has nothing to undo before the run is verified"


def _unfolded(body: str) -> str:
    """A part that a comment folds, open where it is all that was asked for."""
    return body.replace("<details>", "<details open>", 1)


def _answer(marker: str, body: str) -> str:
    return f"{marker}\n\n{body.strip()}\n"
