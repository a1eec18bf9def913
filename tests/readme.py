"""The README as data: its console sessions, its tables, its map."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<word>\w+)\n(?P<body>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
_ROOM = re.compile(r"(?P<indent> *)(?P<name>[\w.-]+)/(?: |$)")
_HOLE = re.compile(r"<[a-z-]+>")


@dataclass(frozen=True, slots=True)
class Said:
    """One command and what the README says it prints. A line `…` stands for any lines, `<word>` for any word."""

    command: str
    output: tuple[str, ...]

    def shown_by(self, told: str) -> bool:
        """True if `told` is the output, whatever the widths of its columns."""
        return _same([_narrow(line) for line in told.splitlines()], [_narrow(line) for line in self.output])


def _same(told: list[str], said: list[str]) -> bool:
    if not said:
        return not told
    if said[0] == "…":
        return any(_same(told[skipped:], said[1:]) for skipped in range(len(told) + 1))
    return bool(told) and _like(told[0], said[0]) and _same(told[1:], said[1:])


def _like(told: str, said: str) -> bool:
    return re.fullmatch(r"\S+".join(re.escape(part) for part in _HOLE.split(said)), told) is not None


def _narrow(line: str) -> str:
    return re.sub(" +", " ", line).rstrip()


def blocks(word: str, text: str | None = None) -> list[str]:
    """The fenced blocks of that language."""
    whole = README.read_text() if text is None else text
    return [found["body"] for found in _FENCE.finditer(whole) if found["word"] == word]


def sessions() -> Iterator[Said]:
    """Every command of every console block, in order."""
    for block in blocks("console"):
        for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = piece.rstrip("\n").split("\n")
            yield Said(command, tuple(output))


def rows(heading: str) -> list[tuple[str, ...]]:
    """The cells of the table whose first heading is `heading`."""
    lines = README.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return table


def map_files() -> set[str]:
    """Every file the map names, as a path from the root."""
    found: set[str] = set()
    rooms: list[tuple[int, str]] = []
    for line in blocks("map")[0].splitlines():
        indent = len(line) - len(line.lstrip())
        room = _ROOM.match(line)
        if room:
            rooms = [r for r in rooms if r[0] < indent]
            rooms.append((indent, room["name"]))
            continue
        within = "/".join(name for at, name in rooms if at < indent)
        for word in line.split():
            if not re.fullmatch(r"[\w-]+\.py", word):
                break
            found.add(f"{within}/{word}")
    return found
