"""The text and JSON of a plan: formats of design.md 4."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from controller.blueprint.entry import Disruption
from controller.blueprint.value import Output, Secret, Text
from controller.plan.change import Notice, Plan
from controller.plan.resource import Masked, ResourceId
from controller.plan.step import Action, FieldChange
from controller.review.plan_text import LineKind, plan_lines, plan_text, plans_json
from tests.controller.review.making import DB, DIGEST, WEB, change, plan


def test_an_update_reads_as_the_design_shows_it() -> None:
    web = change(fields=(FieldChange("image", "web:1.4", "web:1.5"),), wave=2, down_s=2)
    assert plan_text(plan(web)).splitlines() == [
        "  ~ prod/shop/web   docker/container   restart   ~2 s down   wave 2",
        '      image  "web:1.4" → "web:1.5"',
        "Plan: 0 to create, 1 to update, 0 to recreate, 0 to destroy. Disruption: restart. Digest: 4f0c12ab34cd",
    ]


def test_columns_are_aligned_over_all_changes() -> None:
    lines = [line.text for line in plan_lines(plan(DB, WEB)) if line.kind in (LineKind.CREATE, LineKind.UPDATE)]
    assert lines[0].startswith("  + prod/shop/db ") and lines[1].startswith("  ~ prod/shop/web")
    assert lines[0].index("wave") == lines[1].index("wave")


@pytest.mark.parametrize(
    ("action", "symbol"),
    [
        (Action.CREATE, "  + "),
        (Action.UPDATE, "  ~ "),
        (Action.RECREATE, "-/+ "),
        (Action.DESTROY, "  - "),
        (Action.ADOPT, " <= "),
        (Action.FORGET, "  / "),
    ],
)
def test_each_action_has_its_symbol(action: Action, symbol: str) -> None:
    assert plan_text(plan(change(action=action))).startswith(symbol)


def test_adopts_and_forgets_are_counted_only_when_there_are_some() -> None:
    text = plan_text(plan(change(action=Action.ADOPT), change("prod/shop/b", Action.FORGET)))
    assert "0 to destroy, 1 to adopt, 1 to forget. Disruption" in text
    assert "to adopt" not in plan_text(plan(WEB))


def test_an_empty_plan_is_its_summary() -> None:
    zero = "Plan: 0 to create, 0 to update, 0 to recreate, 0 to destroy."
    assert plan_text(plan()) == f"{zero} Disruption: none. Digest: 4f0c12ab34cd\n"


@pytest.mark.parametrize(
    "field",
    [
        FieldChange("env.X", "hunter2hunter2", "hunter3hunter3", sensitive=True),
        FieldChange("env.X", Masked("k1"), Secret("env:X")),
        FieldChange("env.DB_PASSWORD", "hunter2hunter2", "hunter3hunter3"),
        FieldChange("env.X", "hunter2hunter2", Text(("postgres://app:", Secret("env:P"), "@db"))),
        FieldChange("env.URL", "postgres://app:hunter2hunter2@db/app", None),
    ],
)
def test_a_secret_shows_on_neither_side(field: FieldChange) -> None:
    one = plan(change(fields=(field,)))
    for text in (plan_text(one), json.dumps(plans_json([one]))):
        assert "hunter" not in text and "(secret)" in text and "k1" not in text
    assert plans_json([one])["changes"][0]["fields"][0]["sensitive"] is True  # type: ignore[index] # JSON is untyped


def test_reasons_losses_and_notices_have_lines_of_their_own() -> None:
    one = Plan(
        "prod",
        "a",
        (change(reason="limits changed", lost=("anonymous volume x",)),),
        DIGEST,
        "",
        notices=(Notice(ResourceId.parse("prod/shop/db"), "newer image"),),
    )
    assert [(line.kind, line.text) for line in plan_lines(one)][1:4] == [
        (LineKind.REASON, "      because  limits changed"),
        (LineKind.LOST, "      lost  anonymous volume x"),
        (LineKind.NOTICE, "  i prod/shop/db   newer image"),
    ]


def test_several_objects_of_one_resource_are_told_apart() -> None:
    two = plan(change(object_name="web-a"), change(object_name="web-b"))
    assert plan_text(two).splitlines()[0].endswith("wave 0   web-a")


def test_an_unknown_output_is_shown_as_it_is_written() -> None:
    field = FieldChange("env.DB", None, Output("prod/shop/db", "address"))
    assert "${prod/shop/db.outputs.address}" in plan_text(plan(change(fields=(field,))))


def test_one_plan_is_alma_plan_and_several_are_alma_plans() -> None:
    one = plans_json([plan(DB, WEB)])
    assert one["format"] == "alma.plan/v1" and one["digest"] == DIGEST
    assert list(one) == ["format", "scope", "revision", "digest", "changes", "notices", "summary"]
    several = plans_json([plan(DB), plan(WEB, scope="edge")])
    assert several["format"] == "alma.plans/v1" and len(several["plans"]) == 2  # type: ignore[arg-type] # JSON is untyped
    json.dumps([one, several])


def test_the_json_of_a_change_has_the_keys_of_the_contract() -> None:
    changes = plans_json([plan(WEB)])["changes"]
    assert isinstance(changes, list)
    assert list(changes[0]) == [
        "resource",
        "kind",
        "target",
        "action",
        "disruption",
        "wave",
        "object",
        "fields",
        "reason",
        "lost",
    ]


HOSTILE = ["\x1b[2J", "\x1b]8;;http://x\x07", "\x9b31m", "\u202eevil", "a\rb", "a\nPlan: 0 to create", "\x00", "\u200b"]


def test_no_text_from_outside_reaches_the_terminal_as_a_control(report_n: Callable[..., None]) -> None:
    """E26: escapes, line breaks and bidi controls in every field that others write."""
    points = 0
    for bad in HOSTILE:
        field = FieldChange(f"env.{bad}", bad, bad * 2)
        one = change(fields=(field,), reason=bad, lost=(bad,), kind=f"docker/{bad}", disruption=Disruption.NONE)
        lines = [line.text for line in plan_lines(plan(one))]
        assert all(c.isprintable() for line in lines for c in line), bad
        assert len(lines) == 5
        points += 7
    report_n("E26 terminal", points)
