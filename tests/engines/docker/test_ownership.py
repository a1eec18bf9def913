"""What is not ours is neither changed nor deleted, whatever it looks like (I16, E28)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from controller.blueprint.entry import Lifecycle, OnDelete
from controller.plan.resource import Mark, MarkLifecycle, Part, Snapshot
from controller.plan.step import Action, Effect
from engines.docker import marks, observe, preview
from engines.docker.preview import Source
from tests.engines.docker.driving import INSTALL, SCOPE, desired, entry, mask, web

NAMES = ["web", "api", "db", "cache"]
SOURCES = {"alma-test/web:1.0": Source("sha256:" + "a" * 64, pull=False)}


def label_sets(rng: random.Random, resource: str) -> dict[str, str]:
    """Labels of one object: whole, of others, look-alike or damaged."""
    whole = marks.labels(Mark(INSTALL, SCOPE, f"{SCOPE}/shop/{resource}", "op1234567890", MarkLifecycle()))
    kinds: list[dict[str, str | None]] = [
        {},
        {},
        {marks.INSTALL: None},
        {marks.INSTALL: "other"},
        {marks.INSTALL: "Home"},
        {marks.SCOPE: None},
        {marks.SCOPE: "staging"},
        {marks.RESOURCE: None},
        {marks.RESOURCE: "web"},
        {marks.RESOURCE: f"other/shop/{resource}"},
        {marks.OP: None},
        {marks.OP: ""},
        {marks.FIELDS: "not json"},
        {marks.FIELDS: "{}"},
        {marks.ON_DELETE: "explode"},
        dict.fromkeys(whole),
    ]
    found: dict[str, str | None] = {**whole, **rng.choice(kinds)}
    return {k: v for k, v in found.items() if v is not None}


def raw_container(rng: random.Random, number: int, name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "Id": f"{number:064x}",
        "Name": f"/{name}",
        "Config": {"Image": rng.choice(["alma-test/web:1.0", "other:2"]), "Labels": labels, "Env": ["A=b"]},
        "HostConfig": {"RestartPolicy": {"Name": rng.choice(["no", "always"])}, "Memory": rng.choice([0, 64 << 20])},
        "State": {"Status": "running", "Running": rng.random() < 0.8},
        "NetworkSettings": {},
    }


def world(rng: random.Random) -> Snapshot:
    """Containers, networks and volumes under our names and others, marked well, badly or not at all."""
    objects = []
    for number in range(rng.randrange(1, 8)):
        name = rng.choice([f"{SCOPE}-shop-{rng.choice(NAMES)}", "legacy", "db"])
        ending = rng.choice(["", "", "", ".run9.new", ".run9.old"])
        labels = label_sets(rng, rng.choice(NAMES))
        raw = raw_container(rng, number, name + ending, labels)
        objects.append(observe.owned_container(raw, {}, {}, INSTALL, mask, "127.0.0.1"))
    for number in range(rng.randrange(0, 4)):
        labels = label_sets(rng, rng.choice(["data", "front"]))
        raw = {"Name": f"{SCOPE}-shop-data{number}", "Id": f"n{number}", "Labels": labels, "Driver": "local"}
        objects.append(observe.other(rng.choice(["docker/volume", "docker/network"]), raw, {}, INSTALL))
    return Snapshot(tuple({o.key: o for o in objects}.values()))


def plan_of(rng: random.Random, seen: Snapshot) -> tuple[Effect, ...]:
    entries = [web(n) for n in NAMES if rng.random() < 0.6]
    entries += [entry("data0", "volume")] if rng.random() < 0.3 else []
    entries = [replace(e, lifecycle=Lifecycle(on_delete=rng.choice(list(OnDelete)))) for e in entries]
    wanted = [d for d in desired(entries) if d.key.kind != "docker/volume" or _driver_agrees(d.key, seen)]
    found = preview.matches(wanted, seen, SCOPE)
    return preview.effects(found, seen, SCOPE, SOURCES)


def _driver_agrees(key: object, seen: Snapshot) -> bool:
    return all(s.key != key or s.fields.get("driver") == "local" for s in seen.objects)


def test_no_random_plan_touches_what_is_not_ours(report_n: Callable[..., None]) -> None:
    """Every step is bound to the uid of a whole mark of this scope, or demands that nothing is there."""
    total = 1500
    rng = random.Random(28)
    for _ in range(total):
        seen = world(rng)
        ours = {s.uid for s in seen.objects if s.mark and s.mark.scope == SCOPE and s.part is Part.CURRENT}
        foreign = {s.key for s in seen.objects if s.uid not in ours}
        for effect in plan_of(rng, seen):
            assert effect.uid is None or effect.uid in ours
            assert effect.action is not Action.DESTROY or effect.uid in ours
            made = {s.key for s in effect.steps if s.expects.absent}
            for step in effect.steps:
                assert step.expects.uid in ours or step.expects.absent or step.key in made or "${run}" in step.key.name
                if step.key in foreign:
                    assert step.expects.absent or step.key in made
    report_n("E28 docker", total)


def test_a_mark_counts_only_when_it_is_whole() -> None:
    whole = marks.labels(Mark(INSTALL, SCOPE, f"{SCOPE}/shop/web", "op"))
    assert marks.read(whole, INSTALL) is not None
    for key in (marks.INSTALL, marks.SCOPE, marks.RESOURCE, marks.OP):
        assert marks.read({k: v for k, v in whole.items() if k != key}, INSTALL) is None
    assert marks.read(whole, "other") is None
    assert marks.read(None, INSTALL) is None


def test_a_mark_survives_its_labels() -> None:
    mark = Mark(
        INSTALL,
        SCOPE,
        f"{SCOPE}/shop/web",
        "op",
        MarkLifecycle(True, OnDelete.RETAIN),
        frozenset({"env.A", "mounts./a b,c"}),
        frozenset({"env.A"}),
    )
    assert marks.read(marks.labels(mark), INSTALL) == mark


def test_the_newest_note_overrides_the_labels() -> None:
    own = Mark(INSTALL, SCOPE, f"{SCOPE}/shop/web", "op")
    later = replace(own, resource=f"{SCOPE}/shop/site")
    volumes = [
        {"Name": marks.note_name("u", n), "Labels": marks.note_labels("u", n, m, INSTALL, "op")}
        for n, m in ((2, later), (10, None), (1, own))
    ]
    assert marks.effective(marks.labels(own), "u", INSTALL, marks.notes(volumes[:1], INSTALL)) == later
    assert marks.effective(marks.labels(own), "u", INSTALL, marks.notes(volumes, INSTALL)) is None
    assert marks.effective(marks.labels(own), "u", INSTALL, marks.notes(volumes, "other")) is not None


def test_a_foreign_container_hides_what_looks_secret() -> None:
    raw = raw_container(random.Random(1), 1, "legacy", {})
    raw["Config"]["Env"] = ["DB_PASSWORD=c4nary", "URL=https://me:c4nary@host/x", "PLAIN=shown"]
    raw["Config"]["Cmd"] = ["serve", "--token=c4nary"]
    seen = observe.owned_container(raw, {}, {}, INSTALL, mask, "127.0.0.1")
    assert "c4nary" not in repr(seen)
    assert seen.fields["env.PLAIN"] == "shown"
