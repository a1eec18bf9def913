"""A proxy before PostgreSQL that cuts a connection once a COMMIT has gone through, before its answer comes back; and,
while it cuts none, what speaks TLS for a server that does not."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from tests.servers.connections import Connections, closed

_COMMIT = b"COMMIT;\0"  # as the driver sends it: one simple query


class CuttingProxy:
    """Listens on 127.0.0.1:`port`, with TLS where it is given. `cuts` is how many commits from now on lose their
    answer."""

    def __init__(self, behind: int, tls: ssl.SSLContext | None = None) -> None:
        self._behind, self._tls = behind, tls
        self._server: asyncio.Server | None = None
        self._connections = Connections()
        self.cuts = 0
        self.cut = 0

    @property
    def port(self) -> int:
        assert self._server is not None, "it was started"
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)

    async def close(self) -> None:
        assert self._server is not None, "it was started"
        self._server.close()
        await self._connections.end()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._connections.held(writer):
            there, back = await asyncio.open_connection("127.0.0.1", self._behind)
            answers = asyncio.create_task(_pump(there, writer))
            try:
                with suppress(ConnectionError):
                    await self._forward(reader, back, answers)
            finally:
                answers.cancel()
                writer.transport.abort()
                await closed(back)

    async def _forward(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, answers: asyncio.Task[None]
    ) -> None:
        while data := await reader.read(65536):
            lost = self.cuts > 0 and data.endswith(_COMMIT)
            if lost:
                answers.cancel()  # from here on nobody hears
            back.write(data)
            await back.drain()
            if lost:
                self.cuts, self.cut = self.cuts - 1, self.cut + 1
                break


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()  # the server has hung up
