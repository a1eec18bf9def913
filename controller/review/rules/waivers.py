"""Rules about accepted findings: what nobody accepts any more, and what never was a rule. No waiver covers these."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from controller.blueprint.entry import Waived
from controller.errors import Place
from controller.review.finding import Severity
from controller.review.rules.controls import ACCEPTED
from controller.review.rules.rule import Hit, Reason, Rule, Sample, ScopeView, scope_rule


def _sample(rule: str, until: date) -> Sample:
    return Sample({"cpu": 1}, waivers=(Waived(rule, "behind a VPN", "ann", until, Place("shop.yaml", 9, 7)),))


@scope_rule(
    "waiver-expired",
    Severity.MEDIUM,
    Reason.WAIVER,
    "Waiver that is over",
    why="What was accepted until a date is accepted no longer; the finding it excused is open again.",
    source="design.md 3 (waivers)",
    controls=ACCEPTED,
    bad=_sample("privileged", date(2026, 11, 20)),
    good=_sample("privileged", date(2026, 11, 21)),
)
def waiver_expired(view: ScopeView) -> Iterator[Hit]:
    for entry in view.graph.entries:
        for i, waiver in enumerate(entry.waivers):
            if view.today > waiver.until and _known(view, waiver):
                text = f"waiver for {waiver.rule} ended on {waiver.until.isoformat()}"
                fix = "mend what it excused, or renew it with a reason"
                yield Hit(entry.id, waiver.place, text, fix, f"waivers.{i}")


@scope_rule(
    "waiver-unknown",
    Severity.LOW,
    Reason.WAIVER,
    "Waiver for no rule",
    why="It excuses nothing; the finding it was meant for stays open.",
    source="design.md 3 (waivers)",
    controls=ACCEPTED,
    bad=_sample("privilegd", date(2026, 12, 31)),
    good=_sample("privileged", date(2026, 12, 31)),
)
def waiver_unknown(view: ScopeView) -> Iterator[Hit]:
    for entry in view.graph.entries:
        for i, waiver in enumerate(entry.waivers):
            if not _known(view, waiver):
                fix = "correct the rule's name or remove the waiver; alma rules list names them all"
                text = f"waiver for {waiver.rule}, which is no rule"
                yield Hit(entry.id, waiver.place, text, fix, f"waivers.{i}")


def _known(view: ScopeView, waiver: Waived) -> bool:
    return waiver.rule in view.rules


RULES: tuple[Rule, ...] = (waiver_expired, waiver_unknown)
