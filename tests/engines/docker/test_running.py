"""Hints, health, capacity and secrets on a real Docker host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.blueprint.entry import Entry, Probe, ProbeKind
from controller.blueprint.value import Output, Secret, Text
from controller.plan.health import HealthState
from controller.plan.step import Action
from engines.docker.engine import DockerEngine
from engines.docker.events import events, hint_of
from engines.docker.health import STEADY_S
from tests.engines.docker.driving import (
    INSTALL,
    Clock,
    Run,
    binding,
    deploy,
    desired,
    entry,
    key,
    mask,
    observe,
    only,
    plan,
    still_to_do,
    web,
    with_specs,
)
from tests.servers.dockerd import DockerDaemon

pytestmark = pytest.mark.docker
CANARY = "c4nary-pa55word"
REF = "env:APP_PASSWORD"


async def test_an_event_says_which_scope_to_look_at(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    await deploy(engine, [web()])
    hints = engine.hints()
    first = asyncio.ensure_future(anext(hints))
    while not first.done():  # the stream may not be open yet when the first stop happens
        docker_host.api.kill("prod-shop-web")
        await asyncio.wait([first], timeout=2)
        docker_host.api.start("prod-shop-web")
    hint = await first
    assert (hint.scope, hint.key) == ("prod", key("prod-shop-web"))
    await hints.aclose()  # type: ignore[attr-defined] # an async generator, promised as an iterator


async def test_hints_end_with_the_host(docker_host: DockerDaemon) -> None:
    opened = DockerEngine.open(binding(docker_host.url))
    await opened.about()
    docker_host.stop()
    assert [h async for h in events(opened._client, INSTALL)] == []
    await opened.close()


def test_only_events_on_marked_objects_are_hints() -> None:
    ours = {"alma.install": INSTALL, "alma.scope": "prod", "name": "web"}
    event = {"Type": "container", "Action": "die", "Actor": {"ID": "1", "Attributes": ours}}
    assert hint_of(event, INSTALL)
    assert hint_of({**event, "Action": "exec_create: sh"}, INSTALL) is None
    assert hint_of(event, "other") is None
    assert hint_of({}, INSTALL) is None


async def test_a_container_without_healthcheck_is_healthy_after_ten_steady_seconds(docker_host: DockerDaemon) -> None:
    clock = Clock()
    engine = DockerEngine.open(binding(docker_host.url, clock))
    await deploy(engine, [web()])
    probe, name = Probe(ProbeKind.PLATFORM), key("prod-shop-web")
    assert (await engine.check(name, probe)).state is HealthState.PROGRESSING
    clock.now_s += STEADY_S
    assert (await engine.check(name, probe)).state is HealthState.HEALTHY
    docker_host.api.restart("prod-shop-web", timeout=3)
    assert (await engine.check(name, probe)).state is HealthState.PROGRESSING
    await engine.close()


async def test_a_container_that_ends_at_once_is_degraded(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    await deploy(engine, [web(image="alma-test/web:crash")])
    docker_host.api.wait("prod-shop-web")
    health = await engine.check(key("prod-shop-web"), Probe(ProbeKind.RUNNING))
    assert (health.state, health.reason) == (HealthState.DEGRADED, "exited with code 1")


async def test_the_images_own_healthcheck_counts(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    await deploy(engine, [web(image="alma-test/web:healthcheck")])
    for _ in range(60):
        health = await engine.check(key("prod-shop-web"), Probe(ProbeKind.PLATFORM))
        if health.state is HealthState.HEALTHY:
            break
        assert health.state is HealthState.PROGRESSING
        await asyncio.sleep(0.2)
    assert health.state is HealthState.HEALTHY


async def test_a_job_that_ended_well_is_in_sync(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    job = web("job", restart="no", command=["true"])
    await deploy(engine, [job])
    docker_host.api.wait("prod-shop-job")
    assert await still_to_do(engine, [job]) == []
    assert (await engine.check(key("prod-shop-job"), Probe(ProbeKind.RUNNING))).state is HealthState.HEALTHY


async def test_secrets_reach_the_container_and_nothing_else(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Callable[..., None]
) -> None:
    secret = Secret(REF, mask(CANARY).keyed_hash)
    one = web(
        env={"PASSWORD": secret, "URL": Text(("db://me:", secret, "@db"))},
        files={"/etc/app/secret": {"content": secret, "mode": "0400"}},
        command=["sh", "-c", Text(("trap 'exit 0' TERM; : ", secret, "; sleep 100 & wait"))],
    )
    effects = await plan(engine, [one])
    run = Run(engine, secrets={REF: CANARY})
    await run.carry_out(effects)
    inside = docker_host.api.inspect_container("prod-shop-web")
    assert f"PASSWORD={CANARY}" in inside["Config"]["Env"]
    assert CANARY not in str(inside["Config"]["Labels"])
    seen = await observe(engine, desired([one]))
    sinks = [effects, run.done, seen, seen.objects[0].health, await plan(engine, [one])]
    assert all(CANARY not in repr(s) for s in sinks)
    assert await still_to_do(engine, [one]) == []
    report_n("E9 docker", len(sinks))


async def test_a_rotated_secret_is_a_change_that_shows_no_value(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    old, new = Secret(REF, mask("old").keyed_hash), Secret(REF, mask("new").keyed_hash)
    await deploy(engine, [web(env={"P": old})], secrets={REF: "old"})
    effect = only(await plan(engine, [web(env={"P": new})]), "web")
    assert [(c.path, c.sensitive) for c in effect.fields] == [("env.P", True)]
    assert await still_to_do(engine, [web(env={"P": Secret(REF)})]) == []


async def test_another_reference_is_a_change_though_no_value_is_known(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    def one(where: str) -> Text:
        return Text(("db://", Secret(REF), where))

    await deploy(engine, [web(env={"URL": one("@db1")})], secrets={REF: "x"})
    assert await still_to_do(engine, [web(env={"URL": one("@db1")})]) == []
    effect = only(await plan(engine, [web(env={"URL": one("@db2")})]), "web")
    assert [(c.path, c.sensitive) for c in effect.fields] == [("env.URL", True)]


async def test_an_output_beside_a_secret_is_compared_once_it_is_known(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    """Made while the output was unknown, planned again with its value, and again without: never a change by itself."""

    def one(address: str | Output) -> Entry:
        return web(env={"URL": Text(("db://", Secret(REF), "@", address))})

    unknown = Output("prod/shop/db", "address")
    run = Run(engine, secrets={REF: "x"}, outputs={("prod/shop/db", "address"): "10.9.9.9"})
    await run.carry_out(await plan(engine, [one(unknown)]))
    assert await still_to_do(engine, [one("10.9.9.9")]) == []
    assert await still_to_do(engine, [one(unknown)]) == []
    assert [c.path for c in only(await plan(engine, [one("10.9.9.8")]), "web").fields] == ["env.URL"]


async def test_a_value_that_becomes_a_secret_is_hidden_from_then_on(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    await deploy(engine, [web(env={"P": "plain"})])
    hidden = web(env={"P": Secret(REF, mask("plain").keyed_hash)})
    assert [c.path for c in only(await plan(engine, [hidden]), "web").fields] == ["env.P"]
    await deploy(engine, [hidden], "run2", secrets={REF: "plain"})
    assert await still_to_do(engine, [hidden]) == []
    assert "plain" not in repr((await observe(engine)).objects[0].fields["env.P"])


async def test_a_file_changed_by_hand_is_drift(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    one = web(files={"/etc/app.conf": "a\n"})
    await deploy(engine, [one])
    made = docker_host.api.exec_create("prod-shop-web", ["sh", "-c", "echo b > /etc/app.conf"])
    docker_host.api.exec_start(made["Id"])
    effect = only(await plan(engine, [one]), "web")
    assert [(c.path, c.before, c.after) for c in effect.fields] == [("files./etc/app.conf", "b\n", "a\n")]


async def test_data_in_an_anonymous_volume_moves_to_the_new_container(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    one = web("db", image="alma-test/db:1.0")
    await deploy(engine, [one])
    before = docker_host.api.inspect_container("prod-shop-db")["Mounts"][0]["Name"]
    changed = with_specs(one, env={"A": "b"})
    await deploy(engine, [changed], "run2")
    assert docker_host.api.inspect_container("prod-shop-db")["Mounts"][0]["Name"] == before
    assert await still_to_do(engine, [changed]) == []
    gone = only(await plan(engine, []), "db")
    assert gone.action is Action.DESTROY and "anonymous volume" in gone.lost[0]


async def test_external_objects_are_used_and_never_changed(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    docker_host.api.create_network("lan")
    docker_host.api.create_volume("media")
    lan = entry("lan", "network", specs={"external": True, "name": "lan"})
    media = entry("media", "volume", specs={"external": True, "name": "media"})
    one = web(networks=["lan"], volumes=["media:/media:ro"])
    effects = await deploy(engine, [lan, media, one])
    assert not only(effects, "lan").steps and not only(effects, "media").steps
    assert await still_to_do(engine, [lan, media, one]) == []
    assert {e.key.name for e in await plan(engine, [])} == {"prod-shop-web"}


async def test_an_ignored_field_keeps_what_a_hand_gave_it(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    one = web(memory="32MB")
    one = replace(one, lifecycle=replace(one.lifecycle, ignore=("limits.memory",)))
    await deploy(engine, [one])
    docker_host.api.update_container("prod-shop-web", mem_limit=48 * 1024**2, memswap_limit=96 * 1024**2)
    assert await still_to_do(engine, [one]) == []
    await deploy(engine, [with_specs(one, env={"A": "b"})], "run2")
    assert docker_host.api.inspect_container("prod-shop-web")["HostConfig"]["Memory"] == 48 * 1024**2


async def test_capacity_is_told_as_far_as_the_host_tells_it(engine: DockerEngine, docker_host: DockerDaemon) -> None:
    capacity = (await observe(engine)).capacity
    assert capacity.memory_bytes and capacity.cpu_millicores
    assert capacity.memory_bytes_free is None
    assert (await engine.about()).version.startswith("Docker 20.10")


def test_an_unknown_key_in_the_targets_settings_is_named() -> None:
    with pytest.raises(Exception, match="did you mean url"):
        DockerEngine.open(replace(binding("unix:///x"), config={"urll": "unix:///x"}))
