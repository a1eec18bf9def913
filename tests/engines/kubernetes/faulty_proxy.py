"""A proxy between an engine and the real API server that breaks the k-th request in one of many ways."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.kubernetes import ControlPlane

CANARY = "c4nary-in-an-error"


class Fault(StrEnum):
    """What happens to a request. `AFTER`: the server has acted, and the answer is lost or wrong."""

    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    EMPTY_AFTER = "empty answer after"
    CUT_AFTER = "cut JSON after"
    WRONG_AFTER = "wrong schema after"
    BAD_REQUEST = "400"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND_AFTER = "404 after"
    CONFLICT = "409"
    GONE = "410"
    TOO_MANY = "429 with Retry-After"
    INTERNAL = "500"
    INTERNAL_AFTER = "500 after"
    WEBHOOK = "500 webhook time-out"
    UNAVAILABLE = "503 with Retry-After"
    GATEWAY_AFTER = "504 after"


_CODES: Mapping[Fault, int] = {
    Fault.BAD_REQUEST: 400,
    Fault.UNAUTHORIZED: 401,
    Fault.FORBIDDEN: 403,
    Fault.NOT_FOUND_AFTER: 404,
    Fault.CONFLICT: 409,
    Fault.GONE: 410,
    Fault.TOO_MANY: 429,
    Fault.INTERNAL: 500,
    Fault.INTERNAL_AFTER: 500,
    Fault.WEBHOOK: 500,
    Fault.UNAVAILABLE: 503,
    Fault.GATEWAY_AFTER: 504,
}
_AFTER = frozenset(f for f in Fault if f.endswith("after"))


@dataclass(slots=True)
class Plan:
    """Break request number `at` (from 1) once; `of` says which requests count."""

    fault: Fault | None = None
    at: int = 0
    of: Callable[[str, str], bool] = lambda method, path: True
    seen: int = 0
    struck: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def strikes(self, method: str, path: str) -> bool:
        with self.lock:
            if not self.of(method, path):
                return False
            self.seen += 1
            self.struck = self.struck or self.seen == self.at
            return self.fault is not None and self.seen == self.at


class FaultyProxy:
    """Plain HTTP on loopback in front of one control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.plan = Plan()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def kubeconfig(self) -> str:
        """A kubeconfig that leads here."""
        said = self.plane.config(self.plane.token)
        said["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        file = self.plane.folder / f"proxy-{self._server.server_port}"
        file.write_text(json.dumps(said))
        return str(file)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                fault = proxy.plan.fault if proxy.plan.strikes(self.command, self.path) else None
                if fault is not None and fault not in _AFTER:
                    self._broken(fault, b"")
                    return
                status, content = proxy.forwarded(self.command, self.path, body, dict(self.headers))
                if fault is not None:
                    self._broken(fault, content)
                else:
                    self._answer(status, content)

            do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815 - names the base class calls

            def _answer(self, status: int, content: bytes, length: int | None = None, **headers: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content) if length is None else length))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(content)

            def _broken(self, fault: Fault, content: bytes) -> None:
                if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
                    self.close_connection = True
                    self.connection.close()
                elif fault is Fault.CUT_AFTER:
                    self._answer(200, content[: len(content) // 2], len(content))
                    self.close_connection = True
                elif fault is Fault.EMPTY_AFTER:
                    self._answer(200, b"")
                elif fault is Fault.WRONG_AFTER:
                    self._answer(200, b'{"kind": "Status", "items": null}')
                else:
                    self._answer(_CODES[fault], json.dumps(_status(fault)).encode(), Retry_After="1")

            def log_message(self, *args: Any) -> None:
                """Nothing: pytest shows what matters."""

        return Handler

    def forwarded(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """The real server's answer."""
        kept = {k: v for k, v in headers.items() if k.lower() not in ("host", "connection", "accept-encoding")}
        connection = HTTPSConnection("127.0.0.1", self.plane.port, context=self.plane.trust(), timeout=30)
        try:
            connection.request(method, path, body, kept)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _status(fault: Fault) -> dict[str, Any]:
    text = f"failed calling webhook: context deadline exceeded {CANARY}" if fault is Fault.WEBHOOK else CANARY
    return {"kind": "Status", "status": "Failure", "message": text, "code": _CODES[fault]}


async def at_once() -> None:
    """Between two tries of a platform that is near."""
    await asyncio.sleep(0.01)
