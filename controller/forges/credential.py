"""What a request to a forge shows to be let in: a token that stays, or one that is renewed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Credential(Protocol):
    """Raises ForgeUnavailable and ForgeRefused where it must ask for one and gets none."""

    async def headers(self) -> Mapping[str, str]: ...

    def secrets(self) -> tuple[str, ...]:
        """What must not stand in any error, as of now (I26)."""
        ...

    def refused(self) -> None:
        """The forge did not take it: 401."""
        ...


class FixedToken:
    """A token of the configuration under one header."""

    def __init__(self, header: str, value: str, token: str) -> None:
        self._headers = {header: value}
        self._token = token

    async def headers(self) -> Mapping[str, str]:
        return self._headers

    def secrets(self) -> tuple[str, ...]:
        return (self._token,)

    def refused(self) -> None:
        """Nothing to renew: the refusal is told."""
