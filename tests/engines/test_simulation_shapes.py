"""What each change does to users, and the requests that carry it: the whole table of the simulated platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controller.blueprint.entry import Disruption, Entry, Lifecycle, UpdateOrder
from controller.blueprint.value import Secret
from controller.plan.resource import ClaimKind
from controller.plan.step import Action, Effect
from engines.simulation.tamper import tamper
from engines.simulation.world import World
from tests.engines.conformance import CANARY, SECRET_REF, Stage, entry
from tests.engines.running import Runner
from tests.engines.simulated import SimulatedPlatform, keyed

REPLACE = ["stage create", "cut stop", "cut rename", "cut rename", "cut start", "retire remove"]
BESIDE = ["stage create", "cut start", "cut stop", "cut rename", "cut rename", "retire remove"]
SWAP = ["stage create", "cut rename", "cut rename", "retire remove"]
WEB = {"image": "web:1", "memory": "1GB", "ports": ["8080:80"]}
VM = {"image": "debian-13", "cpu": 2, "memory": "2GB", "storage": "20GB"}

SHAPES = [
    ("container", WEB, {**WEB, "memory": "2GB"}, Action.UPDATE, Disruption.IN_PLACE, ["cut update"]),
    ("container", WEB, {**WEB, "cpu": "500m"}, Action.UPDATE, Disruption.IN_PLACE, ["cut update"]),
    ("compute", WEB, {**WEB, "replicas": 3}, Action.UPDATE, Disruption.IN_PLACE, ["cut update"]),
    ("container", WEB, {**WEB, "image": "web:2"}, Action.UPDATE, Disruption.RESTART, REPLACE),
    ("container", WEB, {**WEB, "env": {"A": "1"}}, Action.UPDATE, Disruption.RESTART, REPLACE),
    ("service", {"image": "a:1"}, {"image": "a:1", "command": "serve"}, Action.UPDATE, Disruption.RESTART, BESIDE),
    ("database", {"image": "a:1"}, {"image": "a:2"}, Action.UPDATE, Disruption.RESTART, REPLACE),
    (
        "container",
        {**WEB, "storage": "2GB"},
        {**WEB, "storage": "3GB"},
        Action.UPDATE,
        Disruption.IN_PLACE,
        ["cut update"],
    ),
    ("container", {**WEB, "storage": "2GB"}, {**WEB, "storage": "1GB"}, Action.RECREATE, Disruption.DATA_LOSS, REPLACE),
    (
        "container",
        {**WEB, "address": "10.0.0.1"},
        {**WEB, "address": "10.0.0.2"},
        Action.RECREATE,
        Disruption.RECREATE,
        REPLACE,
    ),
    ("vm", VM, {**VM, "cpu": 4}, Action.UPDATE, Disruption.IN_PLACE, ["cut update"]),
    ("vm", VM, {**VM, "memory": "4GB"}, Action.UPDATE, Disruption.REBOOT, ["cut update", "cut reboot"]),
    ("vm", VM, {**VM, "image": "debian-14"}, Action.RECREATE, Disruption.DATA_LOSS, BESIDE),
    ("lxc", VM, {**VM, "memory": "4GB"}, Action.UPDATE, Disruption.IN_PLACE, ["cut update"]),
    ("volume", {"size": "2GB"}, {"size": "3GB"}, Action.UPDATE, Disruption.IN_PLACE, ["cut update"]),
    ("volume", {"size": "2GB"}, {"size": "1GB"}, Action.RECREATE, Disruption.DATA_LOSS, SWAP),
    ("storage", {"class": "fast"}, {"class": "slow"}, Action.RECREATE, Disruption.RECREATE, SWAP),
    ("network", {"cidr": "10.1.0.0/24"}, {"cidr": "10.2.0.0/24"}, Action.RECREATE, Disruption.RECREATE, SWAP),
    ("image", {"image": "a:1"}, {"image": "a:2"}, Action.RECREATE, Disruption.RECREATE, SWAP),
    ("manifest", {"data": {"a": "1"}}, {"data": {"a": "2"}}, Action.UPDATE, Disruption.IN_PLACE, ["cut update"]),
    ("manifest", {"kind": "A"}, {"kind": "B"}, Action.RECREATE, Disruption.RECREATE, ["cut remove", "cut create"]),
]


@pytest.fixture
def platform(tmp_path: Path) -> SimulatedPlatform:
    return SimulatedPlatform(tmp_path)


@pytest.fixture
async def stage(platform: SimulatedPlatform) -> Stage:
    engine = await platform.open()
    return Stage(platform, engine, Runner(engine, secrets={SECRET_REF: CANARY}))


def requests(effect: Effect) -> list[str]:
    return [f"{s.phase} {s.request['call']}" for s in effect.steps]


async def the_effect(stage: Stage, *entries: Entry) -> Effect:
    (effect,) = await stage.effects(entries)
    return effect


@pytest.mark.parametrize(("type_", "before", "after", "action", "disruption", "sent"), SHAPES)
async def test_a_change_is_told_by_its_effect_and_sent_in_this_shape(
    stage: Stage,
    type_: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
    action: Action,
    disruption: Disruption,
    sent: Sequence[str],
) -> None:
    await stage.bring((entry("it", type_, specs=before),))
    effect = await the_effect(stage, entry("it", type_, specs=after))
    assert (effect.action, effect.disruption, requests(effect)) == (action, disruption, sent)


def test_every_class_of_disruption_and_every_action_can_be_shown() -> None:
    shown = {row[4] for row in SHAPES} | {Disruption.NONE}
    assert shown == set(Disruption)


@pytest.mark.parametrize(
    ("type_", "made", "gone"),
    [
        ("container", ["stage create", "cut start"], ["cut stop", "retire remove"]),
        ("volume", ["stage create"], ["retire remove"]),
        ("manifest", ["cut create"], ["retire remove"]),
    ],
)
async def test_creating_and_destroying_have_the_shapes_of_the_contract(
    stage: Stage, type_: str, made: list[str], gone: list[str]
) -> None:
    one = entry("it", type_)
    create = await the_effect(stage, one)
    assert (create.action, create.disruption, requests(create)) == (Action.CREATE, Disruption.NONE, made)
    await stage.bring((one,))
    destroy = await the_effect(stage)
    assert (destroy.action, requests(destroy)) == (Action.DESTROY, gone)
    assert destroy.uid is not None


async def test_a_ceiling_below_reboot_leaves_the_value_pending_and_is_in_sync_then(stage: Stage) -> None:
    held = Lifecycle(max_disruption=Disruption.IN_PLACE)
    await stage.bring((entry("it", "vm", specs=VM),))
    grown = entry("it", "vm", specs={**VM, "memory": "4GB"}, lifecycle=held)
    effect = await the_effect(stage, grown)
    assert (effect.disruption, effect.reason) == (Disruption.IN_PLACE, "takes effect at the next reboot")
    await stage.bring((grown,))
    (seen,) = (await stage.look()).objects
    assert (seen.fields["memory"], seen.pending) == ("2GB", {"memory": "4GB"})
    waiting = await the_effect(stage, grown)
    assert (waiting.steps, waiting.reason) == ((), "restart pending")
    allowed = replace(grown, lifecycle=Lifecycle())
    due = await the_effect(stage, allowed)
    assert (requests(due), due.disruption) == (["cut reboot"], Disruption.REBOOT)
    await stage.bring((allowed,))
    (seen,) = (await stage.look()).objects
    assert (seen.fields["memory"], seen.pending) == ("4GB", {})


async def test_undoing_a_pending_write_takes_it_back(stage: Stage) -> None:
    await stage.bring((entry("it", "vm", specs=VM),))
    held = Lifecycle(max_disruption=Disruption.IN_PLACE)
    before = await stage.portrait()
    done = await stage.bring((entry("it", "vm", specs={**VM, "memory": "4GB"}, lifecycle=held),))
    assert await stage.portrait() != before
    await stage.runner.undo(done)
    assert await stage.portrait() == before


async def test_a_stopped_object_is_drift_and_is_started(stage: Stage, platform: SimulatedPlatform) -> None:
    one = entry("it", "container", specs=WEB)
    await stage.bring((one,))
    (wanted,) = stage.wanted((one,))
    await tamper(World(platform.path), wanted.key, "running", False)
    effect = await the_effect(stage, one)
    assert (requests(effect), effect.fields[0].path) == (["cut start"], "running")
    await stage.bring((one,))
    assert (await the_effect(stage, one)).steps == ()


async def test_an_ignored_field_is_left_as_it_is_also_by_a_replacement(stage: Stage) -> None:
    ignoring = Lifecycle(ignore=("memory",))
    one = entry("it", "container", specs=WEB, lifecycle=ignoring)
    await stage.bring((one,))
    (wanted,) = stage.wanted((one,))
    await stage.harness.tamper(wanted.key, "memory")
    assert (await the_effect(stage, one)).steps == ()
    await stage.bring((replace(one, specs={**WEB, "image": "web:2"}),))
    (seen,) = (await stage.look()).objects
    assert (seen.fields["image"], seen.fields["memory"]) == ("web:2", "2GB")


async def test_the_ways_to_write_a_disk_in_ignore_all_mean_the_same(stage: Stage) -> None:
    for word in ("disk", "storage", "specs.disk", "specs.storage"):
        (wanted,) = stage.wanted((entry("it", "vm", specs=VM, lifecycle=Lifecycle(ignore=(word,))),))
        assert wanted.lifecycle.ignore == ("storage",)


async def test_an_external_object_is_used_and_never_changed(stage: Stage) -> None:
    shared = entry("data", "volume", specs={"external": True, "name": "shared", "size": "1GB"})
    missing = await the_effect(stage, shared)
    assert (missing.steps, missing.reason) == ((), "simulation/volume:shared is external and not there")
    (wanted,) = stage.wanted((shared,))
    await stage.harness.foreign(wanted)
    there = await the_effect(stage, replace(shared, specs={**shared.specs, "size": "9GB"}))
    assert (there.steps, there.reason) == ((), "")
    assert await stage.effects(()) == ()


async def test_a_start_that_cannot_be_undone_says_so(stage: Stage) -> None:
    effect = await the_effect(stage, entry("it", "container", specs={**WEB, "simulate": {"irreversible": True}}))
    assert effect.irreversible


async def test_what_a_swap_costs_is_told(stage: Stage) -> None:
    one = entry("it", "container", specs={**WEB, "volumes": ["data:/var/lib/it"]})
    await stage.bring((one,))
    effect = await the_effect(stage, replace(one, specs={**one.specs, "image": "web:2"}))
    assert effect.down_s == 2
    assert effect.lost == ("what the new version writes to data:/var/lib/it stays after undo",)


async def test_start_first_where_asked_for_starts_the_new_one_before_the_old_one_stops(stage: Stage) -> None:
    one = entry("it", "database", specs={"image": "db:1"}, lifecycle=Lifecycle(update=UpdateOrder.START_FIRST))
    await stage.bring((one,))
    effect = await the_effect(stage, replace(one, specs={"image": "db:2"}))
    assert requests(effect) == BESIDE
    assert effect.steps[1].check is not None
    assert effect.down_s == 0


async def test_a_destroy_frees_what_its_stop_lets_go(stage: Stage) -> None:
    await stage.bring((entry("it", "container", specs={**WEB, "address": "10.0.0.9"}),))
    effect = await the_effect(stage)
    assert {c.kind for c in effect.frees} == {ClaimKind.PORT, ClaimKind.ADDRESS}


async def test_secrets_are_compared_by_keyed_hash_and_shown_as_sensitive(stage: Stage) -> None:
    def wanting(text: str) -> Entry:
        secret = Secret(SECRET_REF, keyed(text).keyed_hash)
        return entry("it", "container", specs={"image": "a:1", "env": {"KEY": secret}})

    await stage.bring((wanting(CANARY),))
    assert (await the_effect(stage, wanting(CANARY))).steps == ()
    changed = await the_effect(stage, wanting("another value"))
    assert [(c.path, c.sensitive) for c in changed.fields] == [("env.KEY", True)]


async def test_a_formerly_that_keeps_its_name_only_moves_the_mark(stage: Stage) -> None:
    await stage.bring((entry("web", "container", specs={**WEB, "name": "fixed"}),))
    effect = await the_effect(stage, entry("front", "container", specs={**WEB, "name": "fixed"}))
    assert (requests(effect), effect.fields[0].path, effect.disruption) == (["cut mark"], "id", Disruption.NONE)


async def test_outputs_depend_on_the_name_alone(stage: Stage) -> None:
    one = entry("web", "container", specs=WEB)
    await stage.bring((one,))
    (first,) = (await stage.look()).objects
    await stage.bring((replace(one, specs={**WEB, "image": "web:2"}),))
    (second,) = (await stage.look()).objects
    assert first.outputs["address"] == second.outputs["address"]
    assert (second.outputs["port"], second.outputs["id"]) == (8080, second.uid)
    assert second.outputs["url"] == f"http://{second.outputs['address']}:8080"
