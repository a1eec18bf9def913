"""A small HTTP/1.1 server: its own reason in the status line, connections that end without an answer.

Ready-made servers fix the reason by the status and cannot drop a connection, and Proxmox clients meet both.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from tests.proxmox.body import BodyError, form_values, read_body
from tests.proxmox.messages import Reply, Request
from tests.servers.connections import Connections

_HEAD_BYTES_MAX = 65536
_BODY_BYTES_MAX = 512 * 1024
_UPLOAD_BYTES_MAX = 64 * 1024 * 1024
_VERBS = ("GET", "POST", "PUT", "DELETE")

Answer = Callable[[Request], Reply]


class Refusal(Exception):
    """The server core refuses before the API sees the call: status and reason, empty body or plain text."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Listener:
    """Serves `answer` (called on the loop, one call at a time) from `start` to `close`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._connections = Connections()
        self._context: ssl.SSLContext | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listens; returns the port."""
        self._context = context
        self._server = await asyncio.start_server(self._connected, host, port, limit=_HEAD_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Ends every connection and waits for what served it."""
        self._server.close()
        await self._connections.end()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away in the middle is no fault of the server.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with self._connections.held(writer):
                if self._context:
                    await writer.start_tls(self._context)
                while await _one(self._answer, reader, writer):
                    pass


async def _one(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answers one request; False when the connection must end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    try:
        reply = answer(await _request(head, reader))
    except Refusal as refusal:
        reply = Reply(refusal.status, refusal.reason, b"", "text/plain")
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    if reply.drop:
        if reply.sent:
            writer.write(_head(reply, keep=False) + reply.body[: reply.sent])
            await writer.drain()
        writer.transport.abort()
        return False
    keep = reply.status < 400 and "connection: close" not in head.lower()
    writer.write(_head(reply, keep))
    await _send_body(reply, writer)
    return keep


async def _send_body(reply: Reply, writer: asyncio.StreamWriter) -> None:
    pieces = [reply.body] if not reply.byte_s else [bytes([b]) for b in reply.body]
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(reply.byte_s)


def _head(reply: Reply, keep: bool) -> bytes:
    reason = reply.reason.split("\n", 1)[0]
    lines = [
        f"HTTP/1.1 {reply.status} {reason}",
        "Server: pve-api-daemon/3.0",
        "Cache-Control: max-age=0",
        "Pragma: no-cache",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(reply.body)}",
        f"Connection: {'Keep-Alive' if keep else 'close'}",
    ]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"


async def _request(head: str, reader: asyncio.StreamReader) -> Request:
    line, *rest = head.split("\r\n")
    verb, _, target = line.partition(" ")
    url = urlsplit(target.rpartition(" ")[0])
    headers = {name.strip().lower(): value.strip() for name, _, value in (item.partition(":") for item in rest if item)}
    if verb not in _VERBS:
        raise Refusal(501, f"method '{verb}' not available")
    body = await _content(verb, headers, reader)
    try:
        form, upload = read_body(headers.get("content-type", ""), body)
    except BodyError as error:
        raise Refusal(error.status, str(error)) from None
    return Request(verb, unquote(url.path), headers, form_values(url.query), form, upload, body)


async def _content(verb: str, headers: dict[str, str], reader: asyncio.StreamReader) -> bytes:
    if "transfer-encoding" in headers:
        raise Refusal(501, "chunked transfer encoding not supported")
    length = int(headers.get("content-length") or 0)
    if length and verb in ("GET", "DELETE"):
        raise Refusal(501, f"Unexpected content for method '{verb}'")
    upload = headers.get("content-type", "").startswith("multipart/form-data")
    if length > (_UPLOAD_BYTES_MAX if upload else _BODY_BYTES_MAX):
        raise Refusal(501, "for data too large")
    if length and headers.get("expect", "").lower() == "100-continue":
        raise Refusal(417, "Expectation Failed")
    return await reader.readexactly(length)
