"""A running emulator for tests: a thread with its own loop, an address, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import trustme

from tests.proxmox.emulator import Emulator
from tests.proxmox.http_server import Listener
from tests.proxmox.store import Store

START_S = 1_800_000_000.0
"""The time at which the frozen clock of a test begins."""


def stands_still() -> float:
    """A clock that only moves when the control endpoint says so."""
    return START_S


class Serving:
    """`with Serving() as emulator:` answers at `emulator.url` until the block ends.

    `folder`: where the world is kept; a second Serving on the same folder goes on with it. `tls`: HTTPS with a
    certificate for 127.0.0.1 whose authority is in `authority_pem`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        version: str = "9.1",
        clock: Callable[[], float] = stands_still,
        tls: bool = False,
        seed: str = "1",
        port: int = 0,
    ) -> None:
        store = Store(folder) if folder is not None else None
        self.emulator = Emulator(clock, version=version, seed=seed, store=store)
        self._context: ssl.SSLContext | None = None
        self.authority_pem = b""
        if tls:
            self._context, self.authority_pem = certificate()
        self._listener = Listener(self.emulator.answer)
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxmox-emulator")

    def __enter__(self) -> Serving:
        self._thread.start()
        start = self._listener.start("127.0.0.1", self._port, self._context)
        self.port = asyncio.run_coroutine_threadsafe(start, self._loop).result(timeout=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._listener.close(), self._loop).result(timeout=10)
        asyncio.run_coroutine_threadsafe(_drained(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()
        if error is None and self.emulator.defects:
            raise AssertionError("the emulator itself failed:\n" + "\n".join(self.emulator.defects))

    @property
    def url(self) -> str:
        """Where it answers, without a path."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"


async def _drained() -> None:
    """Waits for handshakes that a client has broken off, which no listener knows of yet: the loop must not end before
    their sockets are closed."""
    waiting = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if waiting:
        await asyncio.wait(waiting, timeout=5)
    for _ in range(10):  # a transport is closed in one round of the loop, its socket in a later one
        await asyncio.sleep(0)


def certificate() -> tuple[ssl.SSLContext, bytes]:
    """A server context for 127.0.0.1 and localhost, and the certificate of the authority that signed it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context, authority.cert_pem.bytes()
