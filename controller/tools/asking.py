"""Free text on a pull request → one verb of the closed grammar, or a question back (I30).

Text is only ever mapped to verbs that read and to `set`, which is a commit that a review judges. What destroys is not
done from words at all; with haste or anger it is refused, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.blueprint.entry import Entry
from controller.errors import InvalidInput, RefusedByPolicy

_POINTS_BACK = re.compile(r"(?i)\b(?:it|its|this|that|them|their)\b")  # else it names something that is not here
_TO = r"(?P<what>.+?)\s+(?:back\s+)?(?:up\s+|down\s+)?to\s+(?P<value>[A-Za-z0-9][\w.:/@+-]{0,127})"
_SCALE = re.compile(rf"(?i)\bscale\s+{_TO}")
_SET = re.compile(
    r"(?i)\b(?:set|change|raise|lower|increase|reduce|bring|make|limit|pin|update)\s+"
    r"(?:(?:the|its|their)\s+)?(?:(?P<owner>[\w/-]+?)(?:'s|’s)\s+)?(?P<field>cpus?|memory|image|replicas|restart|storage|disk)\b"
    r"(?P<of>.*?)\s+to\s+(?P<value>[A-Za-z0-9][\w.:/@+-]{0,127})"
)
_DESTROYS = re.compile(r"(?i)\b(?:delet|destroy|remov|drop|wip|purg|eras|kill|tear(?:ing)? down|get rid|nuk)\w*")
_AGITATED = re.compile(
    r"(?i)\b(?:asap|immediately|right now|at once|hurry|urgent\w*|damn|stupid|useless|idiot\w*|hate|fed up|sick of"
    r"|wtf|hell|broken again|just do it)\b|!{2,}"
)
# Words → the verb that answers them; the first that fits.
_READS: Mapping[str, str] = {
    r"fail\w*|error\w*|crash\w*|broke\w*|wrong|why did": "troubleshoot",
    r"cost\w*|price\w*|expensive|cheap\w*|money|budget": "cost",
    r"complian\w*|gdpr|soc ?2|pci": "compliance",
    r"secur\w*|safe|finding\w*|risk\w*|expos\w*|audit": "audit",
    r"room|capacity|fit|full": "capacity",
    r"better|improve\w*|suggest\w*|missing|lack\w*": "suggest",
    r"status|healthy|running|synced|drift\w*": "status",
    r"differ\w*|compare\w*|against": "compare",
}


class Risk(StrEnum):
    """What may be done with a wish: an act of reading always, one that destroys never from words alone."""

    ALLOW = "allow"
    CONFIRM = "confirm"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Taken:
    """The verb a text was taken for, its arguments, and how to say so."""

    verb: str
    args: tuple[str, ...] = ()
    said: str = ""


def risk_of(words: str, value: str = "") -> Risk:
    """By what is asked for first, then by its tone."""
    if not _DESTROYS.search(words) and value != "0":
        return Risk.ALLOW
    letters = [c for c in words if c.isalpha()]
    shouted = len(letters) >= 8 and sum(c.isupper() for c in letters) > len(letters) * 0.6
    return Risk.BLOCK if shouted or _AGITATED.search(words) else Risk.CONFIRM


def taken(words: str, entries: Sequence[Entry], changed: Sequence[str], before: Sequence[str]) -> Taken:
    """`words` as one verb. `changed`: ids of what the pull request changes; `before`: what people said earlier in the
    thread, newest first. Raises InvalidInput to ask back, RefusedByPolicy for what destroys."""
    if not words:
        raise InvalidInput("say what to ask", hint="/alma ask what does it cost?")
    scaled, given = _SCALE.search(words), _SET.search(words)
    value = scaled["value"] if scaled else given["value"] if given else ""
    risk = risk_of(words, value)
    if risk is Risk.BLOCK:
        raise RefusedByPolicy("it would destroy something, and reads as said in haste or anger: nothing is done")
    if risk is Risk.CONFIRM:
        entry = focus(words, entries, changed, before)
        where = f"{entry.place.file}:{entry.place.line}"
        raise RefusedByPolicy(
            f"that would take {entry.id} away, and words alone do not",
            hint=f"remove it at {where} in a commit; its plan then waits to be confirmed",
        )
    if not value:
        return _read(words)
    field = "replicas" if scaled else (given["field"].lower() if given else "")
    about = scaled["what"] if scaled else " ".join((given["owner"] or "", given["of"])) if given else ""
    entry = focus(about if about.strip() else "it", entries, changed, before)
    key = next((k for k in _SAME.get(field, (field,)) if k in entry.specs), field)
    said = f"Taken as: set {entry.id} {key}={value}."
    return Taken("set", (entry.id, f"{key}={value}"), said=said)


_SAME: Mapping[str, tuple[str, ...]] = {
    "cpu": ("cpu", "cpus", "cores"),
    "cpus": ("cpus", "cpu", "cores"),
    "memory": ("memory", "mem_limit"),
    "disk": ("disk", "storage", "size"),
    "storage": ("storage", "disk", "size"),
}


def focus(words: str, entries: Sequence[Entry], changed: Sequence[str], before: Iterable[str]) -> Entry:
    """The one resource that is meant: named here, else named last in the thread, else the only one that changes.
    Raises InvalidInput where none or several fit."""
    candidates = _named(words, entries)
    if not candidates and _POINTS_BACK.search(words):
        candidates = next((found for text in before if (found := _named(text, entries))), [])
        candidates = candidates or [e for e in entries if e.id in changed]
    if len(candidates) == 1:
        return candidates[0]
    known = ", ".join(sorted(e.id for e in candidates or entries)[:10]) or "none"
    raise InvalidInput(f"which resource is meant? It may be: {known}", hint="name one of them")


def _named(text: str, entries: Sequence[Entry]) -> list[Entry]:
    """Those whose id, `blueprint/name` or name stands in the text; the longer form counts where one does."""
    for form in (lambda e: e.id, lambda e: f"{e.blueprint}/{e.name}", lambda e: e.name):
        found = [e for e in entries if re.search(rf"(?i)(?<![\w/-]){re.escape(form(e))}(?![\w/-])", text[:2_000])]
        if found:
            return found
    return []


def _read(words: str) -> Taken:
    verb = next((v for pattern, v in _READS.items() if re.search(rf"(?i)\b(?:{pattern})\b", words)), "explain")
    return Taken(verb, said=f"Taken as: {verb}.")
