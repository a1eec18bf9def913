"""Secrets as planning and steps ask for them; every value ever resolved is known to redaction (I26)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from controller.errors import AlmaError
from controller.plan.resource import Allow, Masked
from controller.secret_store import SecretStore


class InstallSecrets:
    """The store, the key's mask, and the values this process has seen."""

    def __init__(self, store: SecretStore, mask: Callable[[str], Masked]) -> None:
        self._store, self._mask = store, mask
        self._seen: set[str] = set()

    def refuse(self, ref: str, allow: Allow) -> str | None:
        """Why `ref` may not be used here, or None."""
        return self._store.check(ref, allow.secrets)

    def keyed_hash(self, ref: str, allow: Allow) -> str | None:
        """HMAC of its present value; None where it is not to be had (then it is not compared)."""
        try:
            return self._mask(self.values(frozenset((ref,)), allow)[ref]).keyed_hash
        except AlmaError:
            return None

    def values(self, refs: frozenset[str], allow: Allow) -> Mapping[str, str]:
        """Reference → value. Raises RefusedByPolicy or InvalidInput naming the reference."""
        found = self._store.resolve(sorted(refs), allow.secrets)
        self._seen.update(found.values())
        return found

    def learn(self, values: Iterable[str]) -> None:
        """Values that came another way (tokens of the server configuration) and must never show."""
        self._seen.update(v for v in values if v)

    def known(self) -> frozenset[str]:
        """For the redactor only."""
        return frozenset(self._seen)
