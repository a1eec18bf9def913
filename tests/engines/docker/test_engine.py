"""Against a real Docker Engine: create, replace, destroy, undo, ownership."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.blueprint.entry import Disruption, Lifecycle, OnDelete, Probe, ProbeKind
from controller.plan.health import HealthState
from controller.plan.resource import Part
from controller.plan.step import Action, Phase
from engines.docker.engine import DockerEngine
from engines.engine import EngineError
from tests.engines.docker.driving import (
    Run,
    deploy,
    entry,
    key,
    observe,
    only,
    plan,
    still_to_do,
    web,
    with_specs,
)
from tests.servers.dockerd import DockerDaemon

pytestmark = pytest.mark.docker

FRONT = entry("front", "network")
DATA = entry("data", "volume")


def containers(host: DockerDaemon) -> dict[str, Any]:
    """Name → id of every container on the host."""
    return {c["Names"][0].removeprefix("/"): c["Id"] for c in host.api.containers(all=True)}


async def test_what_was_created_previews_to_no_step(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    full = web(
        env={"COLOUR": "red", "NUMBER": 3},
        ports=["127.0.0.1:18080:8080"],
        networks=["front"],
        volumes=["data:/data"],
        tmpfs=["/run:size=1m,mode=1777"],
        restart="unless-stopped",
        cpu="500m",
        memory="64MB",
        pids=50,
        cap_drop=["ALL"],
        labels={"tier": "web"},
        ulimits={"nofile": {"soft": 512, "hard": 1024}},
        healthcheck={"test": ["CMD", "true"], "interval": "1s", "retries": 2},
        files={"/etc/app/app.conf": "answer = 42\n", "/etc/app/key": {"content": "k", "mode": "0600"}},
        extra_hosts=["db.local:10.0.0.9"],
        hostname="web-1",
        user="0",
        init=True,
        shm_size="8MB",
        logging={"driver": "json-file", "options": {"max-size": "1m"}},
    )
    entries = [FRONT, DATA, full]
    effects = await deploy(engine, entries)
    assert {e.action for e in effects} == {Action.CREATE}
    assert await still_to_do(engine, entries) == []
    found = docker_host.api.inspect_container("prod-shop-web")
    assert found["State"]["Running"]
    assert found["HostConfig"]["Memory"] == 64 * 1024**2


async def test_a_new_image_replaces_the_container_and_keeps_the_old_until_retire(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    one = web(ports=["18081:8080"])
    await deploy(engine, [one])
    before = containers(docker_host)["prod-shop-web"]
    effect = only(await plan(engine, [with_specs(one, image="alma-test/web:1.1")]), "web")
    assert (effect.action, effect.disruption, effect.uid) == (Action.UPDATE, Disruption.RESTART, before)
    assert [c.path for c in effect.fields] == ["image"]
    assert effect.down_s and effect.down_s > 0
    run = Run(engine, "run2")
    await run.carry_out([effect], [Phase.STAGE, Phase.CUT])
    assert containers(docker_host)["prod-shop-web.run2.old"] == before
    parts = {s.key.name: s.part for s in (await observe(engine)).objects}
    assert parts == {"prod-shop-web": Part.CURRENT, "prod-shop-web.run2.old": Part.KEPT}
    await run.carry_out([effect], [Phase.RETIRE])
    assert set(containers(docker_host)) == {"prod-shop-web"}
    assert await still_to_do(engine, [with_specs(one, image="alma-test/web:1.1")]) == []


async def test_an_undone_replacement_leaves_the_same_container_running(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    one = web(ports=["18082:8080"], restart="always", memory="32MB")
    await deploy(engine, [one])
    before = docker_host.api.inspect_container("prod-shop-web")
    run = Run(engine, "run2")
    await run.carry_out(await plan(engine, [with_specs(one, image="alma-test/web:1.1")]), [Phase.STAGE, Phase.CUT])
    await run.undo()
    after = docker_host.api.inspect_container("prod-shop-web")
    assert set(containers(docker_host)) == {"prod-shop-web"}
    assert (after["Id"], after["State"]["Running"]) == (before["Id"], True)
    assert after["HostConfig"] == before["HostConfig"]
    assert await still_to_do(engine, [one]) == []


async def test_limits_and_restart_policy_change_in_place(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    one = web(memory="32MB", cpu=1, restart="always")
    await deploy(engine, [one])
    before = containers(docker_host)
    changed = with_specs(one, memory="128MB", cpu="250m", restart="unless-stopped")
    effects = await deploy(engine, [changed], "run2")
    assert only(effects, "web").disruption is Disruption.IN_PLACE
    assert containers(docker_host) == before
    assert await still_to_do(engine, [changed]) == []
    back = await deploy(engine, [one], "run3")
    assert only(back, "web").disruption is Disruption.IN_PLACE
    assert await still_to_do(engine, [one]) == []


async def test_an_undone_update_restores_the_limits(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    one = web(memory="32MB", restart="always")
    await deploy(engine, [one])
    run = Run(engine, "run2")
    await run.carry_out(await plan(engine, [with_specs(one, memory="64MB", restart="no")]))
    assert len(run.done) == 1
    await run.undo()
    assert await still_to_do(engine, [one]) == []


async def test_what_nobody_wants_is_destroyed_containers_first(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    await deploy(engine, [FRONT, DATA, web(networks=["front"], volumes=["data:/data"])])
    effects = await plan(engine, [])
    assert {e.action for e in effects} == {Action.DESTROY}
    assert only(effects, "data").disruption is Disruption.DATA_LOSS
    assert only(effects, "web").order < only(effects, "front").order < only(effects, "data").order
    await Run(engine, "run2").carry_out(sorted(effects, key=lambda e: e.order))
    assert containers(docker_host) == {}
    assert (await observe(engine)).objects == ()


async def test_a_retained_object_is_forgotten_and_stays(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    retained = replace(web(), lifecycle=Lifecycle(on_delete=OnDelete.RETAIN))
    await deploy(engine, [retained])
    effects = await deploy(engine, [], "run2")
    assert only(effects, "web").action is Action.FORGET
    assert set(containers(docker_host)) == {"prod-shop-web"}
    assert (await observe(engine)).objects == ()


async def test_a_changed_lifecycle_is_noted_without_a_replacement(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    await deploy(engine, [web()])
    before = containers(docker_host)
    for number, lifecycle in enumerate((Lifecycle(protect=True), Lifecycle(on_delete=OnDelete.RETAIN), Lifecycle())):
        changed = replace(web(), lifecycle=lifecycle)
        effects = await deploy(engine, [changed], f"run{number}")
        assert only(effects, "web").disruption is Disruption.NONE
        assert await still_to_do(engine, [changed]) == []
    assert containers(docker_host) == before
    notes = [v for v in docker_host.api.volumes()["Volumes"] if v["Name"].startswith("alma-note-")]
    assert len(notes) == 1


async def test_a_renamed_resource_is_replaced_under_its_new_name(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    await deploy(engine, [web()])
    moved = replace(web("site"), formerly=("prod/shop/web",))
    effects = await deploy(engine, [moved], "run2")
    assert effects[0].fields[0].path == "id"
    assert set(containers(docker_host)) == {"prod-shop-site"}
    assert await still_to_do(engine, [moved]) == []


async def test_adopting_takes_only_the_object_that_was_named(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    made = docker_host.api.create_container("alma-test/web:1.0", name="legacy")["Id"]
    docker_host.api.start(made)
    one = web(name="web")
    one = replace(one, specs={"image": "alma-test/web:1.0", "name": "legacy"})
    for unnamed in (one, replace(one, adopt="0" * 64)):
        effect = only(await plan(engine, [unnamed]), "web")
        assert effect.action is Action.CREATE and "adopt: ID" in effect.reason
    adopted = replace(one, adopt=made)
    effects = await deploy(engine, [adopted], "run2")
    assert effects[0].action is Action.ADOPT
    assert containers(docker_host) == {"legacy": made}
    assert await still_to_do(engine, [one]) == []


async def test_a_container_stopped_by_hand_is_started_again(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    await deploy(engine, [web()])
    docker_host.api.stop("prod-shop-web", timeout=5)
    effects = await deploy(engine, [web()], "run2")
    assert [c.path for c in effects[0].fields] == ["running"]
    assert await still_to_do(engine, [web()]) == []


async def test_an_image_that_does_not_exist_fails_before_anything_stops(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    one = web(ports=["18083:8080"])
    await deploy(engine, [one])
    before = docker_host.api.inspect_container("prod-shop-web")
    run = Run(engine, "run2")
    with pytest.raises(EngineError, match="cannot be pulled"):
        await run.carry_out(await plan(engine, [with_specs(one, image="127.0.0.1:1/none:9")]))
    await run.undo()
    after = docker_host.api.inspect_container("prod-shop-web")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert set(containers(docker_host)) == {"prod-shop-web"}


async def test_health_is_what_the_probe_says(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    good, deaf = web(ports=["18084:8080"]), web("deaf", "alma-test/web:broken", ports=["18085:8080"])
    await deploy(engine, [good, deaf])
    http, exec_ = Probe(ProbeKind.HTTP, port=8080), Probe(ProbeKind.EXEC, command=("true",))
    assert (await engine.check(key("prod-shop-web"), http)).state is HealthState.HEALTHY
    assert (await engine.check(key("prod-shop-deaf"), http)).state is HealthState.PROGRESSING
    assert (await engine.check(key("prod-shop-web"), exec_)).state is HealthState.HEALTHY
    false = Probe(ProbeKind.EXEC, command=("false",))
    assert (await engine.check(key("prod-shop-web"), false)).state is HealthState.PROGRESSING
    assert (await engine.check(key("nobody"), http)).state is HealthState.MISSING
