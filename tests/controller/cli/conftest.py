"""The command line as a person meets it: exit code, stdout and stderr, with a state folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.cli.main import run

SHOP = """\
name: shop
provider: simulation
resources:
  - name: web
    type: container
    specs: {image: "web:1.0", ports: ["8080:80"]}
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        return self.out.splitlines()[-1]


Alma = Callable[..., Said]


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's configuration, state, Docker host or cluster takes part."""
    for name in [n for n in os.environ if n.startswith("ALMA_") or n in ("DOCKER_HOST", "KUBECONFIG", "NO_COLOR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALMA_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def alma(capsys: pytest.CaptureFixture[str]) -> Alma:
    """alma(*args) in this process."""

    def call(*args: object) -> Said:
        capsys.readouterr()
        code = run([str(a) for a in args])
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call


def spawned(*args: object, env: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> Said:
    """A process of its own, its output into pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "controller.cli.main", *map(str, args)],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with one small blueprint."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.yaml").write_text(SHOP)
    return folder


def two_scopes(folder: Path, *, broken: str = "") -> Path:
    """`app` depends on `base`; the scope called `broken` never gets healthy."""
    folder.mkdir(exist_ok=True)
    (folder / "alma.yaml").write_text(
        "version: 1\nscopes:\n  - {name: app, path: app, depends_on: [base]}\n  - {name: base, path: base}\n"
    )
    for scope in ("app", "base"):
        wish = ", simulate: {health: never}" if scope == broken else ""
        (folder / scope).mkdir(exist_ok=True)
        (folder / scope / "b.yaml").write_text(
            f"name: b\nprovider: simulation\nresources:\n  - name: {scope}\n    type: container\n"
            f'    specs: {{image: "{scope}:1"{wish}}}\n    health: {{http: {{port: 80}}, timeout: 1s}}\n'
        )
    return folder


def many(folder: Path, count: int) -> Path:
    """One scope with `count` containers."""
    folder.mkdir(exist_ok=True)
    lines = [f'  - {{name: c{n}, type: container, specs: {{image: "c:1"}}}}\n' for n in range(count)]
    (folder / "all.yaml").write_text("name: all\nprovider: simulation\nresources:\n" + "".join(lines))
    return folder
