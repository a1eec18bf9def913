"""Every example is a repository that works: it is valid, gives the plan it shows, deploys, and then has nothing to do.

Examples on Docker run on a real engine. Their images are stand-ins of the same names, made here, so that no registry is
needed: they listen where the real ones do. Examples on Proxmox VE run on the emulated cluster.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from controller.cli.main import run
from controller.plan.change import Plan
from controller.plan.graph import Placement, desired_graph
from controller.plan.resource import Snapshot
from controller.review.audit import audit
from controller.review.finding import Severity
from controller.review.rules.rule import ScopeView
from controller.runtime.folder import read_folder
from controller.targets import everything_allowed, kinds_of
from tests.engines.proxmox.cluster import Cluster, emulated
from tests.servers.busybox_image import root_file_system
from tests.servers.dockerd import DockerDaemon
from tests.servers.kubernetes import BROKEN_IMAGE, ControlPlane

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir())
_TEXTS = {n: "".join(p.read_text() for p in (EXAMPLES / n).rglob("*.yaml")) for n in NAMES}
ON_KUBERNETES, ON_PROXMOX, _WITH_DOCKER = (
    [n for n in NAMES if f"provider: {p}" in _TEXTS[n]] for p in ("kubernetes", "proxmox", "docker")
)
ON_DOCKER = [n for n in _WITH_DOCKER if n not in ON_KUBERNETES]
ON_NOTHING = sorted({*NAMES} - {*_WITH_DOCKER, *ON_KUBERNETES, *ON_PROXMOX})
_DIGEST = re.compile(r"Digest: [0-9a-f]{12}")
_SECRETS = {"APP_DB_PASSWORD": "a-password", "APP_WIKI_PASSWORD": "a-password"}
# Image → (what it listens on, the paths it answers).
_STAND_INS = {
    "nginx:1.27-alpine": ("httpd -f -p 80 -h /www", ()),
    "grafana/grafana:11.4.0": ("httpd -f -p 3000 -h /www", ("www/api/health",)),
    "postgres:16-alpine": ("nc -ll -p 5432 -e cat", ("bin/pg_isready",)),
    "redis:7.4-alpine": ("nc -ll -p 6379 -e cat", ("bin/redis-cli", "bin/redis-server")),
}
_SCRIPT = '#!/bin/sh\n[ "$1" = --appendonly ] && exec sh -c "trap \'exit 0\' TERM; sleep 86400 & wait"\nexit 0\n'


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine: a state folder of our own, no server configuration, no Docker."""
    monkeypatch.chdir(tmp_path)
    for name in ("ALMA_CONFIG", "ALMA_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    for name, value in _SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def docker_target(target: None, docker_host: DockerDaemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDaemon]:
    """The same with a real, empty Docker host that has every image the examples name."""
    monkeypatch.setenv("DOCKER_HOST", docker_host.url)
    for reference, (script, files) in _STAND_INS.items():
        _import(docker_host, reference, script, files)
    yield docker_host


@pytest.fixture
def proxmox_target(target: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The same with an emulated cluster, whose clock is the real one."""
    with emulated(tmp_path, clock=time.time) as cluster:
        config = {**cluster.binding().config, "vmids": "5000-5999"}
        monkeypatch.setenv("ALMA_TARGETS", json.dumps({"pve": config}))
        yield cluster


def _import(host: DockerDaemon, reference: str, script: str, files: tuple[str, ...]) -> None:
    repository, tag = reference.rsplit(":", 1)
    command = json.dumps(["sh", "-c", f"trap 'exit 0' TERM; {script} & wait"])
    host.api.import_image_from_data(
        _with_files(root_file_system(reference), files), repository=repository, tag=tag, changes=[f"CMD {command}"]
    )


def _with_files(image: bytes, names: tuple[str, ...]) -> bytes:
    tar_file = io.BytesIO(image)
    with tarfile.open(fileobj=tar_file, mode="a") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(_SCRIPT), 0o755
            tar.addfile(entry, io.BytesIO(_SCRIPT.encode()))
    return tar_file.getvalue()


def alma(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints; it must succeed."""
    code = run(list(arguments))
    told = capsys.readouterr()
    assert code == 0, told.out + told.err
    return told.out


def shown(plan: str) -> str:
    return _DIGEST.sub("Digest: DIGEST", plan)


def in_order(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Plan as written, deployed, nothing left to do."""
    folder = EXAMPLES / name
    assert shown(alma(capsys, "plan", str(folder))) == (folder / "plan.txt").read_text()
    alma(capsys, "deploy", str(folder), "--yes")
    after = alma(capsys, "plan", str(folder), "--detailed-exitcode")
    assert "0 to create, 0 to update, 0 to recreate, 0 to destroy" in after


def test_there_are_examples_for_docker_and_for_nothing_installed() -> None:
    assert len(ON_DOCKER) >= 3
    assert len(ON_NOTHING) >= 2
    assert ON_KUBERNETES and ON_PROXMOX


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_told_in_a_readme_and_shows_its_plan(name: str) -> None:
    files = {p.name for p in (EXAMPLES / name).iterdir()}
    assert {"alma.yaml", "README.md", "plan.txt"} <= files
    readme = (EXAMPLES / name / "README.md").read_text()
    assert "plan.txt" in readme
    assert "alma plan ." in readme


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("name", sorted({*NAMES} - {*ON_KUBERNETES, *ON_PROXMOX}))
def test_an_example_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "valid" in alma(capsys, "validate", str(EXAMPLES / name))


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("name", ON_NOTHING)
def test_a_simulated_example_gives_its_plan_deploys_and_has_nothing_left(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    in_order(name, capsys)


@pytest.mark.docker
@pytest.mark.usefixtures("docker_target")
@pytest.mark.parametrize("name", ON_DOCKER)
def test_a_docker_example_gives_its_plan_deploys_and_has_nothing_left(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    in_order(name, capsys)


@pytest.mark.usefixtures("proxmox_target")
@pytest.mark.parametrize("name", ON_PROXMOX)
def test_a_proxmox_example_is_valid_gives_its_plan_deploys_and_has_nothing_left(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "valid" in alma(capsys, "validate", str(EXAMPLES / name))
    in_order(name, capsys)


@pytest.mark.docker
@pytest.mark.kubernetes
def test_an_example_on_two_engines_is_one_outcome_on_both(
    docker_target: DockerDaemon, cluster: ControlPlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plan as written, deployed, nothing left; then a change that fails on one engine is undone on both."""
    (name,) = ON_KUBERNETES
    folder = tmp_path / "shop"
    shutil.copytree(EXAMPLES / name, folder)
    cluster.namespace("shop")
    targets = {
        "edge": {"engine": "docker", "url": docker_target.url},
        "main": {"engine": "kubernetes", "kubeconfig": str(cluster.kubeconfig), "namespace": "default"},
    }
    server = tmp_path / "server.json"
    server.write_text(json.dumps({"targets": targets, "reconcile": {"health_timeout": "30s"}}))
    config = ("--config", str(server))
    assert "valid" in alma(capsys, *config, "validate", str(folder))
    assert shown(alma(capsys, *config, "plan", str(folder))) == (EXAMPLES / name / "plan.txt").read_text()
    alma(capsys, *config, "deploy", str(folder), "--yes")
    after = alma(capsys, *config, "plan", str(folder), "--detailed-exitcode")
    assert "0 to create, 0 to update, 0 to recreate, 0 to destroy" in after
    before = _both(docker_target, cluster)
    shop = folder / "shop.yaml"
    good = shop.read_text()
    shop.write_text(good.replace("64MB", "96MB", 1).replace("nginxinc/nginx-unprivileged:1.27-alpine", BROKEN_IMAGE))
    assert run([*config, "deploy", str(folder), "--yes"]) == 1
    assert "ImagePullBackOff" in capsys.readouterr().err
    assert _both(docker_target, cluster) == before, "one outcome: the Docker host too is as it was"
    shop.write_text(good)
    assert "0 to update" in alma(capsys, *config, "plan", str(folder), "--detailed-exitcode")


def _both(host: DockerDaemon, cluster: ControlPlane) -> tuple[int, str]:
    """Memory of the container, image of the Deployment."""
    (container,) = host.api.containers()
    deployment = cluster.get("deployment", "shop-shop-web", "shop")
    assert deployment is not None
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return host.api.inspect_container(container["Id"])["HostConfig"]["Memory"], image


@pytest.mark.parametrize("name", NAMES)
async def test_no_example_teaches_what_a_review_would_stop(name: str) -> None:
    folder = read_folder(EXAMPLES / name)
    targets = {
        "docker": ("docker", "edge"),
        "kubernetes": ("main",),
        "proxmox": ("pve",),
        "simulation": ("simulation",),
    }
    kinds = kinds_of(targets)
    allow = everything_allowed(tuple(name for names in targets.values() for name in names), {})
    for scope in folder.repository.scopes:
        wanted = await folder.wanted(scope, targets, allow, kinds)
        graph = desired_graph(wanted.scope, wanted.entries, Placement(targets, kinds, wanted.allow))
        plan = Plan(scope.name, "0" * 40, (), "0" * 64, "", total=len(graph.entries), wanted=len(graph.entries))
        found = audit(ScopeView(graph, plan, {t: Snapshot() for t in wanted.allow.targets}), date.today())
        assert [f for f in found.findings if f.severity.rank >= Severity.HIGH.rank] == []


@pytest.mark.usefixtures("target")
def test_a_target_that_the_server_does_not_have_is_told_with_those_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alma-server.yaml").write_text("targets: {here: {engine: simulation}}\n")
    assert run(["validate", str(EXAMPLES / "03-two-scopes")]) == 3
    told = capsys.readouterr().err
    assert "alma.yaml:1:1: scope base: no simulation target simulation; known: here (simulation)" in told
    assert "next:" in told
