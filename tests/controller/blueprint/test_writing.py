"""What is written as YAML is read back as the same values."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.document import read_document
from controller.blueprint.node import plain
from controller.blueprint.value import Output, Secret, Text
from controller.blueprint.writing import yaml_text

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\x85"), max_size=12)
TEXTS = WORDS.filter(lambda t: all(c.isprintable() for c in t))
KEYS = TEXTS.filter(str.strip)
SCALARS = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3).map(tuple) | st.dictionaries(KEYS, v, max_size=3), max_leaves=12
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_map_comes_back_as_it_was(value: dict[str, object]) -> None:
    assert plain(read_document(yaml_text(value).encode(), "x.yaml")) == value


def test_markers_stand_as_a_blueprint_writes_them() -> None:
    value = {"a": Secret("env:A"), "b": Text(("http://", Output("s/b/db", "address"), ":80")), "c": Decimal("0.50")}
    assert yaml_text(value) == 'a:\n  secret: env:A\nb: "http://${resources.db.outputs.address}:80"\nc: 0.50\n'


def test_lists_of_maps_stand_in_block_style() -> None:
    assert yaml_text({"r": [{"n": "a", "s": {"x": 1}}, {}, []]}) == "r:\n  - n: a\n    s:\n      x: 1\n  - {}\n  - []\n"
