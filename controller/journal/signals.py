"""What controllers of one PostgreSQL tell each other outside of the chain: that they live, and what to look at.

One connection of its own: a beat never waits behind a long read. Losing any of it changes latency only (I21); a lost
beat makes its controller unsure of its leases, never sure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from controller.journal.place import ServerPlace
from controller.journal.postgres import connected, translating

_CHANNEL = "alma"
_BEAT = """
WITH mine AS (
  INSERT INTO beats VALUES ($1, 1) ON CONFLICT (controller) DO UPDATE SET beat = beats.beat + 1
  RETURNING controller, beat
) SELECT controller, beat FROM mine UNION ALL SELECT controller, beat FROM beats WHERE controller <> $1
"""


class PostgresSignals:
    """Raises JournalUnavailable; the next call connects anew. `heard` is called with what others sent."""

    def __init__(self, place: ServerPlace, timeout_s: float) -> None:
        self._place, self._timeout_s = place, timeout_s
        self._connection: Any = None
        self._one = asyncio.Lock()
        self.heard: Callable[[str], None] = lambda text: None

    async def beat(self, controller: str) -> Mapping[str, int]:
        """Say that `controller` lives; how often each controller has said so."""
        return {row["controller"]: row["beat"] for row in await self._run("fetch", _BEAT, controller)}

    async def forget(self, controller: str) -> None:
        """It is registered no more."""
        await self._run("execute", "DELETE FROM beats WHERE controller = $1", controller)

    async def send(self, text: str) -> None:
        """To every controller that listens now."""
        await self._run("execute", f"SELECT pg_notify('{_CHANNEL}', $1)", text)

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def _run(self, how: str, statement: str, argument: str) -> Any:
        async with translating(), self._one, asyncio.timeout(self._timeout_s):
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connected(self._place)
                    await self._connection.add_listener(_CHANNEL, self._notified)
                return await getattr(self._connection, how)(statement, argument)
            except BaseException:
                await self.close()  # what it was doing is unknown
                self._connection = None
                raise

    def _notified(self, connection: object, process: int, channel: str, text: str) -> None:
        self.heard(text)
