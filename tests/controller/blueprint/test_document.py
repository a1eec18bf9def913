"""D4–D7: what a file may be, and where each thing in it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.blueprint.document import read_document
from controller.blueprint.limits import Limits
from controller.blueprint.node import Places, plain, position
from controller.errors import InvalidInput, Place

ReportN = Callable[..., None]


def read(text: str | bytes, file: str = "a.yaml", limits: Limits | None = None) -> object:
    data = text.encode() if isinstance(text, str) else text
    return plain(read_document(data, file, limits or Limits()))


def problems(text: str | bytes, file: str = "a.yaml", limits: Limits | None = None) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read(text, file, limits)
    return [str(p) for p in caught.value.problems]


DUPLICATES = [
    ("a: 1\na: 2\n", 1, 2),
    ("a: 1\nb: 2\na: 1\n", 1, 3),
    ("a: 1\n'a': 2\n", 1, 2),
    ('a: 1\n"a": 2\n', 1, 2),
    ('a: 1\n"\\x61": 2\n', 1, 2),
    ('"\\u0061": 1\na: 2\n', 1, 2),
    ('"\\U00000061": 1\n"\\x61": 2\n', 1, 2),
    ("{a: 1,\n a: 2}\n", 1, 2),
    ('{"a":1,\n"a":2}', 1, 2),
    ("x: {a: 1,\n  b: {c: 1,\n  c: 2}}\n", 2, 3),
    ("x:\n  a: 1\n  a: 2\n", 2, 3),
    ("x:\n- a: 1\n  a: 2\n", 2, 3),
    ("? a\n: 1\n? a\n: 2\n", 1, 3),
    ("1: a\n'1': b\n", 1, 2),
    ("no: a\n'no': b\n", 1, 2),
    ("b: &m {k: 1}\nx:\n  <<: *m\n  <<: *m\n", 3, 4),
    ("b: &m {k: 1}\nx:\n  <<: *m\n  k: 2\n  k: 3\n", 4, 5),
    ("b: &m {k: 1,\n  k: 2}\nx:\n  <<: *m\n", 1, 2),
    ("&a a: 1\na: 2\n", 1, 2),
    ("a: 1\n? &x a\n: 2\n", 1, 2),
    ("a: {}\na: {}\n", 1, 2),
    ("a: 1\na: 2\nc: 1\nc: 2\n", 1, 2),
]


def test_equal_keys_are_errors_that_name_both_lines(report_n: ReportN) -> None:
    for text, first, second in DUPLICATES:
        found = problems(text)
        assert f"first written in line {first};" in found[0], text
        assert found[0].startswith(f"a.yaml:{second}:"), text
    report_n("D4", len(DUPLICATES))


def test_several_pairs_of_equal_keys_each_name_their_own_first_line() -> None:
    found = problems("a: 1\na: 2\nc: 1\nc: 2\n")
    assert [f.partition(": ")[2] for f in found] == [
        "duplicate key a, first written in line 1; keep one",
        "duplicate key c, first written in line 3; keep one",
    ]


SCALARS: list[tuple[str, object]] = [
    ("no", "no"),
    ("No", "No"),
    ("NO", "NO"),
    ("yes", "yes"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("n", "n"),
    ("010", "010"),
    ("-010", "-010"),
    ("0o17", 15),
    ("0x1F", 31),
    ("0b11", "0b11"),
    ("1:30", "1:30"),
    ("22:22", "22:22"),
    ("1_000", "1_000"),
    ("1,5", "1,5"),
    ("1e3", Decimal(1000)),
    ("1.10", Decimal("1.10")),
    ("-.5", Decimal("-0.5")),
    ("3.", Decimal(3)),
    ("+7", 7),
    ("-0", 0),
    ("9223372036854775807", 2**63 - 1),
    ("-9223372036854775808", -(2**63)),
    ("2024-01-02", "2024-01-02"),
    ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
    ("2024-13-99", "2024-13-99"),
    ("~", None),
    ("null", None),
    ("", None),
    ("true", True),
    ("False", False),
    ("tRUE", "tRUE"),
    ("'true'", "true"),
    ('"12"', "12"),
    ("'~'", "~"),
    ("=", "="),
    ("1.2.3", "1.2.3"),
    ("10.0.0.1", "10.0.0.1"),
    ("12e", "12e"),
    (".", "."),
    ("+", "+"),
    ("nan", "nan"),
    ("Infinity", "Infinity"),
    ("٣", "٣"),
]
NO_NUMBERS = [".nan", ".NaN", ".inf", "-.inf", "+.Inf", "9223372036854775808", "-9223372036854775809", "9" * 5000]
NO_NUMBERS += ["0x8000000000000000", "1e31", "1e-31", "1e999999999", "1e-999999999", "0e99999", "1." + "0" * 80]


def test_plain_scalars_mean_what_the_core_of_yaml_1_2_says(report_n: ReportN) -> None:
    for text, expected in SCALARS:
        value = read(f"v: {text}\n")
        assert value == {"v": expected}, text
        assert isinstance(value, dict) and type(value["v"]) is type(expected), text
    report_n("D5", len(SCALARS))


def test_numbers_that_are_not_finite_or_too_long_are_refused(report_n: ReportN) -> None:
    for text in NO_NUMBERS:
        assert "put it in quotes if it is meant as text" in problems(f"v: {text}\n")[0]
        assert read(f"v: '{text}'\n") == {"v": text}
    report_n("D5", len(NO_NUMBERS))


ENCODINGS: list[tuple[bytes, str]] = [
    (b"a: \xff\n", "a.yaml:1:4: not UTF-8 (byte 0xff"),
    (b"a: caf\xe9\n", "a.yaml:1:7: not UTF-8"),
    (b"a: \xc0\xaf\n", "not UTF-8 (byte 0xc0"),
    (b"a: \xe0\x80\xaf\n", "not UTF-8 (byte 0xe0"),
    (b"a: \xed\xa0\x80\n", "not UTF-8 (byte 0xed"),
    (b"x: 1\na: \xf4\x90\x80\x80\n", "a.yaml:2:4: not UTF-8"),
    ("a: 1\n".encode("utf-16"), "UTF-16 or UTF-32"),
    ("a: 1\n".encode("utf-16-le"), "UTF-16 or UTF-32"),
    ("a: 1\n".encode("utf-16-be"), "UTF-16 or UTF-32"),
    ("a: 1\n".encode("utf-32"), "UTF-16 or UTF-32"),
    ("a: 1\n".encode("utf-32-be"), "UTF-16 or UTF-32"),
    (b"a: x\x00y\n", "a.yaml:1:5: control character U+0000"),
    (b"a: x\x1b[31m\n", "control character U+001B"),
    (b"a: x\x7f\n", "control character U+007F"),
    ("a: x\x9b\n".encode(), "control character U+009B"),
    ("a: x\x85b: y\n".encode(), "U+0085 is a hidden line end"),
    ("a: x\u2028b: y\n".encode(), "U+2028 is a hidden line end"),
    ("a: x\ufeffb\n".encode(), "control character U+FEFF"),
    ("a: x\uffff\n".encode(), "control character U+FFFF"),
    (b"a: 1\rb: 2\r", "a.yaml:1:5: this line ends with CR alone"),
    (b'a: "\\ud800"\n', "not valid YAML"),
    (b'a: "\\0"\n', "NUL (U+0000) is not allowed in text"),
    (b'"a\\tb": 1\n', "a key is text of visible characters"),
    (b'"a\\u202eb": 1\n', "a key is text of visible characters, not a\\u{202e}b"),
]
READABLE: list[tuple[bytes, object]] = [
    (b"\xef\xbb\xbfa: 1\n", {"a": 1}),
    (b"a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
    ("a: grüße 😀\n".encode(), {"a": "grüße 😀"}),
    (b'a: "x\\ty\\e"\n', {"a": "x\ty\x1b"}),
]


def test_only_utf8_without_hidden_characters_is_read(report_n: ReportN) -> None:
    for data, expected in ENCODINGS:
        assert expected in problems(data)[0], data
    for data, value in READABLE:
        assert read(data) == value
    report_n("D6", len(ENCODINGS) + len(READABLE))


TAGGED = [
    "a: !!str 1",
    "a: !!python/object/apply:os.system ['true']",
    "a: !!python/name:os.system ''",
    "a: !<tag:yaml.org,2002:int> 1",
    "a: ! 1",
    "a: !local {b: 1}",
    "a: !!binary aGk=",
    "a: !!set {x}",
    "a: !!omap [b: 1]",
    "!!map {a: 1}",
    "a: !!timestamp 2001-01-01",
    "a: [!!int 1]",
    "!!str a: 1",
    "a: 1\n---\nb: 2",
    "a: &x 1\n---\nb: *x",
    "a: 1\n...\n---\nb: 2",
    "%TAG ! tag:example.org,2000:\n---\na: 1",
    "%FOO bar\n---\na: 1",
    "a: 1\n...\n%TAG !x! y\n---\nb: 1",
]


def test_tags_directives_and_second_documents_are_refused(report_n: ReportN) -> None:
    expected = ("tags (!)", "a second document", "directives (%)")
    for text in TAGGED:
        assert any(word in problems(text)[0] for word in expected), text
    report_n("D7", len(TAGGED))


def test_one_document_may_have_its_marks() -> None:
    assert read("%YAML 1.2\n---\na: 1\n...\n") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("---\n", "a map of keys and values"),
        ("- a\n", "a map of keys and values"),
        ("hello\n", "a map of keys and values"),
        ("? [a, b]\n: 1\n", "a key is text, not a list or map"),
        ("? {a: b}\n: 1\n", "a key is text, not a list or map"),
        ("a: &x 1\n*x : 2\n", "a key is text, not an alias"),
        ("'': 1\n", "a key is text of visible characters, not nothing"),
        ("a: *x\n", "no anchor &x above"),
        ("a: &x [*x]\n", "*x contains itself"),
        ("a: &x {b: {c: *x}}\n", "*x contains itself"),
        ("a: &x 1\n<<: *x\n", "<< takes an alias of a map"),
        ("a:\n\t- b\n", "indent with spaces, not tabs"),
        ("a: 'b\n", "not valid YAML"),
        ("a: [1, 2\nb: 3\n", "not valid YAML"),
    ],
)
def test_what_is_no_document_of_ours_is_refused_with_its_reason(text: str, expected: str) -> None:
    assert expected in problems(text)[0]


def test_merged_maps_fill_in_what_is_not_written() -> None:
    text = "x: &x {a: 1, b: 1.50}\ny: &y {b: 2, c: 2}\nm: {<<: [*x, *y], c: 3}\nn:\n  <<: *x\n  '<<': 4\n"
    assert read(text) == {
        "x": {"a": 1, "b": Decimal("1.50")},
        "y": {"b": 2, "c": 2},
        "m": {"a": 1, "b": Decimal("1.50"), "c": 3},
        "n": {"a": 1, "b": Decimal("1.50"), "<<": 4},
    }


def test_aliases_stand_for_what_they_name() -> None:
    assert read("a: &x [1, {b: 2}]\nc: *x\nd: &k key\n&n e: *n\nf: &v 010\ng: *v\nh: &w 12\ni: *w\n") == {
        "a": (1, {"b": 2}),
        "c": (1, {"b": 2}),
        "d": "key",
        "e": "e",
        "f": "010",
        "g": "010",
        "h": 12,
        "i": 12,
    }


def test_json_is_read_with_its_own_escapes() -> None:
    value = {"a": '😀 \\ud83d ü / "', "b": [1, True, None, "\\\\"], "c": {"d": "x"}}
    assert read(json.dumps(value), "a.json") == {**value, "b": (1, True, None, "\\\\")}
    assert read('{\n\t"a":1,\t"b":[]\n}', "a.json") == {"a": 1, "b": ()}
    assert "first written in line 1" in problems('{"a":1,"a":2}', "a.json")[0]
    assert "not valid YAML" in problems('{"a": "\\ud83d"}', "a.json")[0]


def test_limits_hold_for_depth_nodes_aliases_bytes_and_mistakes() -> None:
    small = Limits(file_bytes=100, depth=3, nodes=10, aliases=2, anchors=4, problems=3)
    assert "nested deeper than 3 levels" in problems("a: [[[1]]]", limits=small)[0]
    assert read("a: [[1]]", limits=small) == {"a": ((1,),)}
    assert "more than 10 values" in problems("a: [1,2,3,4,5,6,7,8,9]", limits=small)[0]
    assert "more than 10 values" in problems("a: &x [1,2,3]\nb: *x\nc: 1", limits=small)[0]
    assert "more than 2 aliases" in problems("a: &x 1\nb: [*x,*x,*x]", limits=small)[0]
    assert "more than 10 values" in problems("a: [[],[],[],[],[],[],[],[],[]]", limits=small)[0]
    assert "more than 4 anchors" in problems("a: [&a 1, &b 1, &c 1, &d [], &e 1]", limits=small)[0]
    assert "101 bytes; a file may have 100" in problems("a" * 101, limits=small)[0]
    assert len(problems("a: [.nan, .nan, .nan, .nan]", limits=small)) == 3


def test_places_point_at_keys_and_values() -> None:
    text = 'name: x\nresources:\n  - name: web\n    specs:\n      env: {A: 1, b.c: "2"}\n      ports: [80, [1]]\n'
    node = read_document(text.encode(), "a.yaml")
    resource = ("resources", 0)
    assert position(node, ()) == (1, 1)
    assert position(node, ("name",)) == (1, 7)
    assert position(node, ("name",), of_key=True) == (1, 1)
    assert position(node, (*resource, "specs", "env")) == (5, 7)
    assert position(node, (*resource, "specs", "nothing", "here")) == (4, 5)
    assert position(node, ("resources", 7)) == (2, 1)
    places = Places("a.yaml", node)
    assert places["resources.0.specs.env.A"] == Place("a.yaml", 5, 16)
    assert places["resources.0.specs.env.b.c"] == Place("a.yaml", 5, 24)
    assert places["resources.0.specs.ports.1"] == Place("a.yaml", 6, 19)
    assert places["resources.0.specs.ports.1.0"] == Place("a.yaml", 6, 20)
    for missing in ("resources.1", "resources.x", "resources.0.specs.env.b", "name.x", ""):
        assert missing not in places
    assert len(places) == 12
    assert all(path in places for path in places)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé <:-#", min_size=1), inner, max_size=4),
    max_leaves=20,
)


def _frozen(value: object) -> object:
    if isinstance(value, dict):
        return {k: _frozen(v) for k, v in value.items()}
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_comes_back_as_it_was(value: object) -> None:
    text = json.dumps({"v": value})
    if "\\u0000" in text:
        assert "NUL" in problems(text, "a.json")[0]
    else:
        assert read(text, "a.json") == {"v": _frozen(value)}
