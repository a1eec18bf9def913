"""Bodies and query strings as parameters: form, JSON, and the multipart form of an upload."""

from __future__ import annotations

import email.parser
import email.policy
import json
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qsl

from tests.proxmox.verifier import as_text


class BodyError(Exception):
    """A body the server does not take; the text is the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def form_values(text: str) -> dict[str, Any]:
    """The values of a form or query string; a repeated key becomes a list."""
    values: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if key in values:
            values[key] = [*(values[key] if isinstance(values[key], list) else [values[key]]), value]
        else:
            values[key] = value
    return values


def read_body(content_type: str, body: bytes) -> tuple[dict[str, Any], tuple[str, bytes] | None]:
    """Parameters and, for an upload, the file. Raises BodyError."""
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        return {}, None
    if kind in ("application/x-www-form-urlencoded", ""):
        return form_values(body.decode("utf-8", "replace")), None
    if kind == "application/json":
        return _json(body), None
    if kind == "multipart/form-data":
        return _multipart(content_type, body)
    raise BodyError(506, f"upload '{kind}' not supported")


def _json(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except ValueError:
        raise BodyError(500, "malformed JSON string") from None
    if not isinstance(values, dict):
        raise BodyError(500, "malformed JSON string, neither tag, array, object")
    return {key: as_text(value) for key, value in values.items() if value is not None}


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], tuple[str, bytes] | None]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    message = email.parser.BytesParser(EmailMessage, policy=email.policy.HTTP).parsebytes(head + body)
    values: dict[str, Any] = {}
    upload: tuple[str, bytes] | None = None
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        name = part.get_filename()
        if name is not None:
            upload = (name, data)
        else:
            values[str(part.get_param("name", header="content-disposition"))] = data.decode("utf-8").strip("\r\n")
    return values, upload
