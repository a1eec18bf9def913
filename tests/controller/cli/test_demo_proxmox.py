"""`alma demo --engine proxmox`: the story on an emulated cluster, and the words for who has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.cli import proxmox_shop
from tests.controller.cli.conftest import Alma, spawned
from tests.servers.process import wait_until


def test_an_emulated_story(tmp_path: Path) -> None:
    folder = tmp_path / "t"  # a socket path has at most 107 characters
    folder.mkdir()
    said = spawned("demo", "--engine", "proxmox", "--once", env={"TMPDIR": str(folder)}, timeout_s=150)
    assert said.code == 0, f"{said.out}\n{said.err}"
    chapters = [line[:5] for line in said.out.splitlines() if line.startswith("[")]
    assert chapters == ["[1/5]", "[2/5]", "[3/5]", "[4/5]", "[5/5]"]
    for told in ("web with 256 MB runs", "web with 512 MB runs", "undone", "not a copy", "quarantined", "$ pct set"):
        assert told in said.out
    assert "Every step came out as told." in said.out.splitlines()[-1]
    assert os.listdir(folder) == []
    wait_until(lambda: not _emulators(folder), timeout_s=10, what="the cluster has ended")


def _emulators(folder: Path) -> list[str]:
    """Processes that still serve a cluster below `folder`."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        found += [text] if "tests.proxmox" in text and str(folder) in text else []
    return found


def test_an_installed_alma_without_the_emulator_says_so(
    alma: Alma, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxmox_shop, "_EMULATOR", tmp_path / "site-packages" / "tests" / "proxmox" / "__main__.py")
    told = alma("demo", "--engine", "proxmox", "--once")
    assert told.code == 1
    assert "not part of an installed ALMA" in told.err
    assert "run it from a checkout" in told.err
