"""Failures on request, for demonstrations and tests. They reach this engine only (I49). Pure but for `hang`."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from controller.plan.resource import ObjectKey
from engines.engine import Conflict, Refused, Transient, Unclear
from engines.simulation.record import own_name


class Fault(StrEnum):
    """What the caller meets. `hang` never answers; `gap` (reads only) tells half."""

    TRANSIENT = "transient"
    CONFLICT = "conflict"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    HANG = "hang"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Rule:
    """When something goes wrong. `call` counts the mutating calls this platform ever got, from 1; `match` is compared
    with `VERB NAME` (`*` and `?` allowed). `after`: the platform acted, the answer is lost. `times` 0: always."""

    fault: Fault
    call: int | None = None
    match: str | None = None
    after: bool = False
    times: int = 1

    @property
    def name(self) -> str:
        """Under which its past is counted in the state file."""
        return f"{self.fault}:{self.call}:{self.match}:{self.after}"

    def meets(self, number: int | None, text: str) -> bool:
        if self.call is not None:
            return number == self.call
        return self.match is not None and fnmatch.fnmatchcase(text, self.match)


def described(call: str, key: ObjectKey | None = None) -> str:
    """`create prod-shop-web`: a call as `match` sees it; the parts of a replacement bear the object's own name."""
    return call if key is None else f"{call} {own_name(key.name)}"


def due(rules: Sequence[Rule], fired: Mapping[str, int], text: str, number: int | None = None) -> Rule | None:
    """The first rule that is met and not used up."""
    return next((r for r in rules if r.meets(number, text) and (not r.times or fired.get(r.name, 0) < r.times)), None)


async def strike(rule: Rule, text: str) -> NoReturn:
    """Fail as the rule says."""
    if rule.fault is Fault.HANG:
        await asyncio.Event().wait()
    message = f"simulated fault at {text!r}: {'the answer was lost' if rule.after else 'nothing was done'}"
    raise _ERRORS[rule.fault](message)


_ERRORS = {
    Fault.TRANSIENT: Transient,
    Fault.CONFLICT: Conflict,
    Fault.REFUSED: Refused,
    Fault.UNCLEAR: Unclear,
    Fault.GAP: Transient,
    Fault.HANG: Unclear,
}
