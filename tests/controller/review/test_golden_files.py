"""Whole reviews from files: what a person writes and what is live in, the plan and the comment out."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from controller.review.markdown import comment
from controller.review.plan_text import plan_text, plans_json
from tests.controller.review.conftest import GOLDEN
from tests.controller.review.from_files import review_from

MARKER = "<!-- alma:ipr:7 -->"
CASES = sorted(f.parent.name for f in GOLDEN.glob("*/blueprint.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_the_texts_of_a_review_from_files_are_those_kept_in_golden(
    case: str, golden: Callable[[str, str, str], None], report_n: Callable[..., None]
) -> None:
    review = review_from(GOLDEN / case)
    golden(case, "plan.txt", "".join(plan_text(p) for p in review.plans))
    golden(case, "plan.json", json.dumps(plans_json(review.plans), indent=1, ensure_ascii=False) + "\n")
    golden(case, "review.md", comment(review, (), MARKER))
    report_n("golden texts from files", 3)


def test_there_are_cases_from_files() -> None:
    assert len(CASES) >= 8
