"""A seeded defect: a patch, what it breaks, and the tests that must see it.

A file of this folder begins with a sentence, then `Breaks: I8` (an invariant of the threat model) and one or more
`Caught by: FILE::TEST`; what follows is the patch. A `[case]` after the test's name chooses one of its parameters.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
_FIELD = re.compile(r"^(Breaks|Caught by): (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect that the tests must not let through."""

    path: Path
    defect: str
    breaks: tuple[str, ...]
    caught_by: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Mutant:
        head = path.read_text().partition("\n--- ")[0]
        fields = _FIELD.findall(head)
        breaks, caught_by = (tuple(v for k, v in fields if k == name) for name in ("Breaks", "Caught by"))
        return cls(path, head.split("\n\n")[0], breaks, caught_by)

    @property
    def name(self) -> str:
        return self.path.stem

    def problem(self, tree: Path) -> str:
        """Why the patch does not apply to `tree`; empty if it does."""
        return self._git_apply(tree, "--check")

    def apply(self, tree: Path) -> str:
        """Put the defect into `tree`; as `problem`."""
        return self._git_apply(tree)

    def take_back(self, tree: Path) -> None:
        problem = self._git_apply(tree, "--reverse")
        assert not problem, f"{self.name} was applied and cannot be taken back: {problem}"

    def _git_apply(self, tree: Path, *how: str) -> str:
        told = subprocess.run(["git", "apply", *how, str(self.path)], cwd=tree, capture_output=True, text=True)
        return told.stderr.strip()


def mutants() -> list[Mutant]:
    """All of them, by name."""
    return [Mutant.read(path) for path in sorted(FOLDER.glob("*.patch"))]
