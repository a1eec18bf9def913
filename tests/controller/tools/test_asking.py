"""Words become one verb of the grammar, or a question back; what destroys is never done from words (M29, M30, I30)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.loader import load_scope
from controller.blueprint.repository import ScopeConfig
from controller.errors import AlmaError, InvalidInput, RefusedByPolicy
from controller.review.command_answer import VerbKind
from controller.runtime.command import VERBS
from controller.tools.asking import Risk, risk_of, taken

TEXT = """\
name: shop
resources:
  - {name: web, type: container, specs: {image: "web:1", cpus: 2, memory: 1GB, replicas: 2}}
  - {name: db, type: database, specs: {image: "pg:15", memory: 4GB}}
"""
ENTRIES = load_scope({"a.yaml": TEXT.encode()}, ScopeConfig("prod", ".")).entries
WEB, DB = "prod/shop/web", "prod/shop/db"


@pytest.mark.parametrize(
    ("words", "changed", "before", "args"),
    [
        ("scale it to 5", (), ("the web server is slow", "what of db?"), (WEB, "replicas=5")),
        ("scale it to 5", (), ("hm", "the db is fine"), (DB, "replicas=5")),
        ("please scale web up to 5 copies", (DB,), (), (WEB, "replicas=5")),
        ("scale it to 5", (WEB,), (), (WEB, "replicas=5")),
        ("set memory of db to 8GB", (), (), (DB, "memory=8GB")),
        ("raise db's memory to 8GB", (), (), (DB, "memory=8GB")),
        ("set the cpu of shop/web to 4", (), (), (WEB, "cpus=4")),
        ("lower its memory to 512MB", (WEB,), (), (WEB, "memory=512MB")),
        ("update the image of web to web:2", (), (), (WEB, "image=web:2")),
    ],
)
def test_a_wish_is_taken_for_one_field_of_the_resource_in_focus(
    words: str, changed: tuple[str, ...], before: tuple[str, ...], args: tuple[str, ...], report_n: Callable[..., None]
) -> None:
    found = taken(words, ENTRIES, changed, before)
    assert (found.verb, found.args) == ("set", args) and args[0] in found.said
    report_n("M29 focus", 1)


@pytest.mark.parametrize(
    ("words", "before"),
    [("scale it to 5", ()), ("scale it to 5", ("web and db are slow",)), ("scale cache to 5", ("web is slow",))],
)
def test_where_none_or_two_fit_it_asks_back(words: str, before: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="which resource is meant"):
        taken(words, ENTRIES, (WEB, DB), before)


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        ("what does it cost?", "cost"),
        ("is it safe!!", "audit"),
        ("WHY DID IT FAIL", "troubleshoot"),
        ("does it fit on the host?", "capacity"),
        ("hello", "explain"),
    ],
)
def test_a_question_is_answered_whatever_its_tone(words: str, verb: str) -> None:
    assert taken(words, ENTRIES, (), ()).verb == verb


@pytest.mark.parametrize(
    ("words", "risk"),
    [
        ("delete the db", Risk.CONFIRM),
        ("delete the db right now!!", Risk.BLOCK),
        ("DELETE THE DAMN DB", Risk.BLOCK),
        ("please remove web", Risk.CONFIRM),
        ("scale web to 3 asap!!", Risk.ALLOW),
        ("what does it cost, damn it!!", Risk.ALLOW),
    ],
)
def test_risk_goes_by_the_act_and_then_by_the_tone(words: str, risk: Risk, report_n: Callable[..., None]) -> None:
    assert risk_of(words) is risk
    if risk is not Risk.ALLOW:
        with pytest.raises(RefusedByPolicy, match="haste or anger" if risk is Risk.BLOCK else "words alone do not"):
            taken(words, ENTRIES, (), ("db",))
    report_n("M30 risk", 1)


def test_nothing_left_is_destroyed_too() -> None:
    with pytest.raises(RefusedByPolicy):
        taken("scale web to 0", ENTRIES, (), ())


@given(st.text(max_size=200))
def test_no_text_becomes_an_act(words: str) -> None:
    """Not a confirm, not a deploy, not a rollback: only what reads, and a commit that a review judges."""
    try:
        found = taken(words, ENTRIES, (), ())
    except AlmaError:
        return
    assert found.verb == "set" or VERBS[found.verb].kind is VerbKind.READ


@pytest.mark.parametrize("verb", [v.name for v in VERBS.values() if v.kind is VerbKind.ACT])
def test_asking_for_an_act_by_its_name_is_no_act(verb: str) -> None:
    assert VERBS[taken(f"{verb} everything for web", ENTRIES, (), ()).verb].kind is VerbKind.READ
