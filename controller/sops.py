"""Decrypts files of SOPS with age, in memory, for one value at a time (I27). What cannot be proven whole is refused.

Each value is AES-256-GCM under the file's data key, bound to its path; the MAC is a SHA-512 over all values, encrypted
likewise. Format: github.com/getsops/sops, `aes/cipher.go` and `sops.go`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from controller.blueprint.sops import SopsFile, encrypted, is_encrypted
from controller.blueprint.value import Value

_VALUE = re.compile(r"ENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:([a-z]+)\]")
_IDENTITY = re.compile(r"^AGE-SECRET-KEY-1[0-9A-Z]+$", re.MULTILINE)
_KEY_BYTES = 32


class Undecryptable(Exception):
    """Why a file gives no value, with the next step; holds names only."""


def identity_lines(text: str) -> tuple[str, ...]:
    """The secret keys in a file as `age-keygen` writes it."""
    return tuple(_IDENTITY.findall(text))


def decrypt(file: SopsFile, key: str, identities: Sequence[str]) -> str:
    """The value at `key`, after the whole file was proven by its MAC. `identities` are texts of age key files. Raises
    Undecryptable."""
    try:
        wanted = encrypted(file, key)
    except ValueError as error:
        raise Undecryptable(str(error)) from None
    cipher = AESGCM(_data_key(file, identities))
    _prove(file, cipher)
    try:
        return _opened(cipher, wanted, _bound(_names(file.tree, key))).decode()
    except UnicodeDecodeError:
        raise Undecryptable(f"{key} in {file.path} is not UTF-8 text") from None


def _data_key(file: SopsFile, identities: Sequence[str]) -> bytes:
    keys = [_identity(line) for text in identities for line in identity_lines(text)]
    if not keys:
        raise Undecryptable("the server has no age identity for it: name one under allow.REPOSITORY.sops.age")
    for armored in file.age:
        try:
            found = pyrage.decrypt(armored.encode(), keys)
        except pyrage.DecryptError:
            continue
        if len(found) == _KEY_BYTES:
            return bytes(found)
    raise Undecryptable(
        f"{file.path} is not encrypted for this server: add its age recipient to .sops.yaml and run `sops updatekeys`"
    )


def _identity(line: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(line)
    except pyrage.IdentityError:
        raise Undecryptable("the age identity of the server is malformed: write it anew with age-keygen") from None


def _prove(file: SopsFile, cipher: AESGCM) -> None:
    """Raises Undecryptable unless the MAC is that of the values that are there."""
    # The first bytes of a MAC over encrypted values only: SHA-256 of the word.
    digest = hashlib.sha512(hashlib.sha256(b"sops").digest() if file.mac_of_encrypted_only else b"")
    try:
        for names, value in _leaves(file.tree, ()):
            if is_encrypted(value):
                digest.update(_opened(cipher, str(value), _bound(names)))
            elif not file.mac_of_encrypted_only:
                digest.update(_plain(value))
        whole = hmac.compare_digest(_opened(cipher, file.mac, file.mac_bound), digest.hexdigest().upper().encode())
    except Undecryptable:
        whole = False
    if not whole:
        raise Undecryptable(
            f"{file.path} was changed by something else than SOPS, the MAC is wrong: take it back, or use `sops edit`"
        )


def _opened(cipher: AESGCM, text: str, bound: str) -> bytes:
    found = _VALUE.fullmatch(text)
    assert found is not None, "looked at before"
    try:
        data, nonce, tag = (base64.b64decode(part, validate=True) for part in found.groups()[:3])
        return cipher.decrypt(nonce, data + tag, bound.encode())
    except (InvalidTag, ValueError):
        raise Undecryptable("a value does not open") from None


def _leaves(value: Value, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Every value in the order of the file, with the keys above it; items of a list bear the list's."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*names, str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item, names)
    elif value is not None:
        yield names, value


def _names(tree: Value, key: str) -> tuple[str, ...]:
    """The keys on the way to `key`, without the numbers of list items."""
    found = []
    for part in key.split("/"):
        if isinstance(tree, Mapping):
            found.append(part)
            tree = tree[part]
        elif isinstance(tree, list | tuple):
            tree = tree[int(part)]
    return tuple(found)


def _bound(names: Sequence[str]) -> str:
    return ":".join(names) + ":"


def _plain(value: Value) -> bytes:
    """A value that is not encrypted, as the MAC counts it."""
    if isinstance(value, bool):
        return b"True" if value else b"False"
    if isinstance(value, Decimal):
        text = format(Decimal(repr(float(value))), "f")
        return (text.rstrip("0").rstrip(".") if "." in text else text).encode()
    return str(value).encode()
