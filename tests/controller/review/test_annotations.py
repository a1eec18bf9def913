"""Notes at the lines of a change: what they are about, worst first, and nothing that a terminal or a forge obeys."""

from __future__ import annotations

import pytest

from controller.errors import Place, Problem
from controller.review.annotations import Note, notes
from controller.review.audit import Audit
from controller.review.finding import Finding, Severity
from controller.review.report import Review, ScopeReview


def finding(severity: Severity, line: int | None, message: str = "says so") -> Finding:
    place = Place("prod/shop.yaml", line, 3) if line is not None else None
    return Finding("image-tag", severity, "prod/shop/web", place, message, "pin it")


def reviewed(*findings: Finding, fail_on: Severity | None = Severity.HIGH) -> Review:
    return Review((ScopeReview("prod", audit=Audit(findings)),), fail_on=fail_on)


def test_a_finding_is_at_its_line_with_its_fix() -> None:
    title = "medium: image-tag in prod/shop/web"
    expected = Note("prod/shop.yaml", 7, "warning", title, "says so\n\npin it")
    assert notes(reviewed(finding(Severity.MEDIUM, 7))) == (expected,)


@pytest.mark.parametrize(
    ("severity", "fail_on", "level"),
    [
        (Severity.CRITICAL, Severity.HIGH, "failure"),
        (Severity.HIGH, Severity.HIGH, "failure"),
        (Severity.HIGH, None, "warning"),
        (Severity.MEDIUM, Severity.HIGH, "warning"),
        (Severity.LOW, Severity.HIGH, "notice"),
        (Severity.LOW, Severity.LOW, "failure"),
    ],
)
def test_what_fails_the_review_is_a_failure(severity: Severity, fail_on: Severity | None, level: str) -> None:
    [note] = notes(reviewed(finding(severity, 1), fail_on=fail_on))
    assert note.level == level


def test_the_worst_comes_first_and_each_once_and_what_has_no_place_not_at_all() -> None:
    low, high = finding(Severity.LOW, 2), finding(Severity.HIGH, 9)
    assert [n.line for n in notes(reviewed(low, high, high, finding(Severity.HIGH, None)))] == [9, 2]


def test_a_mistake_is_at_its_line() -> None:
    problems = (Problem(Place("prod/shop.yaml", 4, 1), "must be text", "resources.0.name"), Problem(None, "no place"))
    [note] = notes(Review((ScopeReview("prod", problems=problems),)))
    assert note[:4] == ("prod/shop.yaml", 4, "failure", "prod is not valid")
    assert note.message == "resources.0.name: must be text"


def test_nothing_invisible_is_passed_on() -> None:
    [note] = notes(reviewed(finding(Severity.HIGH, 1, "a\u202eb\x1b[31m" + "x" * 9_000)))
    assert "\u202e" not in note.message and "\x1b" not in note.message and len(note.message) <= 2_000
