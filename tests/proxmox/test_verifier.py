"""The parameter checker agrees with the official one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.proxmox.schema import load_schema, read_xz
from tests.proxmox.verifier import verify

CASES: list[dict[str, Any]] = read_xz("paramcheck-cases.json.xz")


def _folded(errors: dict[str, str] | None) -> dict[str, list[str]]:
    """White space folded and lines sorted: the official checker lists the lines of one text in any order."""
    return {
        key: sorted(line for raw in text.split("\n") if (line := re.sub(r"\s+", " ", raw).strip()))
        for key, text in (errors or {}).items()
    }


def _name(case: dict[str, Any]) -> str:
    return f"{case['method']} {case['path']}"


@pytest.mark.parametrize("call", sorted({_name(case) for case in CASES}))
def test_every_recorded_call_is_judged_as_the_official_checker_judged_it(
    call: str, report_n: Callable[..., None]
) -> None:
    cases = [case for case in CASES if _name(case) == call]
    verb, path = call.split(" ", 1)
    method = load_schema("9.1").method(verb, path)
    wrong = [
        (case["params"], found, case["errors"])
        for case in cases
        if _folded(found := verify(method, case["params"])) != _folded(case["errors"])
    ]
    report_n("PVE paramcheck", len(cases), len(wrong))
    assert wrong == []
