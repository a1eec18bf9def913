"""Text of others stays text, on every forge and in every terminal (I44, I45; E25, D12)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from controller.review.inert import cell, code, fenced, label, link, prose, summary, visible
from controller.review.markdown import comment
from tests.controller.review.hostile import ACTS, FIELDS, PAYLOADS, read, review_with, run_with

FAST = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking a whole comment takes minutes
MARKER = "<!-- alma:ipr:7 -->"
BENIGN = read(comment(review_with("plain"), run_with("plain"), MARKER))


def check(payload: str) -> None:
    body = comment(review_with(payload), run_with(payload), MARKER)
    found = read(body)
    assert len(body) <= 60_000
    assert body.count("<!--") == 1 and body.startswith(MARKER)
    if payload.strip():  # what is empty is left out
        assert found.headings == BENIGN.headings
        assert found.blocks == BENIGN.blocks
        assert set(found.html) == set(BENIGN.html)
    assert found.images == 0 and set(found.html) <= set(BENIGN.html)
    assert all(url.startswith("https://alma.example/") for url in found.links)
    assert not ACTS.search(found.text), ACTS.search(found.text)
    assert not any(line.lstrip().startswith(("/", "alma ")) for line in body.splitlines())
    assert all(c.isprintable() or c == "\n" for c in body)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: ascii(p[:24]))
def test_a_hostile_text_changes_nothing_of_a_comment_but_its_own_words(
    payload: str, report_n: Callable[..., None]
) -> None:
    check(payload)
    report_n("E25 fields", FIELDS)


def test_there_are_at_least_80_payloads() -> None:
    assert len(set(PAYLOADS)) >= 80


@settings(max_examples=60, deadline=None, phases=FAST)
@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("`|#@<>[]()\\/*_~!$&\n\r-=+:{}%\"' ")), max_size=60))
def test_any_text_keeps_the_structure(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None, phases=FAST)
@given(st.text(max_size=80))
def test_a_code_span_holds_exactly_what_is_visible(text: str) -> None:
    tokens = [t for line in (code(text), prose(text)) for t in read(f"x {line}").blocks]
    assert tokens == ["paragraph_open", "paragraph_close"] * 2
    assert "\n" not in code(text) and "\n" not in cell(text) and "\n" not in prose(text)


@pytest.mark.parametrize("text", ["a|b", "a\\|b", "a\\\\|b", "`|`", "|", "||", "\\|"])
def test_a_cell_is_one_cell(text: str) -> None:
    table = f"| A | B |\n| --- | --- |\n| {cell(text)} | x |\n"
    assert read(table).blocks.count("td_open") == 2


def test_a_cell_has_no_pipe_behind_two_backslashes() -> None:
    # Renderers disagree on whether the second backslash or the pipe is escaped then.
    assert "\\\\|" not in cell("a\\|b")


def test_sentences_keep_their_words_and_mark_the_rest() -> None:
    assert prose("image web:latest is not pinned, really.") == "image `web:latest` is not pinned, really."
    assert prose("port 5432 is open") == "port 5432 is open"
    assert prose("1. item") == "`1`. item"
    assert prose("add health: {http: {port: 80}} or tcp") == "add health: `{http: {port: 80}}` or tcp"
    assert prose("see #12, @ann.") == "see `#12, @ann`."
    assert prose("") == ""
    assert code("") == "(empty)"


def test_a_link_of_ours_is_a_link_and_anything_odd_is_code() -> None:
    assert link("Full plan", "https://alma.example/p/1") == "[Full plan](https://alma.example/p/1)"
    for url in ("javascript:alert(1)", "https://a.example/x)y", "https://a.example/ x", "https://a@b.example/"):
        assert link("x", url).startswith("`")


def test_labels_and_summaries_hold_harmless_characters_only() -> None:
    assert label('a"];click b') == "a???click b"
    assert summary("a<b>@c") == "<code>a&#60;b&#62;&#64;c</code>"


def test_a_fence_is_longer_than_any_run_of_backticks_in_it() -> None:
    assert fenced(["a", "````", "/close"], "diff") == "`````diff\na\n````\n· /close\n`````"


# D12: what hides, reorders or imitates. Each is shown as an escape wherever values are shown.
UNICODE = {
    "RLO": "a\u202eb",
    "LRO": "a\u202db",
    "RLE": "a\u202bb",
    "PDF": "a\u202cb",
    "RLI": "a\u2067b",
    "LRI": "a\u2066b",
    "FSI": "a\u2068b",
    "PDI": "a\u2069b",
    "LRM": "a\u200eb",
    "RLM": "a\u200fb",
    "ALM": "a\u061cb",
    "zero width space": "a\u200bb",
    "zero width non-joiner": "a\u200cb",
    "zero width joiner": "a\u200db",
    "word joiner": "a\u2060b",
    "byte order mark": "a\ufeffb",
    "soft hyphen": "a\u00adb",
    "invisible separator": "a\u2063b",
    "tag block": "a\U000e0061b",
    "variation selector": "a\ufe0fb",
    "variation selector 17": "a\U000e0100b",
    "Hangul filler": "a\u3164b",
    "no-break space": "a\u00a0b",
    "line separator": "a\u2028b",
    "homoglyph beside Latin": "p\u0430ypal",
    "word of homoglyphs": "\u0440\u0430\u0441\u0435",
    "Greek homoglyph": "g\u03bf\u03bfgle",
    "decomposed twin": "cafe\u0301",
    "full-width": "\uff57\uff45\uff42",
    "mathematical": "\U0001d430eb",
    "Hebrew": "\u05d0\u05d1.txt",
    "Arabic": "\u0645\u0644\u0641.yaml",
    "private use": "a\ue000b",
    "unassigned": "a\u0378b",
    "lone surrogate": "a\ud800b",
}


@pytest.mark.parametrize("text", UNICODE.values(), ids=UNICODE.keys())
def test_what_hides_or_imitates_is_shown_escaped(text: str, report_n: Callable[..., None]) -> None:
    for shown in (visible(text), code(text), cell(text), prose(text)):
        assert "\\x" in shown or "\\u" in shown or "\\U" in shown
        assert all(c.isprintable() for c in shown) and shown.encode()
    report_n("D12 shown", 1)


@pytest.mark.parametrize("text", ["Größe", "naïve café", "日本語", "Привет, мир", "Ελλάδα", "10 € → 12 €", "½ ✓ 🚀"])
def test_plain_text_of_any_language_is_left_alone(text: str) -> None:
    assert unicodedata.is_normalized("NFC", text)
    assert visible(text) == text


def test_a_long_text_is_cut_before_it_costs_anything() -> None:
    assert len(visible("\u202e" * 10_000_000)) == 200
    assert visible("abcdef", 4) == "abc…"
