"""What a release is made of: every package pinned by hash, none from Git; two builds give the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.readme import ROOT

PROJECT = "alma-controller"
Package = dict[str, Any]


@pytest.fixture(scope="module")
def locked() -> dict[str, Package]:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    return {package["name"]: package for package in lock["package"]}


def test_every_package_is_pinned_by_hash_and_comes_from_the_index(
    locked: dict[str, Package], report_n: Callable[..., None]
) -> None:
    others = {name: package for name, package in locked.items() if name != PROJECT}
    loose = [
        name for name, package in others.items() if not all(_hashes(package)) or "registry" not in package["source"]
    ]
    report_n("E31 pinned packages", len(others), len(loose))
    assert others and not loose


def _hashes(package: Package) -> Iterator[str]:
    for file in (*package.get("wheels", ()), *filter(None, [package.get("sdist")])):
        yield file.get("hash", "")


def test_two_builds_are_the_same_to_the_last_byte(tmp_path: Path, report_n: Callable[..., None]) -> None:
    """In two folders, one after the other."""
    one, other = (built(tmp_path / name) for name in ("one", "other"))
    assert sorted(one) == sorted(other) and len(one) == 2
    report_n("E34 files built twice", len(one), sum(one[name] != other[name] for name in one))
    assert one == other


def built(folder: Path) -> dict[str, bytes]:
    """Wheel and source of a copy of what is tracked, by name."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "tree" / name)
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=folder / "tree", check=True, capture_output=True, env=dict(os.environ))
    return {file.name: file.read_bytes() for file in (folder / "dist").iterdir()}
