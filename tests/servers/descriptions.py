"""The published descriptions of the GitHub and GitLab APIs: fetched once from the package registries, kept outside the
tracked tree, and read by the contract tests.

GitHub publishes an OpenAPI document and recorded webhooks as npm packages. GitLab publishes a client in Go, whose
types name every field and every path, with recorded webhooks; its own OpenAPI document is in no registry.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.servers.go_server import NotBuilt, cache_root, locked

_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Description:
    """`pin`: what the registry must give, byte for byte (sha512 at npm, h1 at Go)."""

    name: str
    package: str
    version: str
    pin: str
    keeps: tuple[str, ...]  # of the package; `*` within one folder
    get: Callable[[Description, Path], Path]

    def folder(self) -> Path:
        return cache_root() / f"{self.name}-{self.version}"


def described(description: Description) -> Path | None:
    """The folder with what the package holds, or None; fetches nothing."""
    return description.folder() if description.folder().is_dir() else None


def fetch(description: Description) -> Path:
    """The folder; fetched if it is not there. Raises NotBuilt."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with locked(cache_root() / f"{description.name}.lock"):
        return described(description) or _fetch_into_place(description)


def _fetch_into_place(description: Description) -> Path:
    partial = Path(tempfile.mkdtemp(prefix=f"{description.name}-partial-", dir=cache_root()))
    try:
        package = description.get(description, partial)
        kept = partial / "kept"
        for pattern in description.keeps:
            for file in package.glob(pattern):
                to = kept / file.relative_to(package)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, to)
        # Renamed when complete: a fetch that was killed leaves nothing that looks finished.
        kept.rename(description.folder())
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return description.folder()


def _from_npm(description: Description, partial: Path) -> Path:
    if shutil.which("npm") is None:
        raise NotBuilt("npm is missing: apt-get install npm")
    package = f"{description.package}@{description.version}"
    _run(["npm", "pack", "--silent", "--ignore-scripts", package], partial)
    archive = next(partial.glob("*.tgz"))
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    _check(description, found)
    with tarfile.open(archive) as tar:
        tar.extractall(partial, filter="data")
    return partial / "package"


def _from_go(description: Description, partial: Path) -> Path:
    if shutil.which("go") is None:
        raise NotBuilt("the `go` command is missing: install Go 1.26 or newer from https://go.dev/dl/")
    (partial / "go.mod").write_text("module descriptions\n")
    told = _run(["go", "mod", "download", "-json", f"{description.package}@{description.version}"], partial)
    module = json.loads(told)
    _check(description, module["Sum"])
    return Path(module["Dir"])


def _check(description: Description, found: str) -> None:
    if found != description.pin:
        raise NotBuilt(f"{description.package} {description.version} is not what it was: {found}")


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "GOFLAGS": ""},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise NotBuilt(f"`{' '.join(command[:2])}` did not end within {_TIMEOUT_S:.0f} s") from late
    if done.returncode:
        raise NotBuilt(done.stderr.strip()[-1_000:])
    return done.stdout


GITHUB_API = Description(
    "github-api",
    "@octokit/openapi",
    "23.0.2",
    "sha512-pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg==",
    ("generated/api.github.com.json",),
    _from_npm,
)
GITHUB_WEBHOOKS = Description(
    "github-webhooks",
    "@octokit/webhooks-examples",
    "7.6.1",
    "sha512-De6U3XB6O3DtCa7bKgCMzTHdeopqqZ6SNivMYJnK65ierKL1AnNIA0tkRYCRS7lwGT792d+Ps1WbfHlso6MynQ==",
    ("api.github.com/index.json",),
    _from_npm,
)
GITLAB_API = Description(
    "gitlab-api",
    "gitlab.com/gitlab-org/api/client-go",
    "v1.46.0",
    "h1:YxBWFZIFYKcGESCb9fpkwzouo+apyB9pr/XTWzNoL24=",
    ("[a-z]*.go", "testdata/webhooks/*.json"),
    _from_go,
)
DESCRIPTIONS = (GITHUB_API, GITHUB_WEBHOOKS, GITLAB_API)


def missing_of(*wanted: Description) -> Callable[[], str | None]:
    """Why the tests that need these cannot run, or None."""

    def missing() -> str | None:
        absent = [one.name for one in wanted if described(one) is None]
        return f"{', '.join(absent)} not fetched (python -m tests.servers.build; needs npm and Go)" if absent else None

    return missing
