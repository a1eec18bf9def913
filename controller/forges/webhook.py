"""A webhook's first three checks, the same for every forge: its size, its signature over the raw bytes, its JSON.

The secret is mandatory: without one every body is refused (I42). What passes is still only a hint (I21).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from controller.errors import InvalidInput
from controller.forges.forge import ForgeRefused
from controller.forges.json_reader import Json, parse

BODY_BYTES_MAX = 5 * 2**20


def lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    """Header names do not care for case. One that came twice keeps both values, so that neither is taken for right."""
    named: dict[str, str] = {}
    for name, value in headers.items():
        before = named.get(name.lower())
        named[name.lower()] = value if before is None else f"{before}, {value}"
    return named


def check_signature(secret: str, signatures: Mapping[str, str | None], body: bytes) -> None:
    """Every signature that came must be the HMAC-SHA256 of `body` in hex, with `sha256=` before it or not, and one
    must have come. Constant time; says nothing about what was wrong. Raises ForgeRefused."""
    came = [value for value in signatures.values() if value is not None]
    wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
    right = [hmac.compare_digest(_hex_of(value), wanted) for value in came]
    if not secret or not right or not all(right):
        raise ForgeRefused("the webhook's signature is missing or wrong", hint="compare webhook_secret on both sides")


def check_token(secret: str, given: str | None) -> None:
    """The secret itself, as GitLab sends it. Constant time; says nothing about what was wrong. Raises ForgeRefused."""
    right = given is not None and hmac.compare_digest(_digest(given), _digest(secret))
    if not secret or not right:
        raise ForgeRefused("the webhook's token is missing or wrong", hint="compare webhook_secret on both sides")


def check_size(body: bytes) -> None:
    """Raises InvalidInput above 5 MiB; before any other work (I33)."""
    if len(body) > BODY_BYTES_MAX:
        raise InvalidInput("the webhook's body is larger than 5 MiB")


def read_body(body: bytes) -> Json:
    """A JSON object. Whatever is not where it belongs, now or when it is read, is InvalidInput."""
    return parse(body, _malformed).object()


def _malformed(why: str) -> InvalidInput:
    return InvalidInput(f"webhook: {why}")


def _digest(text: str) -> bytes:
    """Equal lengths for every text, so that a comparison does not tell the length of the secret."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _hex_of(value: str) -> bytes:
    return value.removeprefix("sha256=").encode("utf-8", "replace")
