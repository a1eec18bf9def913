"""Keys and signatures by the real programs, `gpg` and `ssh-keygen`: what people sign their commits with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

_PROGRAMS: Final = ("git", "gpg", "gpgconf", "ssh-keygen")


def missing() -> str | None:
    """Why nothing can be signed here."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(absent)} missing: apt-get install git gnupg openssh-client" if absent else None


class Workshop:
    """Makes keys in a folder of its own (a short path: gpg listens there) and signs with them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.gpg_home = root / "g"
        self.gpg_home.mkdir(mode=0o700)
        self.environment = {**os.environ, "GNUPGHOME": str(self.gpg_home), "HOME": str(root), "LC_ALL": "C"}

    def close(self) -> None:
        """End the agent that gpg started for this folder."""
        self._run("gpgconf", "--kill", "all")

    def ssh_key(self, name: str, kind: str = "ed25519", bits: int | None = None) -> str:
        """Makes a key; the line of its `.pub` file."""
        size = ["-b", str(bits)] if bits else []
        self._run("ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", name, "-f", str(self.ssh_file(name)))
        return self.ssh_file(name).with_suffix(".pub").read_text().strip()

    def ssh_file(self, name: str) -> Path:
        return self.root / name

    def ssh_sign(self, name: str, payload: bytes, namespace: str = "git") -> bytes:
        return self._run(
            "ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.ssh_file(name)), given=payload
        )

    def gpg_key(self, name: str, algorithm: str = "ed25519", at: str = "", until: str = "never") -> None:
        """Makes the key of NAME@example.org; `at`: the moment it is made, as 20200101T000000."""
        user = f"{name} <{name}@example.org>"
        self._gpg("--quick-generate-key", user, algorithm, "sign", until, at=at)

    def gpg_subkey(self, name: str) -> None:
        """From now on NAME signs with a key below the first one."""
        self._gpg("--quick-add-key", self.gpg_fingerprint(name), "ed25519", "sign", "never")

    def gpg_revoke(self, name: str) -> None:
        made = self.gpg_home / "openpgp-revocs.d" / f"{self.gpg_fingerprint(name)}.rev"
        self._gpg("--import", given=made.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))

    def gpg_fingerprint(self, name: str) -> str:
        listed = self._gpg("--with-colons", "--list-keys", f"{name}@example.org").decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    def gpg_public(self, name: str) -> bytes:
        return self._gpg("--armor", "--export", f"{name}@example.org")

    def gpg_sign(self, name: str, payload: bytes, at: str = "") -> bytes:
        return self._gpg("--armor", "--detach-sign", "-u", f"{name}@example.org", given=payload, at=at)

    def _gpg(self, *arguments: str, given: bytes = b"", at: str = "") -> bytes:
        moment = ["--faked-system-time", at] if at else []
        words = ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", *moment, *arguments]
        return self._run("gpg", *words, given=given)

    def _run(self, *command: str, given: bytes = b"") -> bytes:
        done = subprocess.run(command, input=given, capture_output=True, env=self.environment, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout
