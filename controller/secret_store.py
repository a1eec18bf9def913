"""Secret references → values, right before they are needed (I27). Values never appear in a repr or an error.

A reference is `env:NAME`, `file:/absolute/path` or `sops:PATH#KEY`, a file of the repository itself. What a repository
may name is server policy (`allow.REPO.secrets`), and never what the server itself lives by: `ALMA_*`, and every
reference of its own configuration.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NoReturn

from controller.blueprint.sops import SopsFile, parts
from controller.errors import InvalidInput, Problem, RefusedByPolicy
from controller.sops import Undecryptable, decrypt

SCHEMES = {
    "env": "a variable of the server's environment",
    "file": "a file on the server, by absolute path",
    "sops": "PATH#KEY, a value in a file of the repository that SOPS encrypted",
}
_FILE_BYTES_MAX = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# These show the process and the machine, the whole environment among it, whatever a pattern says.
_NEVER = tuple(PurePosixPath(p) for p in ("/proc", "/sys", "/dev"))


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What `sops:` references are read from: the files of one revision, by path, and the references of the server
    configuration that hold the age identities for them."""

    files: Mapping[str, SopsFile] = field(default_factory=dict)
    identities: tuple[str, ...] = ()


_NOTHING = Encrypted()


class Secrets(Mapping[str, str]):
    """References and their values. Shows only the references; cannot be pickled or copied to JSON by accident."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, ref: str) -> str:
        return self._values[ref]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secret values stay in the process that resolved them")


class _Denied(Exception):
    """Why a reference gives no value; the text holds names only."""

    def __init__(self, reason: str, *, by_policy: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.by_policy = reason, by_policy


class SecretStore:
    """Reads references. `env` is the server's (or the caller's) environment; `reserved` are the references that the
    server configuration itself uses."""

    def __init__(self, env: Mapping[str, str], reserved: Sequence[str] = ()) -> None:
        self._env = env
        self._reserved = frozenset(reserved)
        self._reserved_files = frozenset(
            os.path.realpath(r.removeprefix("file:")) for r in reserved if r.startswith("file:")
        )

    def __repr__(self) -> str:
        return "SecretStore()"

    def check(self, ref: str, allow: Sequence[str]) -> str | None:
        """Why `ref` may not be used or has no form of a reference; None if it may. Reads no value, so that a plan can
        ask where the value is not at hand."""
        try:
            self._permit(ref, allow)
        except _Denied as denied:
            return denied.reason
        return None

    def resolve(self, refs: Sequence[str], allow: Sequence[str], encrypted: Encrypted = _NOTHING) -> Secrets:
        """The values of all `refs`. Raises RefusedByPolicy when one is not allowed, else InvalidInput naming every
        one that is not there."""
        values: dict[str, str] = {}
        problems: list[Problem] = []
        for ref in dict.fromkeys(refs):
            try:
                values[ref] = self._value(ref, allow, encrypted)
            except _Denied as denied:
                if denied.by_policy:
                    raise RefusedByPolicy(denied.reason, hint=_HINT) from None
                problems.append(Problem(None, denied.reason))
        if problems:
            raise InvalidInput(problems)
        return Secrets(values)

    def _permit(self, ref: str, allow: Sequence[str]) -> tuple[str, str]:
        """The scheme and the rest. Raises _Denied."""
        scheme, rest = _split(ref)
        if scheme == "env" and rest.upper().startswith("ALMA_"):
            raise _Denied(f"secret {ref}: ALMA_* belongs to the server", by_policy=True)
        if ref in self._reserved or (scheme == "file" and rest in self._reserved_files):
            raise _Denied(f"secret {ref} belongs to the server's own configuration", by_policy=True)
        if scheme == "file" and _is_kernel(rest):
            raise _Denied(f"secret {ref}: files of the kernel are no secrets", by_policy=True)
        if not any(allows(pattern, ref) for pattern in allow):
            raise _Denied(f"secret {ref} is not among what this repository may use", by_policy=True)
        return scheme, rest

    def own(self, ref: str) -> str:
        """The value of a reference of the server configuration itself. Raises InvalidInput."""
        scheme, _, rest = ref.partition(":")
        if scheme == "env" and rest not in self._env:
            raise InvalidInput(f"${rest} is not set and the server configuration needs it")
        return self._env[rest] if scheme == "env" else SecretStore({}).resolve([ref], [ref])[ref]

    def _value(self, ref: str, allow: Sequence[str], encrypted: Encrypted) -> str:
        scheme, rest = self._permit(ref, allow)
        if scheme == "sops":
            return self._decrypted(ref, encrypted)
        if scheme == "env":
            if rest not in self._env:
                raise _Denied(f"secret {ref} is not set")
            return self._env[rest]
        return self._file(ref, rest, allow)

    def _decrypted(self, ref: str, encrypted: Encrypted) -> str:
        path, key = parts(ref) or ("", "")
        if path not in encrypted.files:
            raise _Denied(f"secret {ref}: its file is not at hand")
        try:
            return decrypt(encrypted.files[path], key, [self.own(i) for i in encrypted.identities])
        except (Undecryptable, InvalidInput) as error:
            raise _Denied(f"secret {ref}: {error}") from None

    def _file(self, ref: str, path: str, allow: Sequence[str]) -> str:
        real = os.path.realpath(path)
        if real != path:
            # A link may lead on within what is allowed (mounted secrets are made of links), never out of it.
            try:
                self._permit(f"file:{real}", allow)
            except _Denied:
                raise _Denied(f"secret {ref} leads to a place that is not allowed", by_policy=True) from None
        data = _read(ref, real)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise _Denied(f"secret {ref} is not UTF-8 text") from None
        return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


_HINT = "a person with access to the server adds it to allow.REPOSITORY.secrets in alma-server.yaml"


def allows(pattern: str, ref: str) -> bool:
    """True if `pattern` (`env:APP_*`, `file:/etc/alma/secrets/**`) covers `ref`. `*` stays within one part of a path,
    `**` goes over several; everything else is literal."""
    return bool(_compiled(pattern).fullmatch(ref))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    words = {"**": "[^\\0]*", "*": "[^/\\0]*"}
    parts = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join(words.get(p) or re.escape(p) for p in parts))


def _split(ref: str) -> tuple[str, str]:
    scheme, colon, rest = ref.partition(":")
    if not colon or scheme not in SCHEMES:
        known = ", ".join(f"{name}: ({what})" for name, what in SCHEMES.items())
        raise _Denied(f"secret reference has an unknown scheme, known are {known}")
    if scheme == "sops" and parts(ref) is None:
        raise _Denied("secret reference sops: must be followed by the path of a file, # and a key (a/b for b below a)")
    if scheme == "env" and not _NAME.fullmatch(rest):
        raise _Denied("secret reference env: must be followed by the name of a variable")
    if scheme == "file" and not _is_plain(rest):
        raise _Denied("secret reference file: must be followed by an absolute path without . or .. or //")
    return scheme, rest


def _is_plain(path: str) -> bool:
    return path.startswith("/") and path.isprintable() and all(p not in ("", ".", "..") for p in path[1:].split("/"))


def _is_kernel(path: str) -> bool:
    return any(PurePosixPath(path).is_relative_to(p) for p in _NEVER)


def _read(ref: str, path: str) -> bytes:
    """The bytes of a regular file of bounded size; `path` is resolved and may not have become a link since."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _Denied(f"secret {ref}: {error.strerror}") from None
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise _Denied(f"secret {ref} is not a regular file")
        data = _at_most(fd, _FILE_BYTES_MAX + 1)
    finally:
        os.close(fd)
    if len(data) > _FILE_BYTES_MAX:
        raise _Denied(f"secret {ref} is larger than 1 MiB")
    if not _still_there(path, about):
        raise _Denied(f"secret {ref} changed while it was read, try again")
    return data


def _at_most(fd: int, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes and (more := os.read(fd, size_bytes - len(data))):
        data += more
    return data


def _still_there(path: str, about: os.stat_result) -> bool:
    """True if the resolved path still is one, and still names the file that was read."""
    try:
        return os.path.realpath(path) == path and os.path.samestat(os.lstat(path), about)
    except OSError:
        return False
