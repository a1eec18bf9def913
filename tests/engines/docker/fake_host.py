"""A Docker host that answers as a test says: wrong, late, cut short or not at all. Over real HTTP."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESET, SILENT, CUT = "reset", "silent", "cut"


@dataclass(slots=True)
class Answer:
    """Status and body; or a way of not answering."""

    status: int = 200
    body: Any = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    way: str = ""

    def content(self) -> bytes:
        return self.raw if self.raw is not None else json.dumps(self.body).encode()


class FakeHost:
    """Answers by (method, path without version); everything else is 404. Counts what it was sent."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answer] = {}
        self.writes: list[tuple[str, str]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Quiet."""

            def answer(self) -> None:
                path = self.path.partition("?")[0]
                if path.startswith("/v1."):
                    path = "/" + path.split("/", 2)[2]
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.command != "GET":
                    host.writes.append((self.command, path))
                found = host.answers.get((self.command, path), Answer(404, {"message": f"no such thing: {path}"}))
                self.give(found)

            def give(self, found: Answer) -> None:
                if found.way == RESET:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if found.way in (RESET, SILENT):
                    self.close_connection = True
                    return
                content = found.content()
                self.send_response(found.status)
                for name, value in found.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if found.way == CUT else content)
                self.close_connection = found.way == CUT

        for verb in ("GET", "POST", "DELETE", "PUT", "HEAD"):
            setattr(Handler, f"do_{verb}", Handler.answer)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.say("GET", "/version", {"ApiVersion": "1.41", "Version": "20.10"})
        self.say("GET", "/info", {"Containers": 1, "NCPU": 2, "MemTotal": 1 << 30})
        self.say("GET", "/networks", [])
        self.say("GET", "/volumes", {"Volumes": [], "Warnings": None})

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self._server.server_port}"

    def say(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers[method, path] = Answer(status, body)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
