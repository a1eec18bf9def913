"""The tree is the one the README maps, and keeps to the house's rules."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.readme import ROOT, map_files

_TOP = {
    ".ci",
    ".dockerignore",
    ".gitignore",
    "Containerfile",
    "Makefile",
    "README.md",
    "charts",
    "controller",
    "engines",
    "examples",
    "llm",
    "pyproject.toml",
    "tests",
    "uv.lock",
}
_VAGUE = re.compile(r"(?:^|_)(?:utils?|helpers?|common|managers?|misc|stuff)(?:_|$)")
_REASON = re.compile(r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\]) *(?:- |# )\S+")
_SILENCED = re.compile(r"# (?:noqa|type: ignore)\b")


def tracked() -> list[Path]:
    """Files under version control, as paths from the root."""
    told = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [Path(line) for line in told.stdout.splitlines() if (ROOT / line).exists()]


def modules(*rooms: str) -> list[Path]:
    return [p for p in tracked() if p.suffix == ".py" and p.parts[0] in rooms]


def test_the_top_of_the_tree_holds_only_the_agreed_rooms() -> None:
    assert {p.parts[0] for p in tracked()} == _TOP


def test_no_name_says_nothing() -> None:
    names = {part for p in tracked() for part in (*p.parent.parts, p.stem)}
    assert sorted(n for n in names if _VAGUE.search(n)) == []


def test_the_map_in_the_readme_is_the_tree() -> None:
    there = {str(p) for p in modules("controller", "engines", "llm") if p.name != "__init__.py"}
    assert map_files() == there


def test_no_room_is_empty() -> None:
    rooms = {p.parent for p in modules("controller", "engines", "llm", "tests")}
    empty = [r for r in rooms if not [p for p in tracked() if r in p.parents and p.name != "__init__.py"]]
    assert sorted(map(str, empty)) == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [p for p in modules("controller", "engines", "llm", "tests") if not _says(p)]
    assert sorted(map(str, silent)) == []


def _says(path: Path) -> bool:
    text = (ROOT / path).read_text()
    return ast.get_docstring(ast.parse(text)) is not None or not text.strip()


def imports_in_functions(path: Path) -> Iterator[str]:
    """`FILE:LINE` of every import below a function."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            below = (n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom))
            yield from (f"{path}:{n.lineno}" for n in below)


def test_an_import_inside_a_function_says_why() -> None:
    hidden = [at for p in modules("controller", "engines", "llm", "tests") for at in imports_in_functions(p)]
    assert [at for at in hidden if not _REASON.search(_line(at))] == []


def _line(at: str) -> str:
    file, _, number = at.rpartition(":")
    return (ROOT / file).read_text().splitlines()[int(number) - 1]


def test_what_is_silenced_says_why() -> None:
    found = [
        f"{path}:{number}"
        for path in modules("controller", "engines", "llm", "tests")
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if _SILENCED.search(line) and not _REASON.search(line) and "re.compile" not in line
    ]
    assert found == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    text = {p: (ROOT / p).read_text(errors="ignore") for p in tracked() if p.name != "uv.lock"}
    one_machine = re.compile(r"(?<![\w/.])/(?:wor[k]|ho[m]e/[a-z]+)/")
    assert sorted(str(p) for p, t in text.items() if one_machine.search(t)) == []
