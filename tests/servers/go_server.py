"""Servers that exist only as Go source: built once, kept outside the tracked tree.

The folder of a build is named by the hash of what went into it (`go.mod`, `go.sum`, tags, flags), so another version
never meets an old binary. A build happens before the tests, never in the middle of one: `tests.servers.build`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_BUILD_TIMEOUT_S = 1800.0
_LINES_OF_AN_ERROR = 15


class NotBuilt(Exception):
    """The build cannot be done here; the text says what is missing or what the compiler said last."""


@dataclass(frozen=True, slots=True)
class GoServer:
    """One or more programs of the module `tests/servers/go/NAME`, which pins every version they are made of."""

    name: str
    module: str  # whose folder holds `folders`
    packages: tuple[str, ...]
    tags: tuple[str, ...] = ()
    ldflags: str = "-s -w"
    folders: tuple[str, ...] = ()  # read by the program at run time, copied beside it

    def flags(self) -> tuple[str, ...]:
        """The arguments of `go build` that change its result."""
        return ("-trimpath", "-buildvcs=false", f"-tags={','.join(self.tags)}", f"-ldflags={self.ldflags}")

    def programs(self) -> dict[str, str]:
        """The package of each program; one alone bears the server's name, several the names of their packages."""
        if len(self.packages) == 1:
            return {self.name: self.packages[0]}
        return {package.rsplit("/", 1)[-1]: package for package in self.packages}

    def source(self) -> Path:
        """The folder of our module that requires it."""
        return _HERE / "go" / self.name

    def fingerprint(self) -> str:
        """Equal for equal inputs of the build."""
        digest = hashlib.sha256()
        for part in ((self.source() / "go.mod").read_bytes(), (self.source() / "go.sum").read_bytes()):
            digest.update(hashlib.sha256(part).digest())
        digest.update("\0".join((self.name, *self.packages, *self.flags(), *self.folders)).encode())
        return digest.hexdigest()[:16]


GITEA = GoServer(
    "gitea",
    "code.gitea.io/gitea",
    ("code.gitea.io/gitea",),
    tags=("sqlite", "sqlite_unlock_notify"),
    ldflags="-s -w -X main.Version=1.26.0",
    folders=("options", "templates", "public"),
)
COMPOSE = GoServer(
    "compose",
    "github.com/docker/compose/v2",
    ("github.com/docker/compose/v2/cmd",),
    ldflags="-s -w -X github.com/docker/compose/v2/internal.Version=v2.40.3",
)
_KUBERNETES_VERSION = ("gitVersion=v1.34.2", "gitMajor=1", "gitMinor=34")
KUBERNETES = GoServer(
    "kubernetes",
    "k8s.io/kubernetes",
    tuple(
        f"k8s.io/kubernetes/cmd/{program}"
        for program in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    ),
    ldflags=" ".join(["-s -w", *(f"-X k8s.io/component-base/version.{part}" for part in _KUBERNETES_VERSION)]),
)
KWOK = GoServer("kwok", "sigs.k8s.io/kwok", ("sigs.k8s.io/kwok/cmd/kwok",), folders=("kustomize/stage",))
HELM = GoServer("helm", "helm.sh/helm/v4", ("helm.sh/helm/v4/cmd/helm",))
TEMPORAL = GoServer("temporal", "github.com/temporalio/cli", ("github.com/temporalio/cli/cmd/temporal",))
SOPS = GoServer("sops", "github.com/getsops/sops/v3", ("github.com/getsops/sops/v3/cmd/sops",))
GO_SERVERS = (GITEA, COMPOSE, KUBERNETES, KWOK, HELM, TEMPORAL, SOPS)


def cache_root() -> Path:
    """Where builds are kept: `$XDG_CACHE_HOME/alma-test-servers`, by default below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "alma-test-servers"


def built(server: GoServer) -> Path | None:
    """The folder with the finished programs (`FOLDER/PROGRAM`), or None; builds nothing."""
    folder = cache_root() / f"{server.name}-{server.fingerprint()}"
    return folder if all((folder / program).is_file() for program in server.programs()) else None


def build(server: GoServer) -> Path:
    """The folder of the finished programs; builds them if they are not there, never in two processes at once.

    Raises NotBuilt.
    """
    cache_root().mkdir(parents=True, exist_ok=True)
    with locked(cache_root() / f"{server.name}.lock"):
        return built(server) or _build_into_place(server)


def _build_into_place(server: GoServer) -> Path:
    if shutil.which("go") is None:
        raise NotBuilt("the `go` command is missing: install Go 1.26 or newer from https://go.dev/dl/")
    if server.tags and shutil.which("cc") is None:
        raise NotBuilt("a C compiler is missing: apt-get install gcc libc6-dev")
    final = cache_root() / f"{server.name}-{server.fingerprint()}"
    partial = Path(tempfile.mkdtemp(prefix=f"{server.name}-partial-", dir=cache_root()))
    try:
        for program, package in server.programs().items():
            _go(server, "build", *server.flags(), "-o", str(partial / program), package)
        _copy_folders(server, partial)
        # Renamed when complete: a build that was killed leaves nothing that looks finished.
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def _copy_folders(server: GoServer, target: Path) -> None:
    if not server.folders:
        return
    module = Path(_go(server, "list", "-m", "-f", "{{.Dir}}", server.module).strip())
    for folder in server.folders:
        # The module cache is read-only; copyfile leaves its modes behind, so the copy can be removed again.
        shutil.copytree(module / folder, target / folder, copy_function=shutil.copyfile)
    for copied in (path for path in target.rglob("*") if path.is_dir()):
        copied.chmod(0o755)


def _go(server: GoServer, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["go", *arguments],
            cwd=server.source(),
            env={**os.environ, "GOFLAGS": "", "CGO_ENABLED": "1" if server.tags else "0"},
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise NotBuilt(f"`go {arguments[0]}` did not end within {_BUILD_TIMEOUT_S:.0f} s") from late
    if done.returncode:
        raise NotBuilt("\n".join(done.stderr.strip().splitlines()[-_LINES_OF_AN_ERROR:]))
    return done.stdout


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside the block, on this machine and for this `path`."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
