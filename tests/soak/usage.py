"""What a process holds, read from outside of it, and whether that stays flat."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FLAT = 1.05  # the last quarter may be this many times the second one
_RSS_MB_MOST = 400.0
_JOURNAL_BYTES_AN_OP = 4096.0


@dataclass(frozen=True, slots=True)
class Reading:
    """At one moment. `clone_bytes` and `journal_bytes` grow with what is pushed and done, the rest must not."""

    rss_mb: float
    descriptors: int
    threads: int
    left_files: int
    clone_bytes: int
    journal_bytes: int


def reading(pid: int, state: Path) -> Reading:
    """Of the process `pid` whose state folder is `state` (Linux: proc(5))."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    files = [f for f in state.rglob("*") if f.is_file()]
    return Reading(
        rss_mb=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(status["Threads"]),
        left_files=sum(f.name.startswith("tmp_") or f.suffix in (".new", ".lock", ".tmp") for f in files),
        clone_bytes=sum(f.stat().st_size for f in files if "mirrors" in f.parts),
        journal_bytes=(state / "alma.db").stat().st_size,  # its write-ahead log has a size of its own, and keeps it
    )


@dataclass(frozen=True, slots=True)
class Line:
    """`early` and `late`: the medians of the second and of the last quarter."""

    what: str
    early: float
    late: float
    bar: str
    met: bool


def verdict(readings: Sequence[Reading], ops: int) -> tuple[Line, ...]:
    """The lines of the table. `ops`: how many calls to the platform the journal tells of."""
    flat = [
        _flat(what, [float(getattr(r, name)) for r in readings])
        for what, name in (
            ("memory, MB", "rss_mb"),
            ("open descriptors", "descriptors"),
            ("threads", "threads"),
            ("files left over", "left_files"),
        )
    ]
    most_mb = max(r.rss_mb for r in readings)
    an_op = readings[-1].journal_bytes / max(1, ops)
    return (
        *flat,
        Line("most memory, MB", most_mb, most_mb, f"≤ {_RSS_MB_MOST:g}", most_mb <= _RSS_MB_MOST),
        Line("journal, bytes an op", an_op, an_op, f"≤ {_JOURNAL_BYTES_AN_OP:g}", an_op <= _JOURNAL_BYTES_AN_OP),
    )


def _flat(what: str, values: Sequence[float]) -> Line:
    quarter = max(1, len(values) // 4)
    early, late = statistics.median(values[quarter : 2 * quarter] or values), statistics.median(values[-quarter:])
    return Line(what, early, late, f"≤ {_FLAT:g} × earlier", late <= _FLAT * early)
