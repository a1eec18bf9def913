"""What a real Docker host refuses, and what happens to it in mid-run: a bounded wait, a clear cause, and the old
container back (B20). Half-done creates are taken away (B4)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from controller.blueprint.entry import Entry
from controller.plan.resource import ObjectKey
from controller.plan.step import Expect, OpId, Phase, Prior, Receipt, ReceiptState, Step, op_id
from engines.docker.engine import DockerEngine
from engines.engine import Ask, Conflict, EngineError, FoundState, Refused, Transient, Unclear, Values
from tests.engines.docker.driving import (
    TARGET,
    Held,
    PlainSeal,
    Run,
    binding,
    deploy,
    desired,
    entry,
    observe,
    plan,
    still_to_do,
    web,
    with_specs,
)
from tests.servers.dockerd import DockerDaemon
from tests.servers.registry import Registry

pytestmark = pytest.mark.docker
Report = Callable[..., None]
OLD = web(ports=["127.0.0.1:18300:8080"], restart="always")


def state(host: DockerDaemon, name: str = "prod-shop-web") -> tuple[str, bool, Any]:
    found = host.api.inspect_container(name)
    return found["Id"], found["State"]["Running"], found["HostConfig"]["RestartPolicy"]


def all_names(host: DockerDaemon) -> set[str]:
    return {c["Names"][0].removeprefix("/") for c in host.api.containers(all=True)}


async def fails_and_is_undone(engine: DockerEngine, host: DockerDaemon, changed: Sequence[Entry], cause: str) -> None:
    """Deploying `changed` over OLD fails with `cause`; then everything is as before."""
    before, names = state(host), all_names(host)
    run = Run(engine, "run2")
    with pytest.raises(EngineError, match=cause):
        await run.carry_out(await plan(engine, changed))
    await run.undo()
    assert state(host) == before
    assert all_names(host) == names
    assert await still_to_do(engine, [OLD]) == []


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("an image nobody has", {"image": "127.0.0.1:1/none:1"}, "cannot be pulled"),
    ("a digest nobody has", {"image": "127.0.0.1:1/none@sha256:" + "0" * 64}, "cannot be pulled"),
    ("a command that is not there", {"command": ["/no/such/program"]}, "no such file|executable file not found"),
    ("a folder as command", {"command": ["/etc"]}, "permission denied"),
    ("a user that is not there", {"user": "nobody-knows"}, "unable to find user"),
    ("a working folder that is a file", {"working_dir": "/etc/passwd"}, "not a directory|passwd"),
    ("a log option nobody knows", {"logging": {"driver": "local", "options": {"colour": "red"}}}, "unknown log opt"),
    ("more reserved than allowed", {"memory": "8MB", "memory_reservation": "16MB"}, "reservation|limit"),
    ("a CPU the host has not", {"cpuset": "4000"}, "CPUs|cpus"),
    ("more CPUs than the host has", {"cpu": 90000}, "CPUs"),
    ("an ulimit above its hard one", {"ulimits": {"nofile": {"soft": 20, "hard": 10}}}, "ulimit|limit"),
    ("a file where a folder is needed", {"files": {"/etc/passwd/x": "y"}}, "passwd|not a directory|file exists"),
]


@pytest.mark.parametrize(("specs", "cause"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
async def test_what_the_host_refuses_is_undone(
    specs: dict[str, Any], cause: str, engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    await deploy(engine, [OLD])
    await fails_and_is_undone(engine, docker_host, [with_specs(OLD, **specs)], cause)
    report_n("B20 docker", 1)


async def test_a_port_of_another_process_is_told_and_undone(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    await deploy(engine, [OLD])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wanted = with_specs(OLD, ports=[f"127.0.0.1:{port}:8080"])
        await fails_and_is_undone(engine, docker_host, [wanted], "address already in use")
    report_n("B20 docker", 1)


async def test_a_port_of_a_foreign_container_is_a_claim_and_is_undone(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    await deploy(engine, [OLD])
    host_config = docker_host.api.create_host_config(port_bindings={8080: ("127.0.0.1", 18301)})
    foreign = docker_host.api.create_container("alma-test/web:1.0", name="foreign", host_config=host_config)
    docker_host.api.start(foreign["Id"])
    wanted = with_specs(OLD, ports=["127.0.0.1:18301:8080"])
    seen = await observe(engine, desired([wanted]))
    holder = next(s for s in seen.objects if s.key.name == "foreign")
    assert holder.mark is None and "18301/tcp" in {c.value for c in holder.claims}
    await fails_and_is_undone(engine, docker_host, [wanted], "already allocated")
    report_n("B20 docker", 1)


async def test_a_name_taken_since_the_plan_is_a_conflict_and_is_undone(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    await deploy(engine, [OLD])
    both = [OLD, web("api")]
    effects = await plan(engine, both)
    foreign = docker_host.api.create_container("alma-test/web:1.0", name="prod-shop-api")["Id"]
    run = Run(engine, "run2")
    with pytest.raises(Conflict, match="there already"):
        await run.carry_out(effects)
    await run.undo()
    assert docker_host.api.inspect_container("prod-shop-api")["Id"] == foreign
    assert await still_to_do(engine, [OLD]) == []
    report_n("B20 docker", 1)


async def test_a_network_taken_away_since_the_plan_is_undone(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    front = entry("front", "network")
    await deploy(engine, [OLD, front])
    effects = await plan(engine, [front, with_specs(OLD, networks=["front"])])
    docker_host.api.remove_network("prod-shop-front")
    before = state(docker_host)
    run = Run(engine, "run2")
    with pytest.raises(Transient, match="not found"):
        await run.carry_out(effects)
    await run.undo()
    assert state(docker_host) == before
    report_n("B20 docker", 1)


async def test_a_volume_that_is_not_there_is_not_made_by_the_way(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    data, one = entry("data", "volume"), web(volumes=["data:/data"])
    effects = await plan(engine, [data, one])
    container = next(e for e in effects if e.resource.name == "web")
    with pytest.raises(Transient, match="not there yet"):
        await Run(engine).carry_out([container])
    assert not docker_host.api.volumes()["Volumes"]
    report_n("B20 docker", 1)


async def test_a_network_in_use_by_others_is_not_removed(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    front = entry("front", "network")
    await deploy(engine, [front])
    foreign = docker_host.api.create_container("alma-test/web:1.0", name="foreign")
    docker_host.api.connect_container_to_network(foreign["Id"], "prod-shop-front")
    docker_host.api.start(foreign["Id"])
    with pytest.raises(Refused, match="active endpoints"):
        await deploy(engine, [], "run2")
    assert docker_host.api.inspect_network("prod-shop-front")
    report_n("B20 docker", 1)


async def test_a_volume_in_use_by_others_is_not_removed(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    await deploy(engine, [entry("data", "volume")])
    config = docker_host.api.create_host_config(binds=["prod-shop-data:/data"])
    docker_host.api.create_container("alma-test/web:1.0", name="foreign", host_config=config)
    with pytest.raises(Conflict, match="in use"):
        await deploy(engine, [], "run2")
    assert docker_host.api.inspect_volume("prod-shop-data")
    report_n("B20 docker", 1)


async def test_a_restart_of_the_host_in_mid_run_gives_no_wrong_answer(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    """At every step: the host goes away before it, the step says so, and after its return the same step goes on."""
    changed = with_specs(OLD, image="alma-test/web:1.1")
    await deploy(engine, [OLD])
    (effect,) = await plan(engine, [changed])
    run = Run(engine, "run2")
    for planned in effect.steps:
        docker_host.set_live_restore(on=True)
        docker_host.stop()
        step = planned.for_run("run2")
        with pytest.raises((Transient, Unclear)):
            await engine.prior(step, PlainSeal())
        with pytest.raises((Transient, Unclear)):
            await engine.do(OpId("downop111111"), step, Prior(uid=step.expects.uid), Values(), Held())
        with pytest.raises((Transient, Unclear)):
            await engine.observe(_everything())
        docker_host.start()
        await run.one(planned)
        report_n("B20 docker", 1)
    assert await still_to_do(engine, [changed]) == []


def _everything() -> Ask:
    return Ask("home", frozenset({"prod"}))


async def test_a_create_whose_answer_was_lost_is_found_and_undone(
    engine: DockerEngine, docker_host: DockerDaemon, report_n: Report
) -> None:
    """p4: the host acted, nobody read the answer. The object is found by name and op, and taken away by its op."""
    entries = [entry("front", "network"), entry("data", "volume"), OLD]
    for number, effect in enumerate(await plan(engine, entries)):
        step = effect.steps[0].for_run("run2")
        op = op_id("run2", TARGET, step.key, number)
        assert (await engine.find(op, step)).state is FoundState.NOT_YET
        await engine.do(op, step, Prior(), Values(), Held())
        other = DockerEngine.open(binding(docker_host.url))
        assert (await other.find(op, step)).state is FoundState.ACTED
        lost = Receipt(op, ReceiptState.VANISHED)
        for inverse in other.inverse(step, Prior(), lost):
            prior = await other.prior(inverse, PlainSeal())
            await other.do(OpId(f"undoop{number}"), inverse, prior, Values(), Held())
        assert (await other.find(op, step)).state is FoundState.NOT_YET
        await other.close()
        report_n("B4 docker", 1)


async def test_a_lost_create_takes_nothing_away_that_it_did_not_make(
    engine: DockerEngine, docker_host: DockerDaemon
) -> None:
    (effect,) = await plan(engine, [OLD])
    foreign = docker_host.api.create_container("alma-test/web:1.0", name="prod-shop-web")["Id"]
    step = effect.steps[0].for_run("run2")
    for inverse in engine.inverse(step, Prior(), Receipt(OpId("lostop111111"), ReceiptState.VANISHED)):
        prior = await engine.prior(inverse, PlainSeal())
        await engine.do(OpId("undoop111111"), inverse, prior, Values(), Held())
    assert docker_host.api.inspect_container("prod-shop-web")["Id"] == foreign


async def test_an_image_comes_from_a_registry_with_login(
    docker_host: DockerDaemon, registry: Registry, report_n: Report
) -> None:
    digest = registry.push(docker_host, "alma-test/web:1.1", "shop/web:1.1")
    reference = f"{registry.address}/shop/web:1.1"
    login = {registry.address: (registry.username, registry.password)}
    engine = DockerEngine.open(binding(docker_host.url, registries=login))
    private = web(image=reference)
    effects = await deploy(engine, [private])
    assert effects[0].pins == {reference: digest}
    found = docker_host.api.inspect_container("prod-shop-web")
    assert found["Config"]["Image"] == f"{registry.address}/shop/web@{digest}"
    assert found["Config"]["Labels"]["alma.image"] == reference
    assert await still_to_do(engine, [private]) == []
    moved = replace(desired([private])[0], pins={reference: "sha256:" + "1" * 64})
    (newer,) = await engine.preview([moved], await observe(engine, [moved]), "prod")
    assert newer.steps == () and newer.reason.startswith("newer image")
    registry.stop()
    try:
        assert await still_to_do(engine, [private]) == []
    finally:
        registry.start()
    await engine.close()
    report_n("B20 docker", 1)


async def test_a_wrong_login_is_told_without_the_login(
    docker_host: DockerDaemon, registry: Registry, report_n: Report
) -> None:
    registry.push(docker_host, "alma-test/web:1.2", "shop/secret:1.2")
    login = {registry.address: ("alma", "wr0ng-canary-password")}
    engine = DockerEngine.open(binding(docker_host.url, registries=login))
    one = web(image=f"{registry.address}/shop/secret:1.2")
    with pytest.raises(EngineError, match="cannot be pulled") as raised:
        await deploy(engine, [one])
    assert "canary" not in str(raised.value)
    await engine.close()
    report_n("B20 docker", 1)


async def test_a_pull_nobody_knows_any_more_is_safe_to_repeat(docker_host: DockerDaemon, registry: Registry) -> None:
    registry.push(docker_host, "alma-test/web:1.0", "shop/again:1")
    login = {registry.address: (registry.username, registry.password)}
    engine = DockerEngine.open(binding(docker_host.url, registries=login))
    reference = f"{registry.address}/shop/again:1"
    request = {"call": "image.pull", "image": reference}
    step = Step(Phase.STAGE, ObjectKey("docker/image", reference), Expect(), request)
    op = OpId("pullop111111")
    receipt = await engine.do(op, step, Prior(), Values(), Held())
    while receipt.state is ReceiptState.RUNNING:
        await asyncio.sleep(0.02)
        receipt = await engine.poll(receipt)
    assert receipt.state is ReceiptState.DONE
    other = DockerEngine.open(binding(docker_host.url, registries=login))
    assert (await other.poll(replace(receipt, state=ReceiptState.RUNNING))).state is ReceiptState.VANISHED
    assert (await other.do(op, step, Prior(), Values(), Held())).state is ReceiptState.DONE
    assert (await other.find(op, step)).state is FoundState.ACTED
    await other.close()
    await engine.close()
