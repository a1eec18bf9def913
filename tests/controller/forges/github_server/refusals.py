"""How GitHub says no."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2

from tests.controller.forges.api import Json, answer

_DOCS = "https://docs.github.com/rest"


def refusal(code: int, message: str, errors: Sequence[object] = ()) -> httpx2.Response:
    told: Json = {"message": message, "documentation_url": _DOCS}
    return answer({**told, "errors": list(errors)} if errors else told, code)


def invalid(resource: str, field: str | None, code: str, message: str | None = None) -> httpx2.Response:
    """422 with what is wrong with which field."""
    error: Json = {"resource": resource, "code": code}
    error.update({} if field is None else {"field": field}, **({} if message is None else {"message": message}))
    return refusal(422, "Validation Failed", [error])
