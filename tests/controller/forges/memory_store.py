"""`LocalStore` in memory, through JSON like a real one; it can die at its n-th write, before or after it."""

from __future__ import annotations

import json

from tests.controller.forges.fake_forge import Killed


class MemoryStore:
    """What the journal gives the built-in forge, without a journal."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.puts = 0
        self.dies_at: int | None = None
        self.dies_after = False

    async def get(self, key: str) -> dict[str, object] | None:
        row = self.rows.get(key)
        return None if row is None else dict(json.loads(row))

    async def put(self, key: str, value: dict[str, object]) -> None:
        self.puts += 1
        dies = self.puts == self.dies_at
        if dies and not self.dies_after:
            raise Killed
        self.rows[key] = json.dumps(value)
        if dies:
            raise Killed

    async def keys(self, prefix: str) -> tuple[str, ...]:
        return tuple(key for key in self.rows if key.startswith(prefix))
