"""The one place that builds libgit2's callbacks: certificates, credentials, limits of time and size, cancelling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pygit2
from pygit2.callbacks import RemoteCallbacks
from pygit2.enums import ConfigLevel, CredentialType
from pygit2.remotes import PushUpdate, TransferProgress

from controller.git.url import RemoteUrl

_ZERO: Final = "0" * 40


@dataclass(frozen=True, slots=True)
class GitCredentials:
    """How we log in. A token is for https; a key file or the agent is for ssh. Never printed (I26)."""

    token: str | None = field(default=None, repr=False)
    username: str | None = None  # https: `alma`, ssh: the user of the address or `git`
    ssh_key: Path | None = None  # the private key; its public half is derived
    ssh_passphrase: str = field(default="", repr=False)


class Stopped(Exception):
    """We ended a transfer; the text says why and may be shown."""


class Disagreed(Exception):
    """The remote branch is not where the caller saw it; the text is where it is, empty when it is gone."""


def configure_git(timeout_ms: int) -> None:
    """Set what libgit2 keeps once for the whole process; call it before the first mirror opens.

    Connecting and each wait for an answer end after `timeout_ms` (libgit2 would wait for ever). Settings of the
    machine and of the account are not read: `url.*.insteadOf` or a proxy there could send us to another host (I43).
    """
    pygit2.settings.server_connect_timeout = timeout_ms
    pygit2.settings.server_timeout = timeout_ms
    for level in (ConfigLevel.SYSTEM, ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.PROGRAMDATA):
        pygit2.settings.search_path[level] = ""
    # A repository of another account is read as data: libgit2 runs neither its hooks nor commands of its settings.
    pygit2.settings.owner_validation = False


@dataclass(slots=True)
class TransferLimits:
    """When a transfer ends early: `deadline` on `clock` (seconds), `bytes_max` received, or `cancel` set."""

    bytes_max: int
    deadline: float
    cancel: threading.Event
    clock: Callable[[], float] = time.monotonic

    def check(self, received_bytes: int = 0) -> None:
        """Raise Stopped when one of the three is reached."""
        if self.cancel.is_set():
            raise Stopped("the transfer was cancelled")
        if self.clock() > self.deadline:
            raise Stopped("the transfer took too long")
        if received_bytes > self.bytes_max:
            raise Stopped(f"the transfer is larger than {self.bytes_max} bytes")


class Callbacks(RemoteCallbacks):
    """libgit2's questions during one connection to `url`."""

    def __init__(
        self, url: RemoteUrl, login: GitCredentials, limits: TransferLimits, expected: str | None = None
    ) -> None:
        super().__init__()
        self._url = url
        self._login = login
        self._limits = limits
        self._expected = expected or _ZERO
        self._asked = False
        self.rejected: str | None = None

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
        """Only what TLS or known_hosts vouches for, and only the configured host.

        pygit2's default would take any SSH host key. libgit2 follows the first redirect whatever its settings say;
        here the connection to another host ends before a request is sent on it (I43).
        """
        return valid and host.decode("ascii", "replace").strip("[]").casefold() == self._url.host.casefold()

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.UserPass | pygit2.Keypair | pygit2.Username:
        """Our login, once, and to the configured host only (I43)."""
        if not self._same_host(url):
            raise Stopped("the remote sent us to another host, which gets no credentials")
        if allowed_types & CredentialType.USERNAME:
            return pygit2.Username(self._ssh_user(username_from_url))
        if self._asked:
            raise Stopped("the remote refused our credentials")
        self._asked = True
        if self._url.transport == "ssh" and allowed_types & CredentialType.SSH_KEY:
            return self._ssh_login(self._ssh_user(username_from_url))
        if self._login.token and self._url.transport != "ssh" and allowed_types & CredentialType.USERPASS_PLAINTEXT:
            return pygit2.UserPass(self._login.username or self._url.user or "alma", self._login.token)
        raise Stopped("the remote asks for credentials and none are configured for it")

    def transfer_progress(self, stats: TransferProgress) -> None:
        self._limits.check(stats.received_bytes)

    def sideband_progress(self, string: str) -> None:
        self._limits.check()

    def push_transfer_progress(self, objects_pushed: int, total_objects: int, bytes_pushed: int) -> None:
        self._limits.check()

    def push_negotiation(self, updates: list[PushUpdate]) -> None:
        """Compare before we swap: the server takes the push only while its branch still is what it told here."""
        for update in updates:
            now = str(update.src)
            if now not in {self._expected, str(update.dst)}:
                raise Disagreed("" if now == _ZERO else now)

    def push_update_reference(self, refname: str, message: str | None) -> None:
        self.rejected = message

    def _same_host(self, url: str) -> bool:
        if self._url.transport == "ssh":
            return True  # ssh knows no redirect
        asked, ours = urlsplit(url), urlsplit(self._url.text)
        return (asked.scheme, asked.hostname, asked.port) == (ours.scheme, ours.hostname, ours.port)

    def _ssh_user(self, username_from_url: str | None) -> str:
        return username_from_url or self._url.user or self._login.username or "git"

    def _ssh_login(self, user: str) -> pygit2.Keypair:
        if self._login.ssh_key is None:
            return pygit2.KeypairFromAgent(user)
        return pygit2.Keypair(user, None, str(self._login.ssh_key), self._login.ssh_passphrase)
