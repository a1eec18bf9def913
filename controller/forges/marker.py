"""How our comments are found again: their first line is an HTML comment that only shows in the source."""

from __future__ import annotations

import re

from controller.forges.forge import ForgeRefused

COMMENT_CHARS_MAX = 65_000  # what every forge takes; the review keeps to 60,000
_MARKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9 :._/@#+=-]{0,198}")


def hidden_line(marker: str) -> str:
    """`<!-- MARKER -->`; a marker that already has this form stays. Raises ForgeRefused for one that could break out
    of the HTML comment."""
    bare = marker.strip().removeprefix("<!--").removesuffix("-->").strip()
    if not _MARKER.fullmatch(bare):
        raise ForgeRefused("a comment marker is letters, digits and :._/@#+=- on one line")
    return f"<!-- {bare} -->"


def marked(marker: str, body: str) -> str:
    """`body` under its hidden line. Raises ForgeRefused when it is longer than any forge takes (I19: never cut)."""
    line = hidden_line(marker)
    whole = body if first_line(body) == line else f"{line}\n{body}"
    if len(whole) > COMMENT_CHARS_MAX:
        raise ForgeRefused(f"the comment has {len(whole):,} characters; at most {COMMENT_CHARS_MAX:,} fit")
    return whole


def bears(marker: str, body: str) -> bool:
    """Only the first line counts: what others wrote may stand further down (I44)."""
    return first_line(body) == hidden_line(marker)


def same_text(one: str, other: str) -> bool:
    """Forges change line ends and trim the end; such a body need not be written again."""
    return _settled(one) == _settled(other)


def first_line(body: str) -> str:
    return body.split("\n", 1)[0].strip()


def _settled(body: str) -> str:
    return body.replace("\r\n", "\n").rstrip()
