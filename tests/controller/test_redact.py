"""Canaries in every form and place (E9's oracle C), and what must survive redaction."""

from __future__ import annotations

import base64
import html
import json
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
import yaml

from controller.redact import LIMIT_BYTES, MARK, Redactor, cut, plain
from engines.engine import Redact

CANARIES = {
    "plain": "Can4ryPlainValue",
    "symbols": "p@ss/w:o+r?d&=%#!",
    "quotes": "it's \"quoted\" \\ back",
    "spaces": "four words in here",
    "unicode": "pässwörd-ключ-鍵",
    "emoji": "key-\U0001f511-\U0001f512-end",
    "hex": "deadbeefcafe0123456789abcdef",
    "base64": "c2VjcmV0LWNhbmFyeS12YWx1ZQ==",
    "uuid": "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
    "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
    "lines": "first-line-canary\nsecond-line-canary\nthird",
    "pem": "-----BEGIN TEST KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQEFAASC\nAT8wggE7AgEAAkEAq7+LQm\n-----END TEST KEY-----",
    "angle": "<b>bold&amp;</b>",
    "dollar": "$ecret$(id)${HOME}`x`",
    "tab": "tab\tin\tside-value",
    "short": "x9Kq",
    "json": '{"user":"canary","pw":"inner"}',
    "url": "https://u:canarypw@canaryhost.test/p?q=1",
    "long": "L0ng" * 60,
    "digits": "904817263554",
    "case": "MixedCaseSecretVALUE",
    "dashes": "--leading-dashes-canary",
    "percent": "100%25canary%2Fvalue",
    "crlf": "windows-canary\r\nsecond-windows-line",
    "slashes": "a/b/c/canary/d\\e\\f",
}  # fmt: skip

ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 +1": lambda v: base64.b64encode(b"u" + v.encode() + b"zz").decode(),
    "base64 +2": lambda v: base64.b64encode(b"u:" + v.encode() + b"z").decode(),
    "base64url": lambda v: base64.urlsafe_b64encode(v.encode()).decode().rstrip("="),
    "base64url +2": lambda v: base64.urlsafe_b64encode(b"ab" + v.encode() + b"y").decode(),
    "url": lambda v: quote(v, safe=""),
    "url path": quote,
    "url form": quote_plus,
    "url lower": lambda v: quote(v, safe="").replace("%", "%").lower(),
    "json": lambda v: json.dumps(v)[1:-1],
    "json utf-8": lambda v: json.dumps(v, ensure_ascii=False)[1:-1],
    "json in json": lambda v: json.dumps(json.dumps(v))[1:-1],
    "yaml": lambda v: yaml.safe_dump({"k": v}, width=10**6),
    "yaml quoted": lambda v: yaml.safe_dump(v, default_style='"', width=10**6),
    "yaml single": lambda v: "'" + v.replace("'", "''") + "'",
    "repr": repr,
    "hex": lambda v: v.encode().hex(),
    "HEX": lambda v: v.encode().hex().upper(),
    "percent": lambda v: "".join(f"%{b:02X}" for b in v.encode()),
    "html": html.escape,
    "upper": str.upper,
    "lower": str.lower,
    "base64 wrapped": lambda v: "\n".join(textwrap.wrap(base64.b64encode(v.encode()).decode(), 8)),
    "base64 wrapped, CRLF, indented": lambda v: "\r\n  ".join(textwrap.wrap(base64.b64encode(v.encode()).decode(), 9)),
    "base64 wrapped in JSON": lambda v: json.dumps("\n".join(textwrap.wrap(base64.b64encode(v.encode()).decode(), 7))),
    "hex wrapped": lambda v: "\n".join(textwrap.wrap(v.encode().hex(), 6)),
    "raw wrapped": lambda v: "\n".join(v[i : i + 5] for i in range(0, len(v), 5)),
    "continued": lambda v: "\\\n    ".join(v[i : i + 7] for i in range(0, len(v), 7)),
    "coloured": lambda v: v[:2] + "\x1b[31m" + v[2:] + "\x1b[0m",
    "zero width": lambda v: "\u200b".join(v),
}  # fmt: skip

