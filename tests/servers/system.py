"""`python -m tests.servers.system`: the Debian packages the tests' servers need, installed where that is possible.

As root or with passwordless sudo the missing ones are installed; else they are named, and the tests that need them are
listed as not run. Under CI=true anything missing in the end is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_APT_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, the program that shows it is here, and what wants it."""

    name: str
    program: str
    purpose: str


PACKAGES = (
    Package("git", "git", "repositories of the tests"),
    Package("docker.io", "dockerd", "Docker Engine"),
    Package("containerd", "containerd", "Docker Engine"),
    Package("iptables", "iptables", "names inside container networks"),
    Package("iproute2", "ip", "the Docker Engine's own bridge"),
    Package("busybox-static", "busybox", "images without a registry"),
    Package("docker-registry", "docker-registry", "an image registry with a login"),
    Package("apache2-utils", "htpasswd", "its accounts"),
    Package("prometheus", "promtool", "Prometheus and promtool"),
    Package("postgresql-15", "pg_ctlcluster", "PostgreSQL; its own programs lie outside of PATH"),
    Package("mmdebstrap", "mmdebstrap", "the base of the container image"),
    Package("etcd-server", "etcd", "what a Kubernetes API server keeps its objects in"),
    Package("build-essential", "cc", "building Gitea"),
)


def absent() -> list[Package]:
    """The packages whose program is not here."""
    return [package for package in PACKAGES if shutil.which(package.program) is None]


def install(packages: Sequence[Package]) -> str | None:
    """Installs the packages with apt; returns why that did not work, or None."""
    if shutil.which("apt-get") is None:
        return "this is not Debian: install what is named above by other means"
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        return "needs root or sudo"
    prefix = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    names = [package.name for package in packages]
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "--", *names]):
        why = _run([*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2", *arguments])
        if why:
            return why
    return None


def _run(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_APT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"apt-get did not end within {_APT_TIMEOUT_S:.0f} s"
    return None if done.returncode == 0 else "\n".join(done.stderr.strip().splitlines()[-5:])


def main(*, strict: bool) -> int:
    """One line per package; 1 if something is missing in the end and `strict` holds."""
    before = absent()
    why = install(before) if before else None
    after = set(absent())
    for package in PACKAGES:
        state = "MISSING" if package in after else "installed" if package in before else "present"
        print(f"system: {package.name:<16} {state:<10} {package.purpose}")
    if after:
        apt = f"apt-get install {' '.join(package.name for package in PACKAGES if package in after)}"
        print(f"system: could not install: {why or 'apt-get said nothing'}\nsystem: as root: {apt}", file=sys.stderr)
    return 1 if after and strict else 0


if __name__ == "__main__":
    sys.exit(main(strict=os.environ.get("CI") == "true"))
