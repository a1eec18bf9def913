"""One request and one answer, as the server core and the API exchange them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request. `query` and `form` keep repeated keys; `upload`: name and body of a file part."""

    verb: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, Any] = field(default_factory=dict)
    upload: tuple[str, bytes] | None = None
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `drop`: the connection is closed without sending it, or after the first `sent` bytes of its body;
    `delay_s`: real seconds to wait before; `byte_s`: real seconds between two bytes of its body."""

    status: int
    reason: str
    body: bytes
    content_type: str = "application/json;charset=UTF-8"
    drop: bool = False
    delay_s: float = 0.0
    sent: int = 0
    byte_s: float = 0.0
