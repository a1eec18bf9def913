"""Secrets as planning and steps ask for them; every value ever resolved is known to redaction (I26)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from controller.blueprint.sops import SopsFile
from controller.errors import AlmaError
from controller.plan.resource import Allow, Masked
from controller.secret_store import Encrypted, SecretStore

IDENTITIES = "sops.age"  # of `allow.REPOSITORY`: the references of the age identities that open its files
_HASHES_MAX = 10_000


class InstallSecrets:
    """The store, the key's mask, and the values this process has seen."""

    def __init__(self, store: SecretStore, mask: Callable[[str], Masked]) -> None:
        self._store, self._mask = store, mask
        self._seen: set[str] = set()
        self._hashes: dict[tuple[str, str, tuple[str, ...]], str | None] = {}

    def refuse(self, ref: str, allow: Allow, sops: Mapping[str, SopsFile]) -> str | None:
        """Why `ref` may not be used here, or None. A file of the repository is opened, because it would fail at the
        run: a value of the server may well be set until then."""
        why = self._store.check(ref, allow.secrets)
        if why or not ref.startswith("sops:"):
            return why
        try:
            self._hash_in_file(ref, allow, sops)
        except AlmaError as error:
            return str(error).removeprefix(f"secret {ref}: ")
        return None

    def keyed_hash(self, ref: str, allow: Allow, sops: Mapping[str, SopsFile]) -> str | None:
        """HMAC of its present value; None where it is not to be had (then it is not compared)."""
        try:
            if ref.startswith("sops:"):
                return self._hash_in_file(ref, allow, sops)
            return self._mask(self.values(frozenset((ref,)), allow, sops)[ref]).keyed_hash
        except AlmaError:
            return None

    def values(self, refs: frozenset[str], allow: Allow, sops: Mapping[str, SopsFile]) -> Mapping[str, str]:
        """Reference → value. Raises RefusedByPolicy or InvalidInput naming the reference."""
        encrypted = Encrypted(sops, allow.options.get(IDENTITIES, ()))
        found = self._store.resolve(sorted(refs), allow.secrets, encrypted)
        self._seen.update(found.values())
        return found

    def learn(self, values: Iterable[str]) -> None:
        """Values that came another way (tokens of the server configuration) and must never show."""
        self._seen.update(v for v in values if v)

    def known(self) -> frozenset[str]:
        """For the redactor only."""
        return frozenset(self._seen)

    def _hash_in_file(self, ref: str, allow: Allow, sops: Mapping[str, SopsFile]) -> str | None:
        """As `keyed_hash`, with the error. A file with the same content gives the same: it is opened once."""
        file = sops.get(ref.removeprefix("sops:").partition("#")[0])
        key = (ref, file.blob if file else "", allow.options.get(IDENTITIES, ()))
        if key not in self._hashes:
            value = self.values(frozenset((ref,)), allow, sops)[ref]
            if len(self._hashes) >= _HASHES_MAX:
                self._hashes.clear()
            self._hashes[key] = self._mask(value).keyed_hash
        return self._hashes[key]
