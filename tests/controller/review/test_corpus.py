"""Precision and recall of the rules, per origin: on what others published with its known finding, and on ours.

Bars stand below what is reached, so that a change of the rules that costs something fails here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from controller.review.audit import audit
from controller.review.finding import Severity
from controller.review.rules import RULES
from tests.controller.review.corpus import COMPOSE, KUBE_SCORE, POD_SECURITY, Snippet, own, published
from tests.controller.review.making import TODAY, twice_told
from tests.servers.published import folder

Report = Callable[..., None]


def judged(snippets: Iterable[Snippet]) -> tuple[Counter[str], list[str]]:
    """Counts of right and wrong answers (`tp`, `fp`, `fn`, `tn`), and every wrong one by name."""
    counts: Counter[str] = Counter()
    wrong = []
    for snippet in snippets:
        found = audit(snippet.view(), TODAY).findings
        said = {f.rule for f in found}
        for label in snippet.labels:
            kind = _kind(label.found, bool(label.rules & said))
            counts[kind] += 1
            wrong += [f"{kind} {snippet.name}: {sorted(label.rules)}"] if kind in ("fp", "fn") else []
        if snippet.whole:
            known = {rule for label in snippet.labels for rule in label.rules}
            extra = {f.rule for f in found if f.severity is not Severity.INFO} - known
            counts["fp"] += len(extra)
            wrong += [f"fp {snippet.name}: {rule}" for rule in sorted(extra)]
    return counts, wrong


def _kind(wanted: bool, said: bool) -> str:
    return ("tp" if said else "fn") if wanted else ("fp" if said else "tn")


def check(origin: str, snippets: list[Snippet], precision_min: float, recall_min: float, report_n: Report) -> None:
    counts, wrong = judged(snippets)
    precision = counts["tp"] / (counts["tp"] + counts["fp"])
    recall = counts["tp"] / (counts["tp"] + counts["fn"])
    print(f"{origin}: {len(snippets)} snippets, precision {precision:.3f}, recall {recall:.3f}", *wrong, sep="\n  ")
    report_n(f"M19 corpus {origin} P={precision:.3f} R={recall:.3f}", len(snippets), counts["fp"] + counts["fn"])
    assert precision >= precision_min and recall >= recall_min, wrong


@pytest.mark.published
@pytest.mark.parametrize(
    ("origin", "snippets_min", "precision_min", "recall_min"),
    [("kubernetes", 140, 1.0, 1.0), ("kube-score", 110, 1.0, 0.98), ("compose-lint", 180, 1.0, 0.94)],
)
def test_what_others_published_is_found(
    origin: str, snippets_min: int, precision_min: float, recall_min: float, report_n: Report
) -> None:
    snippets = [s for s in published(folder()) if s.origin == origin]
    assert len(snippets) >= snippets_min
    check(origin, snippets, precision_min, recall_min, report_n)


def test_our_own_snippets_are_judged_as_labelled(report_n: Report) -> None:
    snippets = list(own())
    assert len(snippets) >= 150
    check("own", snippets, 1.0, 1.0, report_n)


@pytest.mark.published
def test_no_two_rules_fire_on_one_field_for_one_reason_in_what_others_wrote() -> None:
    assert [t for s in published(folder()) for t in twice_told(s.view())] == []


def test_no_two_rules_fire_on_one_field_for_one_reason_in_ours() -> None:
    assert [t for s in own() for t in twice_told(s.view())] == []


def test_labels_name_rules_that_exist() -> None:
    known = {r.id for r in RULES}
    named = {r for rules in (*POD_SECURITY.values(), *KUBE_SCORE.values()) for r in rules.split()}
    named |= {r for rules, _ in COMPOSE.values() for r in rules.split()}
    named |= {r for s in own() for label in s.labels for r in label.rules}
    assert named <= known
