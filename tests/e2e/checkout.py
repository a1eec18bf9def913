"""A person's checkout: commits files on top of the remote's main branch and pushes them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_WHO = ("-c", "user.name=ada", "-c", "user.email=ada@example.test", "-c", "init.defaultBranch=main")
Files = Mapping[str, str | None]


def git(where: Path, *arguments: str) -> str:
    """Run git in `where`; its output without the last newline."""
    done = subprocess.run(["git", *_WHO, *arguments], cwd=where, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def bare_remote(folder: Path) -> str:
    """A new bare repository; its address."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", ".")
    return str(folder)


@dataclass(frozen=True)
class Checkout:
    """A work tree of the remote at `url`."""

    folder: Path
    url: str

    def push(self, files: Files, branch: str = "main") -> str:
        """Writes `files` (None: removed) on top of the remote's main, or of `branch` if it is there; the commit."""
        self._start(branch)
        for name, text in files.items():
            path = self.folder / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", f"Change {', '.join(files)}")
        git(self.folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.folder, "rev-parse", "HEAD")

    def _start(self, branch: str) -> None:
        if not (self.folder / ".git").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            git(self.folder, "init", "--quiet")
            git(self.folder, "remote", "add", "origin", self.url)
        git(self.folder, "fetch", "--quiet", "--prune", "origin")
        there = git(self.folder, "branch", "--remotes", "--format=%(refname:lstrip=3)").split()
        base = next((b for b in (branch, "main") if b in there), None)
        git(self.folder, "checkout", "--quiet", "-B", branch, *([f"origin/{base}"] if base else []))
