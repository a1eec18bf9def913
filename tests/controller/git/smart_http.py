"""A Git server over http on loopback: git's own http-backend, with a login, a redirect or silence on request."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import trustme


class SmartHttp(ThreadingHTTPServer):
    """Serves the repositories below `root`. `login`: the only `user:password` let in. `silent`: never answers."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.scheme = "http"
        self.login: str | None = None
        self.redirect: str | None = None
        self.silent = False
        self.held = threading.Event()
        self.woken = threading.Event()
        self.asked: list[tuple[str, str | None]] = []  # path, user:password

    def url(self, name: str = "origin.git") -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SmartHttp

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        body = self._body()
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        login = base64.b64decode(given).decode() or None
        self.server.asked.append((self.path, login))
        if self.server.silent:
            self.server.held.set()
            self.server.woken.wait(60)
        elif self.server.redirect:
            self._answer(302, [("Location", self.server.redirect + self.path)], b"")
        elif self.server.login and login != self.server.login:
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"no")
        else:
            self._backend(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name is the base class's
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _backend(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "REMOTE_USER": "someone",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((int(value[:3]) for name, value in headers if name == "Status"), 200)
        self._answer(status, [(name, value) for name, value in headers if name != "Status"], content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def smart_http(root: Path, tls: trustme.LeafCert | None = None) -> Iterator[SmartHttp]:
    """A running server, with TLS if it is given a certificate; it and its connections are gone afterwards."""
    server = SmartHttp(root)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.woken.set()
        server.shutdown()
        server.server_close()
        thread.join()
