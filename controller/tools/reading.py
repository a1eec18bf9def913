"""A blueprint given as text → its entries; the one way in for every tool."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from controller.blueprint.entry import Entry
from controller.blueprint.loader import LoadedScope, load_scope
from controller.blueprint.repository import ScopeConfig
from controller.plan.change import Plan
from controller.plan.graph import DesiredGraph
from controller.review.audit import Audit, audit
from controller.review.compliance import compliance
from controller.review.cost import cost
from controller.review.report import Review, ScopeReview
from controller.review.rules.controls import FRAMEWORKS
from controller.review.rules.rule import ScopeView
from controller.tools.tool import TEXT_MAX, Ground, Strict

FILE = "blueprint.yaml"
SCOPE = "scope"
Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]


class OneBlueprint(Strict):
    """A tool that looks at one blueprint. `blueprint`: its YAML or JSON; the command line also takes a file's path."""

    blueprint: Text


def loaded(text: str) -> LoadedScope:
    """What the text wants. Raises InvalidInput with line and column of every mistake."""
    return load_scope({FILE: text.encode()}, ScopeConfig(SCOPE, "."))


def short(resource: str) -> str:
    """`scope/shop/web` → `web`: a tool sees one blueprint."""
    return resource.rpartition("/")[2]


def view(entries: tuple[Entry, ...]) -> ScopeView:
    """The entries as rules see them, without a plan."""
    plan = Plan(SCOPE, "", (), "", "", total=len(entries), wanted=len(entries))
    return ScopeView(DesiredGraph(SCOPE, entries, {}), plan)


def reviewed(text: str, ground: Ground) -> Review:
    """A blueprint as a review without live state: what it would cost and how it is judged."""
    seen = view(loaded(text).entries)
    found = audit(seen, ground.today)
    told = cost(ground.book, None, seen.graph.entries)
    return Review((ScopeReview(SCOPE, seen.plan, found, told, compliance=compliance(found, FRAMEWORKS)),))


def audited(text: str, ground: Ground) -> Audit:
    """Findings of a blueprint."""
    return audit(view(loaded(text).entries), ground.today)