SINKS: dict[str, Callable[[str], str]] = {
    "alone": str,
    "sentence": lambda t: f"request failed: {t} was refused",
    "json": lambda t: f'{{"error":"bad","value":"{t}","code":1}}',
    "lines": lambda t: f"line one\n{t}\nline three",
    "header": lambda t: f"GET / HTTP/1.1\r\nX-Custom: {t}\r\n\r\n",
    "dsn": lambda t: f"could not reach db://app:{t}@db.example/app",
}


def known(values: dict[str, str] = CANARIES) -> Redactor:
    return Redactor(lambda: values.values())


def leaked(value: str, text: str) -> bool:
    """True if a run of 8 characters of the value (all of a shorter one) is in the text, whatever breaks it up."""
    bare = "".join(plain(text).split()).lower().replace("\\", "")
    wanted = "".join(plain(value).split()).lower().replace("\\", "")
    size = min(8, len(wanted))
    return any(wanted[i : i + size] in bare for i in range(len(wanted) - size + 1))


@pytest.mark.parametrize("kind", CANARIES)
def test_no_canary_survives_in_any_form_or_place(kind: str, report_n: Callable[..., None]) -> None:
    """I26, I28; E9."""
    value, redact = CANARIES[kind], known({kind: CANARIES[kind]})
    hits = []
    for encoding, encode in ENCODINGS.items():
        for place, sink in SINKS.items():
            shown = redact.full(sink(encode(value)))
            if MARK not in shown or leaked(encode(value), shown) or leaked(value, shown):
                hits.append((encoding, place, shown))
    report_n("E9 redaction", len(ENCODINGS) * len(SINKS), len(hits))
    assert not hits


@pytest.mark.parametrize("kept", [6, 8, 12])
def test_a_canary_cut_off_at_an_end_of_the_text_is_still_one(kept: int) -> None:
    redact = known({"plain": "Can4ryPlainValue"})
    encoded = base64.b64encode(b"Can4ryPlainValue").decode()
    assert redact.full("error: Can4ryPlainValue"[: 7 + kept]) == f"error: {MARK}"
    assert redact.full("Can4ryPlainValue is bad"[16 - kept :]) == f"{MARK} is bad"
    assert redact.full(f"error: {encoded[:kept]}") == f"error: {MARK}"


def test_a_value_of_several_lines_is_found_line_by_line() -> None:
    shown = known().full("parse error near\n> MIIBVgIBADANBgkqhkiG9w0BAQEFAASC\nexpected x")
    assert shown == f"parse error near\n> {MARK}\nexpected x"


def test_a_very_short_value_is_redacted_only_as_a_word_of_its_own() -> None:
    assert known({"s": "abc"}).full("abc, abcd, x-abc") == f"{MARK}, abcd, x-{MARK}"
    assert known({"s": ""}).full("nothing") == "nothing"
    assert known({"s": " \n"}).full("a \n b") == "a \n b"


