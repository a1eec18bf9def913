"""Markers stay references until someone fills them in."""

from __future__ import annotations

from controller.blueprint.value import Output, Secret, Text, markers, replace

PW, ADDRESS = Secret("env:PW"), Output("prod/shop/db", "address")
VALUE = {"a": [PW, {"b": Text(("x", ADDRESS, "y", PW))}], "c": 1}


def test_markers_are_found_at_every_depth_in_order() -> None:
    assert list(markers(VALUE)) == [PW, ADDRESS, PW]
    assert list(markers("text")) == []


def test_filling_in_joins_text_once_nothing_is_left_to_fill() -> None:
    known: dict[object, object] = {PW: "hunter2", ADDRESS: 10}
    assert replace(VALUE, lambda leaf: known.get(leaf, leaf)) == {"a": ("hunter2", {"b": "x10yhunter2"}), "c": 1}
    only = replace(VALUE, lambda leaf: "hunter2" if leaf == PW else leaf)
    assert only == {"a": ("hunter2", {"b": Text(("x", ADDRESS, "y", "hunter2"))}), "c": 1}


def test_a_keyed_hash_does_not_make_two_references_different() -> None:
    assert Secret("env:PW", "abc") == PW
