"""An OpenAI-compatible server on a real socket that answers as a test tells it to, well or badly."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.servers.connections import Connections

MIB = 2**20


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire; header names in lower case."""

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def prompt(self) -> str:
        """All turns, one after another."""
        return "\n".join(m["content"] for m in self.json["messages"])


Behaviour = Callable[["ModelServer", Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ModelServer:
    """What it was asked, and how it answers. `held` never ends by itself: what hangs, hangs."""

    port: int = 0
    behave: Behaviour = field(default_factory=lambda: says("web is updated."))
    requests: list[Request] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    sent_bytes: int = 0
    connections: Connections = field(default_factory=Connections)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with self.connections.held(writer):
                while not writer.is_closing():
                    request = await _read(reader)
                    self.requests.append(request)
                    await self.behave(self, request, writer)
                    await writer.drain()

    async def end(self) -> None:
        """Whoever still hangs is let go."""
        self.held.set()
        await self.connections.end()

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        self.sent_bytes += len(data)


@asynccontextmanager
async def model_server(behave: Behaviour | None = None) -> AsyncIterator[ModelServer]:
    """Listening on a free port of this machine until the end."""
    held = ModelServer()
    if behave:
        held.behave = behave
    server = await asyncio.start_server(held.serve, "127.0.0.1", 0)
    held.port = server.sockets[0].getsockname()[1]
    try:
        yield held
    finally:
        server.close()
        await held.end()
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(head[0].split(" ")[1], headers, body)


def head(status: str, headers: str = "", length: int | None = None) -> bytes:
    sized = f"content-length: {length}\r\n" if length is not None else "connection: close\r\n"
    return f"HTTP/1.1 {status}\r\n{headers}{sized}\r\n".encode()


EVENTS = "content-type: text/event-stream\r\n"


def event(delta: Mapping[str, object], **more: object) -> bytes:
    """One piece of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def usage(prompt: object, completion: object) -> bytes:
    return event({}, choices=[], usage={"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 0})


DONE = b"data: [DONE]\n\n"


def raw(body: bytes, *, status: str = "200 OK", headers: str = EVENTS) -> Behaviour:
    """One whole answer."""

    async def behave(server: ModelServer, request: Request, writer: asyncio.StreamWriter) -> None:
        await server.send(writer, head(status, headers, len(body)) + body)

    return behave


def says(text: str, *, prompt_tokens: int = 100, completion_tokens: int = 20) -> Behaviour:
    """Streams `text` word by word, as models do."""
    words = [event({"content": f"{' ' if i else ''}{word}"}) for i, word in enumerate(text.split(" "))]
    return raw(b"".join([event({"role": "assistant"}), *words, usage(prompt_tokens, completion_tokens), DONE]))


def fails(status: str, headers: str = "") -> Behaviour:
    said = json.dumps({"error": {"message": "key sk-echoed-by-the-server is wrong", "type": "x"}}).encode()
    return raw(said, status=status, headers=f"content-type: application/json\r\n{headers}")


async def hangs(server: ModelServer, request: Request, writer: asyncio.StreamWriter) -> None:
    """Takes the request and never answers."""
    await server.held.wait()
    writer.close()


async def drips(server: ModelServer, request: Request, writer: asyncio.StreamWriter) -> None:
    """The head and one byte, and then the next one never comes."""
    await server.send(writer, head("200 OK", EVENTS) + b"d")
    await server.held.wait()
    writer.close()


def floods(part: bytes, most_bytes: int = 100 * MIB) -> Behaviour:
    """`part` again and again, until the reader has enough."""

    async def behave(server: ModelServer, request: Request, writer: asyncio.StreamWriter) -> None:
        await server.send(writer, head("200 OK", EVENTS))
        while server.sent_bytes < most_bytes:
            await server.send(writer, part)
        writer.close()

    return behave
