"""The host's event stream as hints, read in a thread of its own. It may end or lie: only latency depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import requests
from docker.types.daemon import CancellableStream

from controller.plan.resource import ObjectKey
from engines.docker import marks
from engines.docker.client import Call, Client
from engines.engine import EngineError, Hint

_QUIET_S = 3600.0  # nothing happens for long on a quiet host
_END = object()
_NOISE = ("exec_", "top", "attach", "resize", "archive-path", "extract-to-dir")


async def events(client: Client, install: str) -> AsyncIterator[Hint]:
    """A hint per event on an object of this install, until the stream ends. Closing the iterator ends the thread."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[object] = asyncio.Queue()

    def hand_over(item: object) -> None:
        # The loop may be gone before the thread notices.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(queue.put_nowait, item)

    reader = _Reader(client, install, hand_over)
    threading.Thread(target=reader.run, name="docker-events", daemon=True).start()
    try:
        while isinstance(hint := await queue.get(), Hint):
            yield hint
    finally:
        reader.stop()


class _Reader:
    """Reads the stream in its own thread; `stop` may be called from any other."""

    def __init__(self, client: Client, install: str, hand_over: Callable[[object], None]) -> None:
        self._client = client
        self._install = install
        self._hand_over = hand_over
        self._lock = threading.Lock()
        self._stopped = False
        self._open: CancellableStream[object] | None = None

    def run(self) -> None:
        """Ends when the stream does, or with `stop`."""
        filters = {"label": [f"{marks.INSTALL}={self._install}"]}
        call = Call("GET", "/events", {"filters": json.dumps(filters)}, timeout_s=_QUIET_S)
        try:
            for event in self._client.stream(call, self._opened):
                if hint := hint_of(event, self._install):
                    self._hand_over(hint)
        except EngineError:
            pass  # only latency depends on hints; the next pass finds the same
        finally:
            self._hand_over(_END)

    def stop(self) -> None:
        """Ends a blocked read by shutting its socket."""
        with self._lock:
            self._stopped = True
            if self._open is not None:
                self._open.close()

    def _opened(self, response: requests.Response) -> None:
        with self._lock:
            self._open = CancellableStream(iter(()), response)
            if self._stopped:
                self._open.close()


def hint_of(event: Mapping[str, Any], install: str) -> Hint | None:
    """What an event says to look at; None for noise and for what is not ours."""
    if str(event.get("Action", "")).startswith(_NOISE):
        return None
    actor = event.get("Actor") or {}
    told = actor.get("Attributes") or {}
    if told.get(marks.INSTALL) != install:
        return None
    name = told.get("name") or actor.get("ID", "")
    return Hint(told.get(marks.SCOPE), ObjectKey(f"docker/{event.get('Type')}", str(name)))
