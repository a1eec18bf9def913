"""PURE: fields that the webhooks of all forges share. Raises the fault of the document."""

from __future__ import annotations

import unicodedata

from controller.forges.forge import ForgeHint
from controller.forges.json_reader import Json

_BRANCH_CHARS_MAX = 255


def agreed(one: Json, other: Json) -> int:
    """A number that is said twice must agree with itself: what disagrees is malformed."""
    if one.number() != other.number():
        raise one.wrong(f"and {other.path} disagree")
    return one.number()


def named_by(url: Json, number: Json) -> int:
    """A number that its address must end in, before a fragment, where there is one."""
    tail = url.text_or("").split("#", 1)[0].rstrip("/").rsplit("/", 1)[-1]
    if url.present and tail != str(number.number()):
        raise url.wrong(f"does not end in {number.path}")
    return number.number()


def branch_hint(raw: Json) -> ForgeHint | None:
    """Of the ref of a push; None for a tag."""
    ref = raw.text()
    if ref.startswith("refs/tags/"):
        return None
    branch = ref.removeprefix("refs/heads/")
    if branch == ref or not branch or len(branch) > _BRANCH_CHARS_MAX or any(map(_unseen, branch)):
        raise raw.wrong("is not a branch or a tag")
    return ForgeHint(branch=branch)


def _unseen(char: str) -> bool:
    return char == " " or unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
