"""Specs in Compose's words become flat fields and the body Docker takes. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.blueprint.entry import Lifecycle, Probe, ProbeKind, UpdateOrder
from controller.blueprint.value import Output, Secret, Text
from controller.plan.resource import Claim, ClaimKind
from engines.docker import container
from tests.engines.docker.driving import desired, entry, expand, web, with_specs

FRONT, DATA = entry("front", "network"), entry("data", "volume")


def body_of(**specs: Any) -> dict[str, Any]:
    found = desired([FRONT, DATA, web(**specs)])[-1]
    return container.body(found.fields, "sha256:1")


def problem_of(**specs: Any) -> tuple[str, str]:
    (problem,) = expand([FRONT, DATA, with_specs(web(), **specs)])[1]
    return problem.path.removeprefix("resources.0.specs."), problem.message


def test_the_body_of_a_whole_container() -> None:
    secret = Secret("env:APP_PASSWORD")
    assert body_of(
        command="serve --port 80",
        env={"A": 1, "B": True, "P": secret, "U": Text(("x:", secret, "@y"))},
        ports=["8080:80", "127.0.0.1:53:53/udp", "9000"],
        volumes=["data:/data", {"type": "volume", "source": "data", "target": "/ro", "read_only": True}],
        tmpfs="/run:size=1m",
        networks={"front": {"aliases": ["www"], "ipv4_address": "10.1.0.5"}},
        restart="on-failure:3",
        cpus="1.5",
        mem_limit="64MB",
        memswap_limit="128MB",
        pids_limit=20,
        user=1000,
        cap_drop=["CAP_CHOWN", "all"],
        healthcheck={"test": "true", "interval": "10s", "retries": 2},
        stop_grace="1m30s",
        ulimits={"nofile": 64},
        labels=["tier=web"],
        logging={"driver": "local"},
        extra_hosts=["db=10.0.0.9"],
    ) == {
        "Image": "sha256:1",
        "Cmd": ["serve", "--port", "80"],
        "User": "1000",
        "StopTimeout": 90,
        "Env": ["A=1", "B=true", Text(("P=", secret)), Text(("U=", "x:", secret, "@y"))],
        "Labels": {"tier": "web"},
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 10_000_000_000, "Retries": 2},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "9000/tcp": {}},
        "NetworkingConfig": {
            "EndpointsConfig": {
                "prod-shop-front": {"Aliases": ["web", "www"], "IPAMConfig": {"IPv4Address": "10.1.0.5"}}
            }
        },
        "HostConfig": {
            "CapDrop": ["ALL", "CHOWN"],
            "CpuShares": 0,
            "CpusetCpus": "",
            "ExtraHosts": ["db:10.0.0.9"],
            "LogConfig": {"Type": "local", "Config": {}},
            "Memory": 64 * 1024**2,
            "MemoryReservation": 0,
            "MemorySwap": 128 * 1024**2,
            "Mounts": [
                {"Type": "volume", "Source": "prod-shop-data", "Target": "/data", "ReadOnly": False},
                {"Type": "volume", "Source": "prod-shop-data", "Target": "/ro", "ReadOnly": True},
                {"Type": "tmpfs", "Target": "/run", "TmpfsOptions": {"SizeBytes": 1024**2}},
            ],
            "NanoCpus": 1_500_000_000,
            "NetworkMode": "prod-shop-front",
            "PidsLimit": 20,
            "PortBindings": {
                "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
                "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
                "9000/tcp": [{"HostIp": "", "HostPort": ""}],
            },
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": 64}],
        },
    }


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"memroy": "1GB"}, "memroy", "unknown key memroy; did you mean memory?"),
    ({"memory": 512}, "memory", "512MB or 512GB"),
    ({"memory": "1MB"}, "memory", "out of range"),
    ({"cpu": "lots"}, "cpu", "no number of CPUs"),
    ({"ports": ["99999:80"]}, "ports", "99999"),
    ({"ports": ["8000-8002:80-81"]}, "ports", "one length"),
    ({"ports": [{"target": 80, "publish": 1}]}, "ports", "'publish'"),
    ({"volumes": ["/data"]}, "volumes", "anonymous volume"),
    ({"volumes": ["date:/data"]}, "volumes.0", "date is no volume of this blueprint; there are data"),
    ({"volumes": ["data:/a", "data:/a"]}, "volumes.1", "mounted twice"),
    ({"networks": ["back"]}, "networks", "back is no network"),
    ({"networks": ["front"], "network_mode": "none"}, "network_mode", "not both"),
    ({"restart": "sometimes"}, "restart", "no restart policy"),
    ({"env": {"A": 1}, "environment": {"A": 2}}, "", "env and environment say different things"),
    ({"dns": ["x"]}, "dns", "IPv4 or IPv6"),
    ({"healthcheck": {"test": ["curl", "x"]}}, "healthcheck.test", "CMD"),
    ({"read_only": True, "files": {"/a": "b"}}, "files", "read_only"),
    ({"files": {"/a": {"content": "b", "mode": "rw"}}}, "files./a.mode", "0644"),
    ({"image": Secret("env:X")}, "image", "string"),
    ({"memswap_limit": "64MB"}, "memswap_limit", "set memory too"),
    ({"hostname": Text(("a", Output("p/s/x", "id")))}, "hostname", "string"),
]


@pytest.mark.parametrize(("specs", "path", "message"), MISTAKES, ids=lambda v: str(v)[:40])
def test_a_mistake_is_told_at_its_place(specs: dict[str, Any], path: str, message: str) -> None:
    told = problem_of(**specs)
    assert told[0].removeprefix("resources.0.specs") == path
    assert message in told[1]


def test_a_product_gives_the_image() -> None:
    one = entry("db", "database", product="postgresql", version="16", specs={"storage": "10GB"})
    assert desired([one])[0].fields["image"] == "postgres:16"
    assert expand([replace(one, product="oracle")])[1][0].path == "resources.0.specs.image"


def test_claims_are_what_only_one_can_hold() -> None:
    one = web(ports=["8080:80", "127.0.0.1:53:53/udp"], memory="64MB", volumes=["data:/d"], networks=["front"])
    found = desired([FRONT, DATA, one])[-1]
    assert found.claims == {
        Claim(ClaimKind.NAME, "container/prod-shop-web"),
        Claim(ClaimKind.PORT, "8080/tcp"),
        Claim(ClaimKind.PORT, "53/udp", "127.0.0.1"),
        Claim(ClaimKind.VOLUME, "prod-shop-data", shared=True),
        Claim(ClaimKind.MEMORY, "memory", amount=64 * 1024**2),
    }
    assert found.needs == ("prod/shop/data", "prod/shop/front")


@pytest.mark.parametrize("specs", [{"ports": ["80:80"]}, {"volumes": ["data:/d"]}])
def test_start_first_is_refused_where_two_cannot_run(specs: dict[str, Any]) -> None:
    one = replace(web(**specs), lifecycle=Lifecycle(update=UpdateOrder.START_FIRST))
    assert [p.path for p in expand([DATA, one])[1]] == ["resources.0.lifecycle.update"]


def test_a_probe_that_cannot_reach_names_exec() -> None:
    one = replace(web(network_mode="none"), health=Probe(ProbeKind.HTTP, port=80))
    assert "use exec" in expand([one])[1][0].message


def test_an_external_volume_is_used_as_it_is() -> None:
    one = entry("media", "volume", specs={"external": True, "name": "media"})
    (found,) = desired([one])
    assert found.external and not found.claims
    assert expand([entry("media", "volume", specs={"external": True})])[1]
    assert expand([with_specs(one, driver="local")])[1]


def test_a_live_container_reads_as_it_was_written() -> None:
    """body → what an inspect of it says → the same fields."""
    specs: dict[str, Any] = {
        "env": {"A": 1},
        "ports": ["127.0.0.1:1:2"],
        "restart": "always",
        "cap_add": (),
        "memory": "64MB",
    }
    wanted = desired([web(**specs)])[0].fields
    made = container.body(wanted, "x")
    config = {k: v for k, v in made.items() if k != "HostConfig"}
    config["Labels"] = {"alma.image": "alma-test/web:1.0"}
    live = container.live({"Id": "1", "Config": config, "HostConfig": made["HostConfig"], "State": {"Running": True}})
    assert {p: live[p] for p in wanted} == wanted