def test_a_value_learned_later_is_redacted_from_then_on() -> None:
    values: list[str] = []
    redact = Redactor(lambda: values)
    assert redact("a new-canary") == "a new-canary"
    values.append("new-canary")
    assert redact("a new-canary") == f"a {MARK}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-ghi", "Authorization: (secret)"),
        ("authorization: Basic dXNlcjpwYXNz\nAccept: */*", "authorization: (secret)\nAccept: */*"),
        ('{"Authorization": "PVEAPIToken=root@pam!x=1", "a": 1}', '{"Authorization": "(secret)", "a": 1}'),
        ("sent Bearer abcdefghijkl to host", "sent Bearer (secret) to host"),
        ("PRIVATE-TOKEN: glpat-x", "PRIVATE-TOKEN: (secret)"),
        ("Set-Cookie: sid=1; Path=/", "Set-Cookie: (secret)"),
        ("fatal: https://me:hunter2@git.example/x.git", "fatal: https://(secret)@git.example/x.git"),
        ("fatal: https://ghp_token@git.example/x.git", "fatal: https://(secret)@git.example/x.git"),
        ("postgresql://app:p@ss@db/x", "postgresql://(secret)@db/x"),
        ("https://h/x?access_token=abcdef&page=2", "https://h/x?access_token=(secret)&page=2"),
        ("DB_PASSWORD=hunter2 failed", "DB_PASSWORD=(secret) failed"),
        ('{"password": "hunter2", "user": "x"}', '{"password": "(secret)", "user": "x"}'),
        ("root@pam!ci=12345678-1234-1234-1234-123456789abc", "root@pam!ci=(secret)"),
        ("key AKIAIOSFODNN7EXAMPLE here", "key (secret) here"),
        ("x ghp_0123456789abcdefghijABCDEFGHIJ012345 y", "x (secret) y"),
        ("x glpat-0123456789abcdefghij y", "x (secret) y"),
        ("x -----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- y", "x (secret) y"),
        ("x -----BEGIN PRIVATE KEY-----\nabc cut off", "x (secret)"),
    ],
)
def test_credentials_that_nobody_told_us_are_redacted(text: str, shown: str) -> None:
    assert known({}).full(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "clone ssh://git@git.example/ops/infra.git",
        "secret env:APP_TOKEN is not set",
        "secret file:/etc/alma/x is not among what this repository may use",
        "token: expired",
        "pull web:1.5 from registry.example:5000/team/web@sha256:0123",
        "see https://docs.example/a@b",
        "GET https://h:8006/api2/json/cluster/resources?type=vm",
        'password="${resources.db.outputs.password}"',
        "a\tb\nc ünïcödé 漢字",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert known().full(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "link"),
        ("\x1b]52;c;aGk=\x1b\\x", "x"),
        ("\x9b31mred", "red"),
        ("a\x00b\x07c\x7f\x85d", "abcd"),
        ("ok\rFAKE", "ok\nFAKE"),
        ("a\r\nb", "a\nb"),
        ("a\u202eb\u2066c\u200bd\ufeffe", "abcde"),
        ("a\U000e0041b", "ab"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("\x1b(Bx\x1bcx", "xx"),
    ],
)
def test_control_sequences_are_gone(text: str, shown: str) -> None:
    """I45."""
    assert known({})(text) == shown


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 3000, "\U0001f511" * 2000, "a" + "ü" * 2047, "x" * 4096])
def test_text_is_cut_at_4_kib_between_characters(text: str) -> None:
    shown = known({})(text)
    size = len(shown.encode())
    assert size <= LIMIT_BYTES
    assert size == len(text.encode()) or (size > LIMIT_BYTES - 5 and shown.endswith(f"({len(text.encode())} bytes)"))


def test_a_canary_across_the_cut_is_redacted_before_it() -> None:
    text = "x" * (LIMIT_BYTES - 20) + "Can4ryPlainValue" + "y" * 100
    assert "Can4" not in known()(text)
    assert cut("ab", 2) == "ab"


def test_a_log_event_is_redacted_at_any_depth() -> None:
    redact = known({"c": "Can4ryPlainValue"})
    event = {
        "event": "sent Can4ryPlainValue",
        "Can4ryPlainValue": 1,
        "deep": [{"x": ("Can4ryPlainValue", 2.5, None, True)}, b"Can4ryPlainValue"],
        "headers": {"Authorization": "opaque", "Accept": "json"},
        "error": ValueError("Can4ryPlainValue"),
    }
    shown = redact.event(None, "info", event)
    assert "Can4" not in repr(shown)
    assert shown["deep"] == [{"x": [MARK, 2.5, None, True]}, MARK]
    assert shown["headers"] == {"Authorization": MARK, "Accept": "json"}


def test_a_redactor_fulfils_the_engines_contract_and_shows_nothing() -> None:
    redact: Redact = known()
    assert redact("Can4ryPlainValue") == MARK
    assert repr(redact) == "Redactor()"
