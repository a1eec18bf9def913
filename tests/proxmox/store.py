"""A world on disk: written whole and atomically, so that a killed emulator goes on where it was."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from tests.proxmox.world import World

_ADAPTER = TypeAdapter(World)
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS


class Store:
    """`world.json` in a folder. `save` writes only if something but the time changed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "world.json"
        self._written: bytes | None = None

    def load(self) -> World | None:
        """The saved world; None if there is none."""
        return _ADAPTER.validate_json(self._path.read_bytes()) if self._path.exists() else None

    def save(self, world: World) -> None:
        """After it returned, `load` in another process finds this state."""
        # The time alone is no change, and a loaded world is brought to the present anyway.
        now_s, world.now_s = world.now_s, 0.0
        data = orjson.dumps(world, option=_OPTIONS)
        world.now_s = now_s
        if data != self._written:
            self._replace(data)
            self._written = data

    def _replace(self, data: bytes) -> None:
        beside = self._path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
