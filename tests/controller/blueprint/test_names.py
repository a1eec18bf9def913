"""D12: names are plain ASCII; text of others is shown with everything hidden made visible."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.loader import parse_blueprint
from controller.blueprint.names import checked_name, did_you_mean, is_name, natural_name, shown

ReportN = Callable[..., None]

# text → how it is shown; None: letters that may stand in text as they are, but never in a name
STRANGE: list[tuple[str, str | None]] = [
    ("a\u202eb", "a\\u{202e}b"),
    ("a\u202db", "a\\u{202d}b"),
    ("a\u202ab", "a\\u{202a}b"),
    ("a\u202cb", "a\\u{202c}b"),
    ("a\u2066b", "a\\u{2066}b"),
    ("a\u2069b", "a\\u{2069}b"),
    ("a\u200eb", "a\\u{200e}b"),
    ("a\u061cb", "a\\u{61c}b"),
    ("a\u200bb", "a\\u{200b}b"),
    ("a\u200cb", "a\\u{200c}b"),
    ("a\u200db", "a\\u{200d}b"),
    ("a\u2060b", "a\\u{2060}b"),
    ("a\ufeffb", "a\\u{feff}b"),
    ("a\u00adb", "a\\xadb"),
    ("a\U000e0041b", "a\\u{e0041}b"),
    ("a\U000e0001b", "a\\u{e0001}b"),
    ("a\ufe0fb", "a\\u{fe0f}b"),
    ("a\U000e0100b", "a\\u{e0100}b"),
    ("a\u3164b", "a\\u{3164}b"),
    ("a\u115fb", "a\\u{115f}b"),
    ("a\u2800b", "a\\u{2800}b"),
    ("a\u034fb", "a\\u{34f}b"),
    ("a\u00a0b", "a\\xa0b"),
    ("a\u3000b", "a\\u{3000}b"),
    ("a\u2028b", "a\\u{2028}b"),
    ("a\x85b", "a\\x85b"),
    ("a\x1b[2Jb", "a\\x1b[2Jb"),
    ("a\x00b", "a\\x00b"),
    ("a\nb", "a\\nb"),
    ("a\r\tb", "a\\r\\tb"),
    ("a\ue000b", "a\\u{e000}b"),
    ("a\ud800b", "a\\u{d800}b"),
    ("a\U000f0000b", "a\\u{f0000}b"),
    ("а", None),  # Cyrillic
    ("ο", None),  # Greek
    ("ａ", None),  # full width
    ("é", None),
    ("e\u0301", None),
    ("ı", None),
    ("ﬁ", None),
    ("𝐚", None),
    ("א", None),
]
NO_NAMES = ("", "-a", "a-", "A", "a.b", "a_b", "a b", "a/b", "a" * 64, "a\n", "--upload-pack=x", "${values.a}", "١")


def test_strange_characters_are_refused_in_names_and_made_visible_elsewhere(report_n: ReportN) -> None:
    for text, expected in STRANGE:
        assert not is_name(text)
        assert shown(text) == (text if expected is None else expected)
        assert "\n" not in shown(text)
    report_n("D12", len(STRANGE))


def test_a_name_with_a_strange_character_is_a_mistake_at_its_place_and_shown_escaped() -> None:
    for text, expected in STRANGE:
        if "\ud800" in text:
            continue
        written = "".join(f"\\U{ord(c):08x}" for c in text)
        parsed = parse_blueprint("a.yaml", f'name: "{written}"\nresources: []\n'.encode())
        (problem,) = parsed.problems
        assert str(problem).startswith("a.yaml:1:7: name: " if "\0" not in text else "a.yaml:1:7: "), problem
        assert (expected or text) in problem.message or "NUL" in problem.message


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_is_no_name_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match="use 1 to 63 of a-z, 0-9 and '-'"):
        checked_name(text)


@pytest.mark.parametrize("text", ["a", "0", "web-1", "a--b", "a" * 63])
def test_plain_names_are_names(text: str) -> None:
    assert checked_name(text) == text


def test_long_text_is_cut_before_it_is_shown() -> None:
    assert shown("x" * 50, 10) == "x" * 10 + "…"
    assert shown("\u202e" * 50, 2) == "\\u{202e}\\u{202e}…"


@given(st.text())
def test_what_is_shown_is_one_visible_line(text: str) -> None:
    assert all(c.isprintable() for c in shown(text))


def test_a_natural_name_is_the_three_parts_and_stays_different_when_cut() -> None:
    assert natural_name("prod", "shop", "web") == "prod-shop-web"
    long = "a" * 60
    one, two = natural_name(long, "b", "c"), natural_name(long, "b-c", "c")
    assert len(one) == len(two) == 63 and one != two
    assert natural_name("s", "b" * 40, "r" * 40, limit=40) != natural_name("s", "b" * 40, "r" * 41, limit=40)
    assert len(natural_name("s", "b" * 40, "r" * 40, limit=40)) == 40


@given(*[st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)] * 3, st.integers(20, 63))
def test_a_natural_name_is_always_a_name(scope: str, blueprint: str, resource: str, limit: int) -> None:
    name = natural_name(scope, blueprint, resource, limit)
    assert is_name(name) and len(name) <= limit


def test_the_nearest_known_word_is_offered() -> None:
    assert did_you_mean("memroy", ["cpu", "memory"]) == "; did you mean memory?"
    assert did_you_mean("zzz", ["cpu", "memory"]) == ""
