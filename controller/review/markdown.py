"""A review, and its run, as one comment that always fits (design.md 5, C5).

The words and their order stand in `templates/*.md.j2`; this file gives each section its share of the room. Whatever a
template prints and is not `Markdown` already becomes a code span (I44): a template cannot forget to escape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import DictLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from controller.plan.change import Change
from controller.review import sections
from controller.review.inert import Markdown, code, cut, fenced, link, prose
from controller.review.judgement_section import capacity_facts, compliance_facts
from controller.review.narrative import paragraph
from controller.review.order_graph import order_graph
from controller.review.plan_section import PlanSection, plan_section
from controller.review.report import Review, RunProgress
from controller.review.run_section import run_facts
from controller.review.undo_section import undo

LIMIT = 60_000
_VERDICT_ROOM = 1_500
# Kept free whether or not there is a narrative: what else is shown, and so what a merge clears, must not depend on it.
_NARRATIVE_ROOM = 3_500
_SHARES = (1.0, 0.75, 0.5, 0.3, 0.15, 0.05)  # of the limit; the first body that fits is taken
_NO_PLAN = PlanSection(Markdown(""), (), ())

Runs = RunProgress | Sequence[RunProgress] | None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A comment and what it could not hold. `listed` are the changes shown by name: only these may a merge clear
    (I2); `hidden` always wait for confirm."""

    body: str
    listed: tuple[Change, ...]
    hidden: tuple[Change, ...]


def comment(review: Review, run: Runs, marker: str, limit: int = LIMIT) -> str:
    """The body of the one comment, at most `limit` characters, beginning with the line `marker`."""
    return rendered(review, run, marker, limit).body


def rendered(review: Review, run: Runs, marker: str, limit: int = LIMIT) -> Rendered:
    """`comment`, with what it shows and what it does not."""
    runs = (run,) if isinstance(run, RunProgress) else tuple(run or ())
    narrative = _narrative(review)
    room = limit - min(_NARRATIVE_ROOM, limit // 4)
    for share in _SHARES:
        parts, plan = _parts(review, runs, marker, int(room * share))
        body = _body(parts)
        if len(body) <= room:
            whole = _body({**parts, "narrative": narrative})
            return Rendered(whole if len(whole) <= limit else body, plan.listed, plan.hidden)
    everything = tuple(c for p in review.plans for c in p.changes)
    verdict = text("verdict.md.j2", **sections.verdict_facts(review, PlanSection(Markdown(""), (), everything)))
    return Rendered(cut(f"{marker}\n{verdict}", limit), (), everything)


def _parts(
    review: Review, runs: Sequence[RunProgress], marker: str, room: int
) -> tuple[Mapping[str, str], PlanSection]:
    """One attempt: the text of each section, all but the narrative."""
    parts = {
        "marker": marker,
        "run": _run(review, runs, room // 4),
        "scopes": text("scopes.md.j2", **sections.scope_facts(review.scopes, room // 8)),
        "findings": text("findings.md.j2", **sections.finding_facts(review, room // 5)),
        "compliance": text("compliance.md.j2", **compliance_facts(review, room // 12)),
        "cost": text("cost.md.j2", **sections.cost_facts(review, room // 12)),
        "capacity": text("capacity.md.j2", **capacity_facts(review, room // 16)),
        "order": _order(review, room // 8),
        "undo": text("undo.md.j2", **sections.undo_facts(undo(review.plans), room // 10)),
        "commands": text("commands.md.j2", commands=review.commands, links=_links(review)),
        "digest": text("digest.md.j2", **sections.digest_facts(review, room // 20)),
    }
    spent = sum(len(part) for part in parts.values()) + _VERDICT_ROOM
    plan = plan_section(review.plans, max(room - spent, room // 20)) if review.plans else _NO_PLAN
    parts["plan"] = text("plan.md.j2", plan=plan) if plan.listed or plan.hidden else ""
    parts["verdict"] = text("verdict.md.j2", **sections.verdict_facts(review, plan))
    return {**parts, "narrative": ""}, plan


def _body(parts: Mapping[str, str]) -> str:
    return text("comment.md.j2", **{name: Markdown(part.strip()) for name, part in parts.items()}).strip() + "\n"


def _run(review: Review, runs: Sequence[RunProgress], room: int) -> str:
    if runs:
        return text("run.md.j2", **run_facts(runs, room))
    return text("nothing_ran.md.j2") if review.nothing_ran else ""


def _order(review: Review, room: int) -> str:
    graph = order_graph(review.plans)
    return text("order.md.j2", graph=graph) if graph and len(graph) <= room else ""


def _narrative(review: Review) -> str:
    """The one section a model may have written (I29): gone without it, everything else the same."""
    lines = paragraph(review)
    if not lines or review.narrative is None:
        return ""
    return text("narrative.md.j2", author=review.narrative.author, prose=fenced(lines, "text"))


def _links(review: Review) -> list[Markdown]:
    return [link(label, url) for label, url in review.links.items()]


def text(template: str, **facts: object) -> str:
    """One template with its facts. Raises jinja2.UndefinedError when a fact is missing: a bug, never input."""
    return _environment().get_template(template).render(facts)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    folder = resources.files("controller.review").joinpath("templates")
    sources = {f.name: f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".md.j2")}
    made = ImmutableSandboxedEnvironment(
        loader=DictLoader(sources),
        undefined=StrictUndefined,
        finalize=_literal,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    made.filters["prose"] = prose
    return made


def _literal(value: object) -> str:
    """What a template prints: ours as it is, counts as counts, all else as code."""
    if isinstance(value, Markdown):
        return value
    return f"{value:,}" if isinstance(value, int) else code(str(value))
