"""Text that others wrote, made literal wherever it is shown (I44, I45).

Two layers. `visible` is for every sink: one line, nothing hidden, nothing reordered, nothing that imitates Latin.
The rest is for Markdown on GitHub, GitLab and Gitea, whose reference, mention and command filters run on what their
renderers leave outside of code: entities and backslashes do not stop them, code does. So hostile text always ends up
in a code span, a fence, or consists of plain words only.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable

TEXT_MAX = 200  # characters of one hostile text on one line

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_LETTERS = re.compile(r"[^\W\d_]+")
_IMITATES = frozenset("асеорхуіјѕһԁԛԝвкмнтАВЕКМНОРСТХУІЈЅӀοανρτυικχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
_IMITATING_SCRIPTS = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})


class Markdown(str):
    """Text that is Markdown already: ours, or made literal by this module. Templates escape everything else."""

    __slots__ = ()


def visible(text: str, limit: int = TEXT_MAX) -> str:
    """`text` on one line of at most `limit` characters, with everything that hides, moves or imitates other characters
    shown as an escape (`\\u202e`). Plain text comes back as it is."""
    text = cut(text, limit)  # first: what is cut away needs no work (a name of 100 kB)
    if text.isascii() and text.isprintable():
        return text
    imitating = _imitating(text)
    composed = unicodedata.is_normalized("NFC", text)
    return cut("".join(_shown(c, i in imitating, composed) for i, c in enumerate(text)), limit)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the last one an ellipsis if something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _shown(char: str, imitates: bool, composed: bool) -> str:
    category = unicodedata.category(char)
    combining = category in ("Mn", "Me")
    odd = (
        imitates
        or category in _HIDDEN
        or (category == "Zs" and char != " ")
        or (combining and (not composed or unicodedata.name(char, "").startswith("VARIATION SELECTOR")))
        or unicodedata.bidirectional(char) in _RIGHT_TO_LEFT
        or 0xFF00 <= ord(char) <= 0xFFEF  # full-width and half-width twins
        or 0x1D400 <= ord(char) <= 0x1D7FF  # mathematical twins
        or unicodedata.name(char, "").endswith(" FILLER")
    )
    return _escape(char) if odd else char


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()  # \n, \x1b, \u202e, \U000e0041


def _imitating(text: str) -> frozenset[int]:
    """Positions of letters that pass for Latin: next to Latin in one word, or a whole word made of twins."""
    found: set[int] = set()
    for word in _LETTERS.finditer(text):
        if word.group().isascii():
            continue
        scripts = {unicodedata.name(c, "?").partition(" ")[0] for c in word.group()}
        twins = all(c in _IMITATES for c in word.group())
        if twins or ("LATIN" in scripts and scripts & _IMITATING_SCRIPTS):
            found.update(i for i in range(*word.span()) if not text[i].isascii())
    return frozenset(found)


# One word that no renderer makes anything of: letters, a number, or a dash or arrow of ours; punctuation around it.
_PLAIN = re.compile(
    r"""[("“„]?(?:[^\W\d_]+(?:['’-][^\W\d_]+)*|[+−±≈]?\d+(?:[.,]\d+)*\s?%?|[–—→·×≤≥+…])["”)]?[.,;:!?…)]*"""
)
_HEX = re.compile(r"[0-9a-fA-F]{7,}")  # a commit, for some renderer
_TICKET = re.compile(r"[A-Z]{2,}-\d")
_TICKS = re.compile(r"`+")
_OPENS = re.compile(r"(?i)\d+[.)]|[+−–—]|alma")  # as the first word: a list, or a command
_MARKER_OPEN = "<!--"


def code(text: str, limit: int = TEXT_MAX) -> Markdown:
    """`text` as a code span that nothing in it can end."""
    shown = visible(text, limit).replace(_MARKER_OPEN, "<\\x21--")
    if not shown.strip():
        return Markdown("(empty)") if not shown else Markdown("(blank)")
    ticks = "`" * (max((len(run) for run in _TICKS.findall(shown)), default=0) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return Markdown(f"{ticks}{pad}{shown}{pad}{ticks}")


def cell(text: str, limit: int = TEXT_MAX) -> Markdown:
    """`code` for a table: no pipe can end the cell, whatever stands before it."""
    return _cell(code(text, limit))


def prose(text: str, limit: int = 600) -> Markdown:
    """A sentence: plain words stay words, all else becomes code. Never starts a list, a heading or a command."""
    runs: list[tuple[bool, list[str]]] = []
    depth = 0  # of brackets: what stands between them is one piece of code
    for position, word in enumerate(visible(text, limit).split()):
        inside = depth > 0
        depth = max(0, depth + sum(word.count(c) for c in "{[") - sum(word.count(c) for c in "}]"))
        plain = not inside and _plain(word) and not (position == 0 and _OPENS.fullmatch(word))
        if runs and runs[-1][0] is plain:
            runs[-1][1].append(word)
        else:
            runs.append((plain, [word]))
    return Markdown(" ".join(" ".join(words) if plain else _coded(" ".join(words)) for plain, words in runs))


def prose_cell(text: str, limit: int = 600) -> Markdown:
    """`prose` for a table cell."""
    return _cell(prose(text, limit))


def _plain(word: str) -> bool:
    return bool(_PLAIN.fullmatch(word)) and not _HEX.search(word) and not _TICKET.search(word)


def _coded(words: str) -> str:
    """Code without the punctuation that ends a sentence."""
    body = words.rstrip(".,;:")
    return code(body, len(body)) + words[len(body) :] if body else code(words)


def _cell(markdown: Markdown) -> Markdown:
    # A backslash before a pipe would be read as its escape by some renderers and not by others.
    return Markdown(re.sub(r"\\+\|", lambda m: "\\x5c" * (len(m.group()) - 1) + "|", markdown).replace("|", "\\|"))


def fenced(lines: Iterable[str], language: str = "") -> Markdown:
    """A fenced block. Lines must be `visible` already; none can end the fence, start a command or be a marker."""
    body = "\n".join(_harmless(line) for line in lines)
    ticks = "`" * max(3, max((len(run) for run in _TICKS.findall(body)), default=0) + 1)
    return Markdown(f"{ticks}{language}\n{body}\n{ticks}")


def _harmless(line: str) -> str:
    line = line.replace(_MARKER_OPEN, "<\\x21--")
    # Forges read commands at the start of a line, and so do we; a dot before it and it is none.
    return f"· {line}" if line.lstrip().startswith(("/", "alma ")) else line


def summary(text: str, limit: int = TEXT_MAX) -> Markdown:
    """Text for `<summary>`, where Markdown is not read: HTML with every special character as an entity."""
    shown = visible(text, limit)
    return Markdown("<code>" + re.sub(r"[^\w /.·,()-]", lambda m: f"&#{ord(m.group())};", shown) + "</code>")


def label(text: str, limit: int = 60) -> Markdown:
    """Text for a quoted Mermaid label: what is not plainly harmless is shown as `?`."""
    return Markdown(re.sub(r"[^A-Za-z0-9 ._/-]", "?", visible(text, limit)))


_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~/%+=&?-]*(?:#[A-Za-z0-9._~/%+=&?:-]*)?)?")


def code_link(text: str, url: str) -> Markdown:
    """`cell` that leads to a page of ours or of a platform, where there is one; an odd URL is left out."""
    shown = cell(text)
    return Markdown(f"[{shown}]({url})") if _URL.fullmatch(url) and len(url) <= 500 else shown


def link(text: str, url: str) -> Markdown:
    """A link of ours (server configuration, forge); a URL with anything unusual in it is shown as code instead."""
    if _URL.fullmatch(url) and len(url) <= 500:
        return Markdown(f"[{html.escape(text)}]({url})")
    return code(url)
