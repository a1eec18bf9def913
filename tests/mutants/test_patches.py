"""Every seeded defect can still be put in, and says what it breaks and which tests see it. `make mutants` runs them."""

from __future__ import annotations

import ast
import re

import pytest

from tests.mutants.mutant import Mutant, mutants
from tests.readme import ROOT

_INVARIANTS = range(1, 51)  # of the threat model
_FEWEST = 15  # A15
_TEST = re.compile(r"(?P<file>tests/[\w/]+\.py)(?:::(?P<cls>\w+))?::(?P<test>test_\w+)(?:\[[^\]]+\])?")


def test_there_are_at_least_fifteen_and_each_is_another() -> None:
    assert len({m.path.read_text().partition("\n--- ")[2] for m in mutants()}) >= _FEWEST


@pytest.mark.parametrize("mutant", mutants(), ids=lambda m: m.name)
def test_a_defect_applies_and_names_what_it_breaks_and_who_sees_it(mutant: Mutant) -> None:
    again = f"make {mutant.path.relative_to(ROOT)} anew: put the defect in, git diff, take it out"
    assert mutant.problem(ROOT) == "", again
    assert mutant.defect.endswith(".")
    assert mutant.breaks and all(int(b.removeprefix("I")) in _INVARIANTS for b in mutant.breaks)
    assert mutant.caught_by and not [t for t in mutant.caught_by if not _there(t)]


def _there(test: str) -> bool:
    """In the file itself, or in the contract that its class is held to."""
    named = _TEST.fullmatch(test)
    if named is None or not (ROOT / named["file"]).exists():
        return False
    contract = (ROOT / named["file"]).with_name("conformance.py")
    held = [ROOT / named["file"], *([contract] if named["cls"] and contract.exists() else [])]
    return any(named["test"] in _functions(file.read_text()) for file in held)


def _functions(source: str) -> set[str]:
    return {n.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
