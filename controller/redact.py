"""Takes secrets, control sequences and excess length out of text that others wrote (I26, I28, I45).

Known values are found in every form in which programs quote them, also when a form is broken over lines or cut off at
either end of the text; generic patterns catch credentials that this process never knew.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MARK = "(secret)"
LIMIT_BYTES = 4096  # what is kept of an error from outside
_WHOLE_WORD_MAX = 3  # values this short stand in too many words: redacted only where nothing adjoins
_CUT_MIN = 6  # this much of a form at an end of the text counts as the form, cut off
_PART_MIN = 8  # a line of a value of several lines is a secret by itself from here on

_ASCII_LOWER = {c: c + 32 for c in range(ord("A"), ord("Z") + 1)}

# ANSI sequences (CSI, OSC and other strings, two-byte escapes), then every control, bidi, invisible or tag character.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,16}[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x80-\x9f]{0,4096}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,4}[0-~]"
)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
# What a broken form is searched without: white space and continuation signs; and, in a text that was quoted as JSON
# does, the quoted line ends too.
_FILLING = (re.compile(r"[\s\\]+"), re.compile(r"(?:\\[rn]|[\s\\])+"))
_LINE_END = re.compile(r"\n|\\[rn]")

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)")
_HEADER = re.compile(
    r"(?i)\b((?:proxy-)?authorization|x-(?:api-key|registry-auth|vault-token|gitlab-token|auth-token|amz-security-token)"
    r"|private-token|job-token|(?:set-)?cookie|CSRFPreventionToken)([\"']?\s{0,8}[:=]\s{0,8}[\"']?)([^\"'\r\n]{1,8192})"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)([A-Za-z0-9._~+/=-]{8,})")
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,30}://)[^\s/?#\"'<>]{1,1024}@")
_PLAIN_USER = re.compile(r"(?i)(?:ssh|git\+ssh|sftp)://[a-z_][a-z0-9_-]{0,31}@")  # a name alone is none of ours
_ASSIGNED = re.compile(
    r"(?i)((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|client[_-]?secret|pwd)[\"']?\s{0,4}(?:=|(?<=[\"'])\s{0,4}:)\s{0,4}[\"']?)"
    r"(?!env:|file:|\(secret\)|\$\{|null\b|true\b|false\b)([^\s\"',;&<>]{3,4096})"
)
_TOKENS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[\w.-]{16,255}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,255}|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}|sk-[A-Za-z0-9_-]{20,255}|npm_[A-Za-z0-9]{36}"
    r"|dop_v1_[a-f0-9]{64}|hv[sb]\.[\w-]{20,255}|pypi-[\w-]{16,512}|AGE-SECRET-KEY-1[A-Z0-9]{40,80}"
    r"|eyJ[\w-]{8,512}\.eyJ[\w-]{8,4096}\.[\w-]{0,4096})"
)
_PVE_TOKEN = re.compile(r"(![\w.-]{1,64}[=:])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Redactor:
    """Fulfils `engines.engine.Redact`. `secrets` gives every value known now; it is asked on each call, so a value
    resolved a moment ago is covered."""

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets
        self._known: frozenset[str] = frozenset()
        self._forms: tuple[str, ...] = ()
        self._squeezed: tuple[tuple[str, ...], ...] = ((), ())
        self._words: tuple[re.Pattern[str], ...] = ()

    def __repr__(self) -> str:
        return "Redactor()"

    def __call__(self, text: str) -> str:
        """`text` without secrets and control sequences, at most 4 KiB of UTF-8."""
        return cut(self.full(text), LIMIT_BYTES)

    def full(self, text: str) -> str:
        """As calling it, but of any length: for our own long texts, such as a comment."""
        self._learn()
        return _generic(self._without_known(plain(text)))

    def data(self, value: Any) -> Any:
        """`value` with every text in it, keys too, redacted at any depth. What is neither text, number, list nor map
        becomes its redacted str."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.full(str(k)): self._named(str(k), v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.data(v) for v in value]
        if isinstance(value, bytes):
            return self.full(value.decode("utf-8", "replace"))
        return self.full(str(value))

    def event(self, _logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """A structlog processor; place it after tracebacks were formatted and before rendering."""
        redacted: dict[str, Any] = self.data(event)
        return redacted

    def _named(self, name: str, value: Any) -> Any:
        """A header by its name in a map gives its value away as secret, which the value alone would not."""
        if isinstance(value, str) and _HEADER.fullmatch(f"{name}: x"):
            return MARK
        return self.data(value)

    def _learn(self) -> None:
        known = frozenset(v for v in self._secrets() if v.strip())
        if known == self._known:
            return
        values = {plain(v) for v in known} | known
        long = [v for v in values if len(v) > _WHOLE_WORD_MAX]
        self._forms = tuple(sorted({f for v in long for f in forms(v)}, key=len, reverse=True))
        self._squeezed = tuple(tuple({f.sub("", k) for k in self._forms}) for f in _FILLING)
        self._words = tuple(re.compile(rf"(?<!\w){re.escape(v)}(?!\w)") for v in values if len(v) <= _WHOLE_WORD_MAX)
        self._known = known

    def _without_known(self, text: str) -> str:
        low = _low(text)
        spans = list(_found(low, self._forms))
        if _LINE_END.search(low):
            for filling, known in zip(_FILLING, self._squeezed, strict=True):
                spans += _found_broken(low, filling, known)
        spans += [m.span() for word in self._words for m in word.finditer(text)]
        return _masked(text, spans)


def plain(text: str) -> str:
    """`text` with LF line ends and tabs, and no other control, escape sequence, bidi or invisible character."""
    text = _SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _INVISIBLE.sub("", text)


def cut(text: str, limit_bytes: int) -> str:
    """At most `limit_bytes` of UTF-8, never half a character; says how much is missing."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit_bytes:
        return text
    note = f"… ({len(data)} bytes)"
    kept = data[: max(0, limit_bytes - len(note.encode()))].decode("utf-8", "ignore")
    return kept + note


def forms(value: str) -> Iterator[str]:
    """Every way in which `value` (4 characters or more) may stand in a text, in ASCII lower case."""
    for form in _encoded(value):
        yield _low(form)
    lines = [line.strip() for line in value.splitlines()]
    for line in lines if len(lines) > 1 else ():
        if len(line) >= _PART_MIN and not line.startswith("-----"):
            yield from (_low(f) for f in _encoded(line))


def _encoded(value: str) -> Iterator[str]:
    data = value.encode("utf-8", "surrogatepass")
    yield from (value, value.lower(), value.upper(), data.hex())
    for safe in ("", "/", "!*'()"):
        yield quote(value, safe=safe, errors="replace")
    yield quote_plus(value, errors="replace")
    yield "".join(f"%{b:02x}" for b in data)
    yield "".join(f"\\x{b:02x}" for b in data)
    for ascii_only in (True, False):
        quoted = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield quoted.encode("ascii", "backslashreplace").decode()  # as YAML and Python escape what is not ASCII
        yield from (quoted, quoted.replace("/", "\\/"), json.dumps(quoted, ensure_ascii=ascii_only)[1:-1])
    yield re.sub(r"[<>&'+]", lambda m: f"\\u{ord(m[0]):04x}", json.dumps(value)[1:-1])  # as Go and .NET write JSON
    yield repr(value)[1:-1]
    yield value.replace("'", "''")  # YAML, single-quoted
    yield from (html.escape(value), html.escape(value, quote=False))
    for shift in range(3):
        core = _base64_core(data, shift)
        if len(core) >= 4:
            yield from (core, core.translate({ord("+"): "-", ord("/"): "_"}))


def _base64_core(data: bytes, shift: int) -> str:
    """The letters of base64 that depend on `data` alone when `shift` bytes stand before it and any after."""
    text = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
    first = (0, 2, 3)[shift]
    last = (len(data) + shift) * 8 // 6
    return text[first:last]


def _low(text: str) -> str:
    return text.translate(_ASCII_LOWER)


def _found_broken(low: str, filling: re.Pattern[str], known: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Where forms stand broken over lines. Only then: "the later" holds no "helate"."""
    parts: list[str] = []
    origin: list[int] = []
    at = 0
    for gap in filling.finditer(low):
        parts.append(low[at : gap.start()])
        origin.extend(range(at, gap.start()))
        at = gap.end()
    parts.append(low[at:])
    origin.extend(range(at, len(low)))
    for start, end in _found("".join(parts), known):
        first, last = origin[start], origin[end - 1] + 1
        if _LINE_END.search(low, first, last):
            yield first, last


def _found(low: str, known: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    for form in known:
        if not form:
            continue
        at = low.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = low.find(form, at + 1)
        yield from _cut_off(low, form)


def _cut_off(low: str, form: str) -> Iterator[tuple[int, int]]:
    """A form whose end was cut off by the end of the text, or whose beginning by its beginning."""
    if len(form) <= _CUT_MIN:
        return
    at = low.find(form[:_CUT_MIN], max(0, len(low) - len(form) + 1))
    while at >= 0:
        if form.startswith(low[at:]):
            yield at, len(low)
            break
        at = low.find(form[:_CUT_MIN], at + 1)
    at = low.rfind(form[-_CUT_MIN:], 0, len(form) - 1)
    while at >= 0:
        if form.endswith(low[: at + _CUT_MIN]):
            yield 0, at + _CUT_MIN
            break
        at = low.rfind(form[-_CUT_MIN:], 0, at + _CUT_MIN - 1)


def _masked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    parts, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            parts += [text[at:start], MARK]
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _generic(text: str) -> str:
    text = _PEM.sub(MARK, text)
    text = _HEADER.sub(rf"\1\2{MARK}", text)
    text = _BEARER.sub(rf"\1\2{MARK}", text)
    text = _USERINFO.sub(lambda m: m[0] if _PLAIN_USER.fullmatch(m[0]) else f"{m[1]}{MARK}@", text)
    text = _PVE_TOKEN.sub(rf"\1{MARK}", text)
    text = _ASSIGNED.sub(rf"\1{MARK}", text)
    return _TOKENS.sub(MARK, text)
