"""The connections of a server in a test's own loop: none outlives the server, whatever stage it has come to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_TURNS = 5  # of the loop, from the acceptance of a connection to the first line of what serves it


class Connections:
    """Each is held by the task that serves it, from its first line on (before any TLS handshake)."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[object], asyncio.StreamWriter] = {}

    @asynccontextmanager
    async def held(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """Closes it at the end, and waits until it is closed."""
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._open[task] = writer
        try:
            yield
        finally:
            try:
                await closed(writer)
            finally:
                del self._open[task]

    async def end(self) -> None:
        """Cuts those that are left, for a server that listens no more, and waits for what serves them."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        serving = list(self._open)
        for task, writer in self._open.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Hangs up and waits for the end of it; that the other side was faster is no fault."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
