"""PURE: the closed grammar of comment commands (I6): first line of a new comment, `/alma VERB [args] [-s scope]`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.review.command_answer import Verb, VerbKind
from controller.tools.persona import personas

_FIRST = re.compile(r"^\s{0,3}(?:/alma|alma)(?:[ \t]+(?P<rest>[^\r\n]*))?$")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_ARGUMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+=%,-]{0,127}")  # also `30%`, `users=1000`, `SOC2,GDPR`
_WORDS_MAX = 1_000  # characters of what a verb that takes words is told
_REASON = re.compile(r"[^\x00-\x1f\x7f]{1,300}")


VERBS: Mapping[str, Verb] = {
    v.name: v
    for v in (
        Verb("help", VerbKind.READ, "help", "this list"),
        Verb("plan", VerbKind.READ, "plan [-s scope]", "plan again and edit the comment"),
        Verb("audit", VerbKind.READ, "audit", "findings with their fixes"),
        Verb("cost", VerbKind.READ, "cost", "monthly cost before and after"),
        Verb(
            "explain",
            VerbKind.READ,
            "explain [RESOURCE]",
            "what would happen, in sentences, or to one resource step by step",
        ),
        Verb("status", VerbKind.READ, "status [-s scope]", "sync, health and what waits"),
        Verb("compare", VerbKind.READ, "compare [-s scope]", "what this branch adds, removes and changes"),
        Verb("compliance", VerbKind.READ, "compliance [SOC2,GDPR,PCI-DSS]", "controls of frameworks, with evidence"),
        Verb("capacity", VerbKind.READ, "capacity [users=N] [rps=N]", "room on the targets, or instances for a load"),
        Verb("suggest", VerbKind.READ, "suggest [words]", "what the design lacks, or a starter for a need", words=True),
        Verb("council", VerbKind.READ, "council [question]", "five views, a rebuttal and a vote", words=True),
        Verb("forecast", VerbKind.READ, "forecast NUMBER… [steps=N] [limit=N]", "measurements, continued"),
        Verb("troubleshoot", VerbKind.READ, "troubleshoot [words]", "what a failure probably means", words=True),
        Verb("ask", VerbKind.READ, "ask words", "one of the other verbs, from words", words=True),
        Verb("as", VerbKind.READ, "as PERSONA [verb …]", "any verb in the manner of architect, operator or medic"),
        Verb("set", VerbKind.BRANCH, "set RESOURCE key=value… [-s scope]", "a commit with fields of one resource"),
        Verb("optimize", VerbKind.BRANCH, "optimize [30%] [-s scope]", "a commit that saves a share of the cost"),
        Verb("fix", VerbKind.BRANCH, "fix [-s scope]", "a commit that mends the findings with one answer"),
        Verb(
            "translate",
            VerbKind.BRANCH,
            "translate ENGINE [-s scope]",
            "a commit with the same for another engine, beside",
        ),
        Verb(
            "migrate",
            VerbKind.BRANCH,
            "migrate ENGINE [-s scope]",
            "a commit with the same for another engine, instead",
        ),
        Verb("template", VerbKind.BRANCH, "template NAME [key=value…] [-s scope]", "a commit that adds a starter"),
        Verb("create", VerbKind.BRANCH, "create words [-s scope]", "a commit with a blueprint from words", words=True),
        Verb("confirm", VerbKind.ACT, "confirm [RUN or DIGEST]", "let the listed destructive changes run"),
        Verb("break-glass", VerbKind.ACT, 'break-glass [RUN] --reason "why"', "two admins: run what waits, as shown"),
        Verb("deploy", VerbKind.ACT, "deploy [-s scope]", "look at the merged content now"),
        Verb("rollback", VerbKind.ACT, "rollback [REV] [-s scope]", "run older content and open the revert"),
        Verb("retry", VerbKind.ACT, "retry [RUN] [-s scope]", "lift the quarantine and try again"),
        Verb("pause", VerbKind.ACT, 'pause [-s scope] --reason "why" [--until 2h]', "change nothing for a while"),
        Verb("resume", VerbKind.ACT, "resume [-s scope]", "end a pause or a pin"),
        Verb("cancel", VerbKind.ACT, "cancel [RUN]", "end a waiting run, undo a running one"),
        Verb("unlock", VerbKind.ACT, "unlock RUN", "go on after a parked run"),
    )
}


@dataclass(frozen=True, slots=True)
class Command:
    """What a comment asks. `verb` may be one that VERBS does not have; `wrong` says what does not fit. `text`: what a
    verb that takes words was told, on one line. `persona`: the one that `as` names."""

    verb: str
    args: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    reason: str = ""
    until: str = ""
    wrong: str = ""
    text: str = ""
    persona: str = ""


def parse_command(body: str) -> Command | None:
    """The command in the first line of a comment's body, or None where there is none. Never raises."""
    first = body.lstrip("\ufeff").split("\n", 1)[0].rstrip("\r")
    found = _FIRST.match(first)
    if found is None:
        return None
    rest = found.group("rest") or "help"
    if first.lstrip().startswith("alma") and _verb(rest.split()) not in VERBS:
        return None  # "alma is a nice name" is prose; a slash makes it a command
    if _verb(rest.split()) == "as":
        return _as(rest.split()[1:])
    return _command(rest)


