"""`signatures:` of a repository in the server configuration: whose commits may be deployed (I47)."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from controller.setting_types import Strict


def _day(value: object) -> object:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("write a day as 2027-12-31") from None
    return value


class SigningKey(Strict):
    """One key: `ssh`, the line of a `.pub` file, or `gpg`, the path of an exported public key."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    ssh: str | None = None
    gpg: str | None = None
    emails: tuple[str, ...] = ()
    until: Annotated[date, BeforeValidator(_day)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.ssh is None) == (self.gpg is None):
            raise ValueError("give either ssh: (a line of a .pub file) or gpg: (the path of a public key)")
        return self


class SignatureSettings(Strict):
    """Every commit since the last deployed one must be signed by one of `keys`; up to `since` none need be."""

    keys: Annotated[tuple[SigningKey, ...], Field(min_length=1)]
    since: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = None
