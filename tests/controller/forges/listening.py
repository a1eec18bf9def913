"""A forge in memory behind a real listener on loopback: what a client sends over HTTP is what it is asked."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import httpx2
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.controller.forges.fake_forge import WALL_0, FakeForge, VirtualClock

_EVERYTHING = re.compile(".*")
_OWN = frozenset({"content-length", "connection", "date"})  # of the listener


def present() -> VirtualClock:
    """A clock that starts now: the listener tells the real time in its header `Date`."""
    return VirtualClock(time.time() - WALL_0)


def listen(httpserver: HTTPServer, forge: FakeForge, before: Callable[[], None] = lambda: None) -> str:
    """Answers every request with what `forge` does, one at a time, after `before`; returns the base URL. Its clock goes
    on with the real one."""
    turn = threading.Lock()

    def answer(request: Request) -> Response:
        path = request.environ.get("RAW_URI", request.full_path)
        asked = httpx2.Request(
            request.method, f"http://127.0.0.1{path}", headers=dict(request.headers), content=request.get_data()
        )
        with turn:
            forge.clock.now_s = max(forge.clock.now_s, time.time() - WALL_0)
            before()
            given = forge.handle(asked)
        headers = {name: value for name, value in given.headers.items() if name.lower() not in _OWN}
        return Response(given.content, given.status_code, headers)

    httpserver.expect_request(_EVERYTHING).respond_with_handler(answer)
    return httpserver.url_for("").rstrip("/")
