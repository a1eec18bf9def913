"""SSH signatures of commits (OpenSSH's PROTOCOL.sshsig): the frame is read here, the cryptography is a library's.

No program is started and no file is written: what is checked comes from strangers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from controller.errors import InvalidInput

BEGIN: Final = b"-----BEGIN SSH SIGNATURE-----"
_END: Final = b"-----END SSH SIGNATURE-----"
_MAGIC: Final = b"SSHSIG"
_NAMESPACE: Final = b"git"  # a signature made for anything else says nothing about a commit
_DIGESTS: Final[Mapping[bytes, Callable[[bytes], bytes]]] = {
    b"sha256": lambda data: hashlib.sha256(data).digest(),
    b"sha512": lambda data: hashlib.sha512(data).digest(),
}
_RSA_HASHES: Final[Mapping[bytes, hashes.HashAlgorithm]] = {
    b"rsa-sha2-256": hashes.SHA256(),
    b"rsa-sha2-512": hashes.SHA512(),
}
_CURVE_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_RSA_BITS_MIN: Final = 2048

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class SshKey:
    """One public key, and its blob as a signature names it."""

    blob: bytes
    public: PublicKey

    @classmethod
    def read(cls, line: str) -> SshKey:
        """A line as in `id_ed25519.pub`. Raises InvalidInput for what cannot be used."""
        words = line.split()
        try:
            blob = base64.b64decode(words[1], validate=True)
            public = load_ssh_public_key(" ".join(words[:2]).encode())
        except (ValueError, IndexError, UnsupportedAlgorithm):
            raise InvalidInput("is no public key", hint="write the line of a .pub file: ssh-ed25519 AAAA…") from None
        if isinstance(public, RSAPublicKey) and public.key_size < _RSA_BITS_MIN:
            raise InvalidInput(f"has {public.key_size} bits; an RSA key has {_RSA_BITS_MIN} at least")
        if words[0].startswith("sk-") or not isinstance(public, PublicKey):
            raise InvalidInput(f"is of the kind {words[0][:40]}", hint="use a key of ed25519, ecdsa or rsa")
        return cls(blob, public)

    def signed(self, signature: SshSignature, payload: bytes) -> bool:
        """Whether this key made `signature` over `payload`."""
        message = signature.message(payload)
        if signature.key != self.blob or message is None:
            return False
        try:
            return self._verified(signature.algorithm, signature.value, message)
        except (InvalidSignature, ValueError):
            return False

    def _verified(self, algorithm: bytes, value: bytes, message: bytes) -> bool:
        match self.public:
            case Ed25519PublicKey() if algorithm == b"ssh-ed25519":
                self.public.verify(value, message)
            case RSAPublicKey() if algorithm in _RSA_HASHES:  # never ssh-rsa, which is SHA-1
                self.public.verify(value, message, PKCS1v15(), _RSA_HASHES[algorithm])
            case EllipticCurvePublicKey() if algorithm.startswith(b"ecdsa-sha2-"):
                numbers = _Fields(value)
                r, s = (int.from_bytes(numbers.text()) for _ in range(2))
                chosen = ECDSA(_CURVE_HASHES[self.public.curve.name])
                self.public.verify(encode_dss_signature(r, s), message, chosen)
            case _:
                return False
        return True


@dataclass(frozen=True, slots=True)
class SshSignature:
    """What one armoured signature holds; hostile until a key has verified it."""

    key: bytes
    namespace: bytes
    reserved: bytes
    digest: bytes
    algorithm: bytes
    value: bytes

    @classmethod
    def read(cls, armoured: bytes) -> SshSignature:
        """Raises ValueError for anything but exactly one signature of version 1."""
        text = armoured.strip()
        if not (text.startswith(BEGIN) and text.endswith(_END)):
            raise ValueError("no SSH signature")
        try:
            raw = base64.b64decode(b"".join(text[len(BEGIN) : -len(_END)].split()), validate=True)
        except binascii.Error:
            raise ValueError("not base64") from None
        fields = _Fields(raw)
        if fields.take(6) != _MAGIC or fields.number() != 1:
            raise ValueError("no SSH signature of version 1")
        key, namespace, reserved, digest = (fields.text() for _ in range(4))
        inner = _Fields(fields.text())
        made = cls(key, namespace, reserved, digest, inner.text(), inner.text())
        fields.end()
        inner.end()
        return made

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.key).digest()).decode().rstrip("=")

    def message(self, payload: bytes) -> bytes | None:
        """The bytes that were signed; None where it was not made for a commit."""
        if self.namespace != _NAMESPACE or self.digest not in _DIGESTS:
            return None
        parts = (self.namespace, self.reserved, self.digest, _DIGESTS[self.digest](payload))
        return _MAGIC + b"".join(len(part).to_bytes(4) + part for part in parts)


class _Fields:
    """Reads length-prefixed fields. Raises ValueError where they end too soon, or too late."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise ValueError("cut short")
        self._at += count
        return found

    def number(self) -> int:
        return int.from_bytes(self.take(4))

    def text(self) -> bytes:
        return self.take(self.number())

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError("more than a signature")