def _as(words: list[str]) -> Command:
    """`as PERSONA verb …` is that verb; `as PERSONA` the one it is for; `as` alone asks who there is."""
    if not words:
        return Command("as")
    name = words[0].lower()
    if name not in personas():
        return Command("as", wrong=f"it takes one of {', '.join(personas())}")
    meant = _command(" ".join(words[1:]) or personas()[name].alone)
    return Command("as", wrong="it takes one persona") if meant.verb == "as" else replace(meant, persona=name)


def _command(rest: str) -> Command:
    verb = _verb(rest.split())
    if verb in VERBS and VERBS[verb].words:
        return _told(verb, rest.split()[1:])
    try:
        words = shlex.split(rest, posix=True)
    except ValueError:
        return Command(_verb(rest.split()), wrong="a quote is not closed")
    return _read(words or ["help"])


def _verb(words: list[str]) -> str:
    word = words[0].lower() if words else "help"
    return word if _WORD.fullmatch(word) else "?"


def _told(verb: str, words: list[str]) -> Command:
    """A verb that takes words: what remains of them without `-s scope`. Quotes and apostrophes are text like any."""
    scopes: list[str] = []
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("-s", "--scope"):
            scopes.append(next(rest, ""))
        else:
            kept.append(word)
    text = " ".join(kept)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    if not all(_WORD.fullmatch(name) for name in scopes):
        return Command(verb, wrong="-s needs a value")
    if len(text) > _WORDS_MAX or not text.isprintable():
        return Command(verb, wrong=f"it takes one line of at most {_WORDS_MAX:,} characters")
    return Command(verb, scopes=tuple(scopes), text=text.strip())


def _read(words: list[str]) -> Command:
    verb = _verb(words)
    if verb not in VERBS:
        return Command(verb)
    args: list[str] = []
    options: dict[str, list[str]] = {"-s": [], "--reason": [], "--until": []}
    rest = iter(words[1:])
    for word in rest:
        name, has_value, value = word.partition("=")
        name = "-s" if name == "--scope" else name
        if name in options:
            value = value if has_value else next(rest, "")
            pattern = _REASON if name == "--reason" else _WORD
            if not pattern.fullmatch(value):
                return Command(verb, wrong=f"{name} needs a value")
            options[name].append(value)
        elif _ARGUMENT.fullmatch(word):
            args.append(word)
        else:
            return Command(verb, wrong="an argument has characters that no argument has")
    reason, until = options["--reason"][-1:], options["--until"][-1:]
    return Command(verb, tuple(args), tuple(options["-s"]), "".join(reason), "".join(until))
