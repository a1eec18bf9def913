"""The mapped types become objects that a real API server takes where Pod Security `restricted` is enforced."""

from __future__ import annotations

from typing import Any

import pytest

from controller.blueprint.entry import Entry, Lifecycle, Probe, ProbeKind, UpdateOrder
from controller.blueprint.value import Secret
from controller.plan.resource import Desired
from tests.engines.kubernetes.driving import entry, expand
from tests.servers.kubernetes import ControlPlane

WEB = {"image": "alma-test/web:1.0", "ports": ["80:8080"], "cpu": "500m", "memory": "64MB", "user": 1000}
EVERYTHING = (
    entry("net", "network", specs={"internal": True, "allow_from": ["monitoring"]}),
    entry("data", "storage", specs={"size": "1GiB"}),
    entry(
        "web",
        "compute",
        specs={
            **WEB,
            "env": {"MODE": "live", "KEY": Secret("env:APP_KEY")},
            "files": {"/etc/web/a.conf": "a", "/etc/web/key": Secret("env:APP_KEY")},
            "volumes": ["data:/data"],
            "networks": ["net"],
            "ingress": {"host": "shop.example.org"},
        },
        health=Probe(ProbeKind.HTTP, 8080, "/ready"),
    ),
    entry("db", "database", specs={**WEB, "ports": ["5432"], "storage": "1Gi", "path": "/var/lib/db"}),
)


def objects(*entries: Entry) -> list[Desired]:
    found, problems = expand(entries)
    assert not problems, problems
    return found


def body(found: list[Desired], kind: str) -> Any:
    return next(d.private["body"] for d in found if d.key.kind == f"kubernetes/{kind}")


def test_each_type_becomes_its_objects() -> None:
    assert sorted(f"{d.resource.name} {d.key.kind.removeprefix('kubernetes/')}" for d in objects(*EVERYTHING)) == [
        "data PersistentVolumeClaim",
        "db Service",
        "db StatefulSet.apps",
        "net NetworkPolicy.networking.k8s.io",
        "web ConfigMap",
        "web Deployment.apps",
        "web Ingress.networking.k8s.io",
        "web Secret",
        "web Service",
    ]


def test_a_secret_stands_in_a_secret_and_nowhere_else() -> None:
    found = objects(*EVERYTHING)
    container = body(found, "Deployment.apps")["spec"]["template"]["spec"]["containers"][0]
    (key,) = [v for v in container["env"] if v["name"] == "KEY"]
    assert key["valueFrom"]["secretKeyRef"] == {"name": "prod-shop-web", "key": "KEY"}
    assert body(found, "Secret")["stringData"]["KEY"] == Secret("env:APP_KEY")


def test_a_probe_of_the_blueprint_is_the_pods_own() -> None:
    container = body(objects(*EVERYTHING), "Deployment.apps")["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"] == {"httpGet": {"path": "/ready", "port": 8080}}


def test_two_that_write_one_claim_never_run_at_once() -> None:
    assert body(objects(*EVERYTHING), "Deployment.apps")["spec"]["strategy"] == {"type": "Recreate"}
    plain = entry("web", "compute", specs=WEB)
    assert "strategy" not in body(objects(plain), "Deployment.apps")["spec"]
    stopped = entry("web", "compute", specs=WEB, lifecycle=Lifecycle(update=UpdateOrder.STOP_FIRST))
    assert body(objects(stopped), "Deployment.apps")["spec"]["strategy"] == {"type": "Recreate"}


def test_what_a_resource_names_is_there_before_it() -> None:
    needs = {n for d in objects(*EVERYTHING) if d.resource.name == "web" for n in d.needs}
    assert needs == {"prod/shop/data", "prod/shop/net"}


@pytest.mark.parametrize(
    ("type_", "specs", "told"),
    [
        ("compute", {**WEB, "image": None}, "specs.image"),
        ("compute", {**WEB, "imgae": "x"}, "did you mean image"),
        ("compute", {**WEB, "storage": "1Gi"}, "add a storage resource"),
        ("compute", {**WEB, "volumes": ["nope:/x"]}, "no resource nope"),
        ("compute", {**WEB, "ports": ["99999"]}, "is no port"),
        ("compute", {**WEB, "service_account": "admin"}, "serviceAccount:admin"),
        ("compute", {"image": "x", "ingress": {"host": "a.example"}}, "write ports too"),
        ("database", {**WEB, "storage": "1Gi"}, "where the storage is mounted"),
        ("storage", {}, "say how much"),
        ("network", {"allow": ["x"]}, "unknown key allow"),
    ],
)
def test_a_mistake_is_told_with_the_mend(type_: str, specs: dict[str, Any], told: str) -> None:
    _, problems = expand([entry("it", type_, specs=specs)])
    assert any(told in str(p) for p in problems), problems


@pytest.mark.kubernetes
def test_a_cluster_that_enforces_restricted_takes_all_of_it(cluster: ControlPlane) -> None:
    cluster.namespace("prod", {"pod-security.kubernetes.io/enforce": "restricted"})
    for one in objects(*EVERYTHING):
        wanted: Any = one.private["body"]
        if wanted["kind"] == "Secret":
            wanted = {**wanted, "stringData": dict.fromkeys(wanted["stringData"], "x")}
        cluster.apply(wanted)
    pod = body(objects(*EVERYTHING), "Deployment.apps")["spec"]["template"]
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it", "namespace": "prod"}, "spec": pod["spec"]}
    assert cluster.api("POST", "/api/v1/namespaces/prod/pods?dryRun=All", made)["kind"] == "Pod"
    cluster.api(
        "PATCH",
        "/api/v1/namespaces/prod",
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": None}}},
        "application/merge-patch+json",
    )
