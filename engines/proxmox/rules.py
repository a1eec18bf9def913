"""The way from one list of firewall rules to another, edit by edit. Pure.

Rules are addressed by position, and a new one always comes first. So it is put in switched off, moved to its place, and
only there switched on; what must go is taken away at the very end, from the last position on. No rule that stays is
ever missing, and none is ever in effect out of order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import orjson

from controller.blueprint.value import Value

Rule = Mapping[str, Value]
Rules = tuple[Rule, ...]


def edits(now: Sequence[Rule], wanted: Sequence[Rule]) -> list[dict[str, Value]]:
    """Each edit as a request part: what (`insert`, `move`, `switch`, `delete`), where, and the lists around it."""
    kept = _kept(now, wanted)
    found: list[dict[str, Value]] = []
    current = list(now)
    stays = [i in kept.values() for i in range(len(current))]
    place = 0
    for index, rule in enumerate(wanted):
        if index in kept:
            place = _nth(stays, index) + 1  # all that is wanted before it stands there already
            continue
        _bring(found, current, stays, rule, place)
        place += 1
    for position in reversed(range(len(current))):
        if not stays[position]:
            found.append(_edit("delete", position, current, [*current[:position], *current[position + 1 :]]))
            del current[position], stays[position]
    return found


def _kept(now: Sequence[Rule], wanted: Sequence[Rule]) -> dict[int, int]:
    """Index in `wanted` → index in `now`, for the rules that stay where they are."""
    blocks = SequenceMatcher(None, [_text(r) for r in now], [_text(r) for r in wanted], autojunk=False)
    return {b.b + i: b.a + i for b in blocks.get_matching_blocks() for i in range(b.size)}


def _nth(stays: Sequence[bool], number: int) -> int:
    """Position of the `number`-th rule that stays."""
    return [i for i, stay in enumerate(stays) if stay][number]


def _bring(found: list[dict[str, Value]], current: list[Rule], stays: list[bool], rule: Rule, place: int) -> None:
    off = {**rule, "enable": False}
    found.append(_edit("insert", 0, current, [off, *current], rule=off))
    current.insert(0, off)
    stays.insert(0, True)
    if place:
        moved = [*current[1 : place + 1], off, *current[place + 1 :]]
        found.append(_edit("move", 0, current, moved, to=place + 1))
        current[:] = moved
        stays.insert(place, stays.pop(0))
    if rule.get("enable"):
        on = [*current[:place], rule, *current[place + 1 :]]
        found.append(_edit("switch", place, current, on, enable=True))
        current[:] = on


def inverse(edit: Mapping[str, Value]) -> list[dict[str, Value]]:
    """The edits that take this one back."""
    before, after, place = edit["before"], edit["after"], int(str(edit["pos"]))
    assert isinstance(before, tuple)
    assert isinstance(after, tuple)
    if edit["edit"] == "insert":
        return [_edit("delete", 0, after, before)]
    if edit["edit"] == "move":
        return [_edit("move", int(str(edit["to"])) - 1, after, before, to=0)]
    if edit["edit"] == "switch":
        return [_edit("switch", place, after, before, enable=not edit["enable"])]
    found: list[dict[str, Value]] = []
    current = list(after)
    _bring(found, current, [True] * len(current), before[place], place)
    return found


def same(one: Sequence[Rule], other: Sequence[Rule]) -> bool:
    """True for equal lists, whatever kind of sequence holds them."""
    return [_text(r) for r in one] == [_text(r) for r in other]


def _text(rule: Rule) -> str:
    return orjson.dumps(dict(rule), option=orjson.OPT_SORT_KEYS, default=str).decode()


def _edit(what: str, pos: int, before: Sequence[Rule], after: Sequence[Rule], **more: Value) -> dict[str, Value]:
    return {"edit": what, "pos": pos, "before": tuple(before), "after": tuple(after), **more}
