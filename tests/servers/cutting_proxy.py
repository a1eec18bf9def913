"""A proxy before PostgreSQL that cuts a connection once a COMMIT has gone through, before its answer comes back."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_COMMIT = b"COMMIT;\0"  # as the driver sends it: one simple query


class CuttingProxy:
    """Listens on 127.0.0.1:`port`. `cuts` is how many commits from now on lose their answer."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.cuts = 0
        self.cut = 0

    @property
    def port(self) -> int:
        assert self._server is not None, "it was started"
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None, "it was started"
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is a task"
        self._tasks.add(task)
        self._writers.add(writer)
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        answers = asyncio.create_task(_pump(there, writer))
        try:
            while data := await reader.read(65536):
                lost = self.cuts > 0 and data.endswith(_COMMIT)
                if lost:
                    answers.cancel()  # from here on nobody hears
                back.write(data)
                await back.drain()
                if lost:
                    self.cuts, self.cut = self.cuts - 1, self.cut + 1
                    break
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            writer.transport.abort()
            back.close()
            self._tasks.discard(task)
            self._writers.discard(writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()  # the server has hung up
