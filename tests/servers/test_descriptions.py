"""A description is fetched once, is what it was when it was pinned, or is not there at all. A stand-in plays npm."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.descriptions import GITHUB_API, Description, described, fetch, missing_of
from tests.servers.go_server import NotBuilt


def archive(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Description:
    """One whose package the stand-in has; the cache is of this test."""
    data = archive({"generated/api.github.com.json": "{}", "generated/other.json": "{}", "README.md": "x"})
    (tmp_path / "package.tgz").write_bytes(data)
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\necho npm >>"{tmp_path / "log"}"\ncp "{tmp_path / "package.tgz"}" package.tgz\n')
    npm.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")
    return replace(GITHUB_API, pin="sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode())


def test_a_description_is_fetched_once_and_only_what_is_read_is_kept(wanted: Description, tmp_path: Path) -> None:
    assert described(wanted) is None
    folder = fetch(wanted)
    assert fetch(wanted) == folder == described(wanted)
    assert (tmp_path / "log").read_text() == "npm\n"
    kept = [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]
    assert kept == ["generated/api.github.com.json"]


def test_a_package_that_is_not_what_it_was_leaves_nothing(wanted: Description) -> None:
    with pytest.raises(NotBuilt, match="not what it was"):
        fetch(replace(wanted, pin="sha512-other"))
    assert described(wanted) is None


def test_without_npm_it_is_told_what_to_install(wanted: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotBuilt, match="apt-get install npm"):
        fetch(wanted)


def test_what_is_not_fetched_is_named_with_the_command(wanted: Description) -> None:
    why = missing_of(wanted)()
    assert why is not None and "github-api not fetched (python -m tests.servers.build" in why
    fetch(wanted)
    assert missing_of(wanted)() is None
