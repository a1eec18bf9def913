"""What goes wrong in the API itself: a status, a text, and for refused parameters the map of faults."""

from __future__ import annotations

from collections.abc import Mapping

VERIFICATION_FAILED = "Parameter verification failed."


class ApiError(Exception):
    """An answer that is not 2xx. `plain`: the server core answers with text instead of the JSON envelope."""

    def __init__(
        self, status: int, reason: str, errors: Mapping[str, str] | None = None, *, plain: bool = False
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.errors = errors
        self.plain = plain


class TaskError(Exception):
    """A worker died with this text: the task ends with it as exit status."""


def died(text: str) -> ApiError:
    """What method code says when it gives up: a plain 500."""
    return ApiError(500, text)


def bad_parameter(name: str, text: str) -> ApiError:
    """A 400 that method code raises for one parameter."""
    return ApiError(400, VERIFICATION_FAILED, {name: text})


def forbidden(detail: str = "") -> ApiError:
    """A 403, with what was missing in brackets."""
    return ApiError(403, f"Permission check failed ({detail})" if detail else "Permission check failed")
