"""Help, imports, exit codes and errors that are the same for every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from controller.cli.main import COMMANDS, LazyGroup
from controller.cli.main import alma as group
from controller.journal.lease import lock_state
from tests.controller.cli.conftest import Alma, spawned

HEAVY = ("pydantic", "sqlalchemy", "docker", "kubernetes", "openai", "rich", "asyncio")


def _all_commands() -> list[list[str]]:
    found: list[list[str]] = [[]]
    context = click.Context(group)
    for name in COMMANDS:
        found.append([name])
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += [[name, below] for below in command.list_commands(context)]
    return found


@pytest.mark.parametrize("words", _all_commands(), ids=" ".join)
def test_every_command_explains_itself(alma: Alma, words: list[str]) -> None:
    said = alma(*words, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Usage: alma")


def test_help_lists_exactly_the_commands_there_are(alma: Alma) -> None:
    listed = [line.split()[0] for line in alma("--help").out.split("Commands:\n")[1].splitlines()]
    assert listed == list(COMMANDS)
    assert isinstance(group, LazyGroup)


@pytest.mark.parametrize("words", ["--help", "version"])
def test_light_commands_import_nothing_heavy(words: str) -> None:
    code = (
        "import sys\nfrom controller.cli.main import run\n"
        f"assert run([{words!r}]) == 0\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr.strip() == "[]"


_ONLY_RUNS_NEED = ("sqlalchemy", "structlog", "rich", "prometheus_client", "pygit2", "jinja2", "httpx2", "networkx")
_ONLY_WHERE_CONFIGURED = ("temporalio", "openai")


@pytest.mark.parametrize("engine", ["simulation", "docker"])
def test_a_plan_imports_nothing_that_only_a_run_needs(tmp_path: Path, engine: str) -> None:
    (tmp_path / "b.yaml").write_text(f"name: b\nprovider: {engine}\nresources: []\n")
    code = (
        "import sys\nfrom controller.cli.main import run\n"
        f"run(['--state', {str(tmp_path / 'state')!r}, 'plan', {str(tmp_path)!r}])\n"
        f"print([m for m in {_ONLY_RUNS_NEED!r} if m in sys.modules], file=sys.stderr)"
    )
    nowhere = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_a_deploy_imports_nothing_that_is_not_configured(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("name: b\nprovider: simulation\nresources: []\n")
    code = (
        "import sys\nfrom controller.cli.main import run\n"
        f"assert run(['--state', {str(tmp_path / 'state')!r}, 'deploy', {str(tmp_path)!r}]) == 0\n"
        f"print([m for m in {_ONLY_WHERE_CONFIGURED!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip().splitlines()[-1] == "[]"


_CLUSTER = """\
apiVersion: v1
kind: Config
current-context: away
clusters: [{name: away, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {token: "t"}}]
contexts: [{name: away, context: {cluster: away, user: me}}]
"""


@pytest.mark.parametrize(
    ("command", "provider"),
    [("plan", "provider: simulation\n"), ("plan", ""), ("validate", "provider: docker\n")],
)
def test_a_folder_that_names_no_cluster_does_not_load_the_client_of_one(
    tmp_path: Path, command: str, provider: str
) -> None:
    """A kubeconfig is there, and its cluster is far away."""
    (tmp_path / "b.yaml").write_text(f"name: b\n{provider}resources:\n  - {{name: a, type: container}}\n")
    (tmp_path / "kubeconfig").write_text(_CLUSTER)
    code = (
        "import sys\nfrom controller.cli.main import run\n"
        f"run(['--state', {str(tmp_path / 'state')!r}, {command!r}, {str(tmp_path / 'b.yaml')!r}])\n"
        "print([m for m in ('kubernetes', 'aiohttp', 'engines.kubernetes') if m in sys.modules], file=sys.stderr)"
    )
    around = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/no.sock", "KUBECONFIG": str(tmp_path / "kubeconfig")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=around, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_a_folder_that_names_a_cluster_asks_the_one_of_the_kubeconfig(
    tmp_path: Path, alma: Alma, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.yaml").write_text(
        "name: b\nprovider: k8s\nresources:\n  - {name: a, type: storage, specs: {size: 1GB}}\n"
    )
    monkeypatch.delenv("KUBECONFIG", raising=False)
    said = alma("plan", tmp_path / "b.yaml")
    assert (said.code, "has no kubernetes target" in said.err) == (3, True), said
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(_CLUSTER)
    said = alma("plan", tmp_path / "b.yaml")
    assert (said.code, "kubernetes could not be read" in said.err) == (5, True), said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plann"], "did you mean plan?"),
        (["plan"], "Missing argument 'PATH'"),
        (["plan", ".", "--nope"], "No such option '--nope'"),
        (["plan", ".", "-o", "yaml"], "is not one of"),
        (["logs"], "Missing argument"),
        (["destroy"], "name either PATH or --scope NAME"),
        (["destroy", ".", "--scope", "x"], "name either PATH or --scope NAME"),
    ],
)
def test_wrong_usage_is_exit_3(alma: Alma, words: list[str], told: str) -> None:
    said = alma(*words)
    assert said.code == 3
    assert told in said.err
    assert said.out == ""


def _broken(folder: Path) -> Path:
    file = folder / "shop.yaml"
    file.write_text("name: shop\nprovider: simulation\nresources:\n  - name: [\n")
    return folder


@pytest.mark.parametrize("command", [["plan"], ["validate"], ["deploy", "--yes"], ["destroy", "--yes"]], ids=" ".join)
@pytest.mark.parametrize("mistake", ["missing path", "broken YAML", "unknown engine"])
def test_wrong_input_is_exit_3_with_its_place_and_the_next_step(
    alma: Alma, shop: Path, command: list[str], mistake: str
) -> None:
    if mistake == "missing path":
        path = shop / "nowhere"
    elif mistake == "broken YAML":
        path = _broken(shop)
    else:
        path = shop
        (shop / "shop.yaml").write_text(
            "name: shop\nprovider: vmware\nresources:\n  - {name: w, type: container, specs: {image: a}}\n"
        )
    said = alma(command[0], path, *command[1:])
    if command[0] == "destroy" and mistake != "missing path":
        return  # what is written there does not matter to what is taken away; its own test is below
    assert said.code == 3, said
    place = {"missing path": "nowhere: no such file", "broken YAML": "shop.yaml:", "unknown engine": "shop.yaml:2:"}
    assert place[mistake] in said.err
    assert "Traceback" not in said.err


def test_a_state_that_is_in_use_names_the_holder_and_the_next_step(alma: Alma, shop: Path, tmp_path: Path) -> None:
    lock = lock_state(tmp_path / "state")
    said = alma("deploy", shop, "--yes")
    lock.release()
    assert said.code == 1
    assert "is in use by process" in said.err
    assert "\n  next: " in said.err


def test_a_configuration_that_cannot_be_read_is_exit_3(alma: Alma, tmp_path: Path) -> None:
    said = alma("--config", tmp_path / "none.yaml", "status")
    assert (said.code, said.out) == (3, "")
    assert "No such file" in said.err
    assert "next: name it with --config" in said.err


def test_a_wrong_configuration_names_line_and_column(alma: Alma, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("id: home\ntargets:\n  x: {engine: simulation}\nnope: 1\n")
    said = alma("--config", tmp_path / "s.yaml", "status")
    assert said.code == 3
    assert f"{tmp_path / 's.yaml'}:4:" in said.err


def test_a_docker_host_that_does_not_answer_is_exit_5(alma: Alma, shop: Path, tmp_path: Path) -> None:
    (shop / "shop.yaml").write_text((shop / "shop.yaml").read_text().replace("simulation", "docker"))
    (tmp_path / "s.yaml").write_text(f'targets:\n  d: {{engine: docker, url: "unix://{tmp_path}/no.sock"}}\n')
    for words in (["plan"], ["deploy", "--yes"]):
        said = alma("--config", tmp_path / "s.yaml", words[0], shop, *words[1:])
        assert said.code == 5, said
        assert "target d" in said.err
        assert "next: nothing was changed" in said.err
        assert said.out == ""


def test_a_closed_pipe_is_no_error(shop: Path) -> None:
    line = f"{sys.executable} -m controller.cli.main schema | head -c 10 > /dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_defect_is_told_without_a_traceback(alma: Alma, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.cli.plan.read_folder", lambda path: 1 / 0)
    said = alma("plan", shop)
    assert said.code == 1
    assert "a defect in alma (ZeroDivisionError" in said.err
    assert "ALMA_DEBUG=1" in said.err
    assert "Traceback" not in said.err


def test_a_process_of_its_own_says_the_same(shop: Path) -> None:
    said = spawned("validate", shop)
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("valid, 1 resources\n")
