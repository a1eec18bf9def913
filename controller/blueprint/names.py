"""Names that ALMA gives and accepts (I36), and text of others made fit for a screen (I45)."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from itertools import islice

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# Drawn as nothing at all although Unicode counts them as letters, marks or symbols: fillers and blanks.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HASH_LETTERS = 8
_COMPARED_MAX = 200


def is_name(text: str) -> bool:
    """True for lower-case ASCII letters, digits and inner hyphens, 1 to 63 of them."""
    return _NAME.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """`text` itself. Raises ValueError saying what a name is made of."""
    if is_name(text):
        return text
    raise ValueError(
        f"{shown(text, 80)} is no name: use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends"
    )


def shown(text: str, limit: int = 0) -> str:
    """`text` on one line with everything escaped that moves the cursor, turns the reading direction or cannot be seen.
    With `limit`, cut to that many characters before escaping, and marked as cut."""
    if limit and len(text) > limit:
        text = text[:limit] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if _hidden(c) else c for c in text)


def _hidden(char: str) -> bool:
    if char in _INVISIBLE or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return True
    if "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef" or "\u180b" <= char <= "\u180f":
        return True  # variation selectors
    return char != " " and unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}")


def natural_name(scope: str, blueprint: str, resource: str, limit: int = 63) -> str:
    """SCOPE-BLUEPRINT-RESOURCE, what an object is called on its target. Where that is longer than `limit` it is cut
    and ends in a hash of the three, so that different ids never meet in one cut name."""
    whole = f"{scope}-{blueprint}-{resource}"
    if len(whole) <= limit:
        return whole
    digest = hashlib.sha256(f"{scope}/{blueprint}/{resource}".encode()).hexdigest()[:_HASH_LETTERS]
    return f"{whole[: limit - _HASH_LETTERS - 1].rstrip('-')}-{digest}"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean memory?`, or nothing where no known name is near. Looks at the first two hundred (I34)."""
    near = difflib.get_close_matches(wrong[:100], list(islice(known, _COMPARED_MAX)), n=1)
    return f"; did you mean {shown(near[0], 200)}?" if near else ""
