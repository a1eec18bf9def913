"""What is wrong with what a scope wants or would do, and who accepted it until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from controller.blueprint.entry import Waived
from controller.errors import Place


class Severity(StrEnum):
    """From worst to mildest; `rank` counts from 0 (info) up."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """4 for critical … 0 for info."""
        return _RANK[self]


_RANK: Mapping[Severity, int] = {s: 4 - i for i, s in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule broken in one place. `message` never repeats a value that may be secret; `path` is the field inside the
    resource (`specs.privileged`), empty for what is about the plan."""

    rule: str
    severity: Severity
    resource: str
    place: Place | None
    message: str
    fix: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class WaivedFinding:
    """A finding someone accepted, with reason and end."""

    finding: Finding
    waiver: Waived


def covers(waiver: Waived, finding: Finding, today: date) -> bool:
    """True if the waiver is about this rule and still in force; it holds on its last day."""
    return waiver.rule == finding.rule and today <= waiver.until
