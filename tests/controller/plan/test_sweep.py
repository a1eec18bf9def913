"""Parts told apart, and the order of a sweep."""

from __future__ import annotations

from dataclasses import replace

from controller.plan.resource import (
    Claim,
    ClaimKind,
    Gap,
    Mark,
    ObjectKey,
    Part,
    ResourceId,
    Seen,
    Snapshot,
)
from controller.plan.step import Effect, Expect, Phase, Step
from controller.plan.sweep import Leftovers, leftovers, put_back, removal, reported, sweep_plan

PORT = Claim(ClaimKind.PORT, "80/tcp")
CURRENT, STAGED, KEPT = Part.CURRENT, Part.STAGED, Part.KEPT


def part(name: str, kind: Part, resource: str = "prod/shop/web", **more: object) -> Seen:
    mark = Mark("home", "prod", resource, "op")
    base = Seen(ObjectKey("box", name), f"uid-{name}", None, mark, kind, frozenset(), {})
    return replace(base, **more)  # type: ignore[arg-type]  # the fields of Seen, as the test names them


def own_key(key: ObjectKey) -> ObjectKey:
    return ObjectKey(key.kind, key.name.split(".")[0])


def told_apart(*objects: Seen, clash: str = "") -> Leftovers:
    return leftovers(objects, "home", "prod", own_key, lambda kept, other: clash)


def test_a_kept_part_without_a_current_object_is_stranded() -> None:
    staged, kept = part("web.r1.new", STAGED), part("web.r1.old", KEPT)
    assert told_apart(staged, kept) == Leftovers((staged,), (kept,), ())


def test_a_current_object_of_the_same_name_keeps_a_part_where_it_is_whoever_owns_it() -> None:
    kept = part("web.r1.old", KEPT)
    for other in (part("web", CURRENT), part("web", CURRENT, mark=None)):
        assert told_apart(kept, other).doubtful == ((kept, "web stands in its place"),)


def test_a_current_object_of_the_same_resource_under_a_new_name_does_too() -> None:
    kept = part("web.r1.old", KEPT)
    assert told_apart(kept, part("renamed", CURRENT)).doubtful == ((kept, "renamed stands in its place"),)
    assert told_apart(kept, part("db", CURRENT, "prod/shop/db")).stranded == (kept,)


def test_two_kept_of_one_object_are_both_left_to_a_person() -> None:
    first, second = part("web.r1.old", KEPT), part("web.r2.old", KEPT)
    found = told_apart(first, second)
    assert not found.stranded
    assert {s.uid for s, _ in found.doubtful} == {first.uid, second.uid}


def test_what_it_would_take_from_another_keeps_a_part_where_it_is() -> None:
    kept = part("web.r1.old", KEPT)
    found = told_apart(kept, part("db", CURRENT, "prod/shop/db"), clash="port 80/tcp")
    assert found.doubtful == ((kept, "port 80/tcp is in use by db"),)


def test_what_a_task_is_at_work_on_is_not_left_over_yet() -> None:
    assert told_apart(part("web.r1.new", STAGED, task="task-1")) == Leftovers()


def effects(*, port_of_staged: bool = False) -> tuple[Effect, ...]:
    def step(seen: Seen) -> Step:
        return Step(Phase.CUT, seen.key, Expect(uid=seen.uid), {"call": "x"})

    staged, kept = part("web.r1.new", STAGED), part("web.r1.old", KEPT)
    frees = frozenset({PORT}) if port_of_staged else frozenset()
    return (
        removal(staged, [step(staged)], frees),
        put_back(kept, own_key(kept.key), [step(kept)], frozenset({PORT})),
        reported(part("db.r1.old", KEPT, "prod/shop/db"), "db stands in its place"),
    )


def test_what_users_miss_comes_back_before_the_rest_is_tidied_up() -> None:
    plan = sweep_plan("prod", "abc", {"one": Snapshot()}, {"one": effects()})
    assert [c.effect.key.name for c in plan.changes] == ["web", "web.r1.new"]


def test_what_holds_something_it_needs_goes_first() -> None:
    plan = sweep_plan("prod", "abc", {"one": Snapshot()}, {"one": effects(port_of_staged=True)})
    assert [c.effect.key.name for c in plan.changes] == ["web.r1.new", "web"]


def test_what_a_gap_could_hide_waits_for_a_whole_reading() -> None:
    """I9: a current object may stand where the reading failed."""
    gapped = Snapshot(gaps=(Gap("box", "cut short"),))
    plan = sweep_plan("prod", "abc", {"one": gapped}, {"one": effects()})
    assert not plan.changes


def test_a_sweep_needs_no_clearance_for_its_put_back_and_names_what_it_leaves() -> None:
    plan = sweep_plan("prod", "abc", {"one": Snapshot()}, {"one": effects()})
    assert [c.destructive for c in plan.changes if c.effect.key.name == "web"] == [False]
    (notice,) = plan.notices
    assert notice.resource == ResourceId("prod", "shop", "db")
    assert "db.r1.old" in notice.text and "by hand" in notice.text
    assert (plan.fingerprint, plan.total) == ("", 3)
