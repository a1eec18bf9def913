"""The keys of `signatures:` read, as the Git room verifies by them."""

from __future__ import annotations

from collections.abc import Callable

from controller.errors import InvalidInput
from controller.git.signature import Signer, Signers, read_gpg_key, read_ssh_key
from controller.signature_settings import SignatureSettings, SigningKey


def signers_of(settings: SignatureSettings, repository: str, read: Callable[[str], bytes]) -> Signers:
    """The keys, read; `read` gives the bytes of a file or raises OSError. Raises InvalidInput naming the key."""
    return Signers(tuple(_signer(key, repository, read) for key in settings.keys), settings.since)


def _signer(key: SigningKey, repository: str, read: Callable[[str], bytes]) -> Signer:
    where = f"repositories.{repository}.signatures: the key of {key.name}"
    try:
        if key.ssh is not None:
            return read_ssh_key(key.name, key.ssh, key.emails, key.until)
        return read_gpg_key(key.name, read(key.gpg or ""), key.emails, key.until)
    except OSError as e:
        raise InvalidInput(f"{where}: {key.gpg} cannot be read: {e.strerror}") from e
    except InvalidInput as e:
        raise InvalidInput(f"{where} {e}", hint=e.hint) from e
