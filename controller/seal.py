"""The server's key: it seals prior state (I27) and keys the hashes that secret values are compared by.

Nothing here is printed: neither key nor plain text appears in a repr or an error. Without a key file there is no
`Key`; secrets are then "not compared" (`not_compared`), and prior state that holds secrets cannot be kept.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from controller.errors import AlmaError, InvalidInput
from controller.plan.resource import Masked
from controller.plan.step import Sealed

_KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = "alma1"

Entropy = Callable[[int], bytes]  # as os.urandom


class SealBroken(AlmaError):
    """A sealed blob cannot be opened: another key, another op, or damaged. Nothing of its content is told."""


@dataclass(frozen=True, slots=True)
class Key:
    """32 secret bytes, used only through keys derived from them for one purpose each."""

    _mask: bytes = field(repr=False)
    _seal: bytes = field(repr=False)
    id: str  # names the key without telling anything of it
    _entropy: Entropy = field(repr=False, default=os.urandom)

    @classmethod
    def of(cls, secret: bytes, *, entropy: Entropy = os.urandom) -> Key:
        """The key with these bytes. Raises InvalidInput unless there are 32 of them."""
        if len(secret) != _KEY_BYTES:
            raise InvalidInput(f"key_file: must hold exactly {_KEY_BYTES} bytes, it holds {len(secret)}", hint=_MEND)
        return cls(_derived(secret, "mask"), _derived(secret, "seal"), _derived(secret, "id").hex()[:16], entropy)

    def mask(self, value: str) -> Masked:
        """What stands for a secret value wherever it is compared: HMAC-SHA256, so that a value that could be guessed
        cannot be checked without the key (I27)."""
        return Masked(hmac.digest(self._mask, value.encode("utf-8", "surrogatepass"), "sha256").hex())

    def sealer(self, op: str) -> OpSeal:
        """Seals for one op; fulfils `engines.engine.Seal`."""
        return OpSeal(self, op)

    def seal(self, op: str, plain: bytes) -> Sealed:
        """AES-256-GCM, bound to `op`. Two calls give two blobs."""
        nonce = self._entropy(_NONCE_BYTES)
        sealed = AESGCM(self._seal).encrypt(nonce, plain, self._bound(op))
        return Sealed(".".join((_FORMAT, self.id, _text(op.encode()), _text(nonce + sealed))))

    def unseal(self, sealed: Sealed) -> bytes:
        """The plain bytes, whichever op sealed them (an undo opens what its step's op sealed); `Values.unseal`.
        Raises SealBroken."""
        _, op, body = self._parts(sealed)
        try:
            return AESGCM(self._seal).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], self._bound(op))
        except (InvalidTag, ValueError):
            raise SealBroken("sealed prior state is damaged", hint="restore the journal from a backup") from None

    def op_of(self, sealed: Sealed) -> str:
        """The op that a blob was sealed for, as it says; `unseal` proves it. Raises SealBroken."""
        return self._parts(sealed)[1]

    def _bound(self, op: str) -> bytes:
        return f"{_FORMAT}\n{self.id}\n{op}".encode()

    def _parts(self, sealed: Sealed) -> tuple[str, str, bytes]:
        parts = sealed.blob.split(".")
        if len(parts) != 4 or parts[0] != _FORMAT:
            raise SealBroken("sealed prior state has no form that this version knows")
        if parts[1] != self.id:
            raise SealBroken(
                f"sealed under key {_shown(parts[1])}, the server has key {self.id}",
                hint="put the former key_file back, or undo by hand",
            )
        try:
            return parts[1], _bytes(parts[2]).decode(), _bytes(parts[3])
        except ValueError:  # binascii.Error and UnicodeDecodeError are ValueErrors
            raise SealBroken("sealed prior state is damaged", hint="restore the journal from a backup") from None


@dataclass(frozen=True, slots=True)
class OpSeal:
    """What `prior` of one op may use: a blob of another op is refused."""

    key: Key = field(repr=False)
    op: str

    def seal(self, plain: bytes) -> Sealed:
        """Seal for this op."""
        return self.key.seal(self.op, plain)

    def open(self, sealed: Sealed) -> bytes:
        """The plain bytes. Raises SealBroken, also for a blob of another op."""
        if self.key.op_of(sealed) != self.op:
            raise SealBroken(f"sealed prior state belongs to another op than {self.op}")
        return self.key.unseal(sealed)


def not_compared(value: str) -> Masked:
    """The mask where the server has no key: secrets never count as a change."""
    return Masked(None)


def read_key(path: Path, *, entropy: Entropy = os.urandom) -> Key:
    """The key in a file that only its owner can read. Raises InvalidInput when it is missing, open to others, no
    regular file or of another size."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidInput(f"key_file: {path}: {error.strerror}", hint=_MEND) from None
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise InvalidInput(f"key_file: {path} is not a regular file", hint=_MEND)
        if about.st_mode & 0o077:
            raise InvalidInput(
                f"key_file: {path} can be read or written by others (mode {about.st_mode & 0o777:04o})",
                hint=f"chmod 600 {path}",
            )
        return Key.of(os.read(fd, _KEY_BYTES + 1), entropy=entropy)
    finally:
        os.close(fd)


def make_key(path: Path, *, entropy: Entropy = os.urandom) -> None:
    """Write a new key with mode 0600, durable on return. An existing file is left alone: raises InvalidInput."""
    fresh = path.with_name(f".{path.name}.{entropy(8).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, entropy(_KEY_BYTES))
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(fresh, path)  # fails when it is there; a kill before leaves no half-written key under the name
        finally:
            os.unlink(fresh)
    except OSError as error:
        raise InvalidInput(
            f"key_file: {path}: {error.strerror}", hint="choose another place, or keep that key"
        ) from None


_MEND = "make one with 32 random bytes and mode 0600, or leave key_file out of the configuration"


def _derived(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, f"alma {purpose} v1".encode(), "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(data) != text:  # one blob has one spelling
        raise binascii.Error("spelling")
    return data


def _shown(key_id: str) -> str:
    return key_id if len(key_id) == 16 and key_id.isalnum() else "(unreadable)"
