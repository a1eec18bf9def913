"""The real SOPS: what people encrypt their files with. Keys are made by the age library."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pyrage

from tests.servers.go_server import SOPS, built

_FOLDER = built(SOPS)  # looked up before a test gives itself another home


def missing() -> str | None:
    """Why nothing can be encrypted here."""
    return None if _FOLDER else "SOPS is not built: make servers, or python -m tests.servers.build sops"


class Sops:
    """Encrypts in a folder of its own."""

    def __init__(self, root: Path) -> None:
        assert _FOLDER is not None, missing()
        self.program, self.root = _FOLDER / SOPS.name, root

    def identity(self, name: str) -> tuple[str, str]:
        """Makes a key file as age-keygen does; its text and the recipient."""
        made = pyrage.x25519.Identity.generate()
        text = f"# created: 2026-01-01T00:00:00Z\n# public key: {made.to_public()}\n{made}\n"
        (self.root / name).write_text(text)
        return text, str(made.to_public())

    def encrypt(self, name: str, text: str, *arguments: str, rule: str = "") -> str:
        """`text` as a file called `name`, encrypted; `rule`: one of `.sops.yaml` for it, as a flow map."""
        file = self.root / name
        (self.root / ".sops.yaml").write_text(f"creation_rules: [{rule or '{}'}]\n")
        file.write_text(text)
        return self.run("encrypt", *arguments, str(file))

    def edit(self, name: str, text: str, key: str, value: str, identity: str) -> str:
        """The encrypted `text` with another value at `key`, as `sops set` leaves it."""
        file = self.root / name
        file.write_text(text)
        self.run("set", str(file), key, value, identity=identity)
        return file.read_text()

    def decrypt(self, name: str, text: str, key: str, identity: str) -> str:
        """The value at `key` (`["a"]["b"]`) of the encrypted `text`."""
        file = self.root / name
        file.write_text(text)
        return self.run("decrypt", "--extract", key, str(file), identity=identity)

    def run(self, *arguments: str, identity: str = "") -> str:
        """`sops` with these arguments; what it prints."""
        own = {"HOME": str(self.root), "PATH": os.environ["PATH"], "SOPS_AGE_KEY": identity}
        done = subprocess.run(
            [str(self.program), "--disable-version-check", *arguments],
            env=own,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
