"""Words that say how a review is judged: free in prose only where the review says the same (I29)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.blueprint.entry import Disruption
from controller.review.report import Review, Verdict


@dataclass(frozen=True, slots=True)
class Claim:
    """Prose that matches `words` is true only of a review that `holds`."""

    words: re.Pattern[str]
    holds: Callable[[Review], bool]


def _claim(words: str, holds: Callable[[Review], bool]) -> Claim:
    return Claim(re.compile(rf"(?i)\b(?:{words})\b"), holds)


def _rises(review: Review) -> bool:
    return any(delta > 0 for delta in review.cost_change.values())


def _falls(review: Review) -> bool:
    return any(delta < 0 for delta in review.cost_change.values())


_NO = r"(?:no|nothing|not|none|never|zero|without(?: any)?)"
CLAIMS: Sequence[Claim] = (
    _claim(r"blocks?|blocked|blocking", lambda r: r.verdict is Verdict.BLOCKED),
    _claim(r"ready", lambda r: r.verdict is Verdict.READY),
    _claim(r"refused|rejected|denied|forbidden", lambda r: any(s.refused for s in r.scopes)),
    _claim(r"invalid|malformed", lambda r: any(s.problems for s in r.scopes)),
    _claim(r"unreadable|unreachable", lambda r: any(s.unreadable for s in r.scopes)),
    _claim(r"waived?|waivers?|waiving", lambda r: any(s.audit and s.audit.waived for s in r.scopes)),
    _claim(rf"{_NO}\b[^.]{{0,30}}\bchang\w*", lambda r: not any(p.changes for p in r.plans)),
    _claim(
        rf"{_NO}\b[^.]{{0,30}}\b(?:disrupt\w*|downtime|interrupt\w*|outages?|gaps?|restart\w*)|seamless(?:ly)?",
        lambda r: r.disruption is Disruption.NONE,
    ),
    _claim(rf"{_NO}\b[^.]{{0,30}}\b(?:findings?|issues?|problems?|violations?)", lambda r: not r.findings),
    _claim(rf"{_NO}\b[^.]{{0,30}}\bcosts?|free|costs? nothing", lambda r: not _rises(r) and not _falls(r)),
    _claim(r"cheaper|sav(?:es?|ings?)|costs? (?:falls?|drops?|decreases?)", _falls),
    _claim(r"dearer|more expensive|costs? (?:rises?|grows?|increases?)", _rises),
)


def claims_hold(text: str, review: Review) -> bool:
    """True if the review says of itself whatever `text` claims."""
    return all(claim.holds(review) for claim in CLAIMS if claim.words.search(text))
