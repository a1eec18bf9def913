"""A verb at a desk of our own, where no controller runs to be asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.cli.session import blocking, name_unfinished
from controller.cli.standalone import install_here
from controller.runtime.records import ScopeRecord
from controller.settings import Loaded
from controller.web.socket import actor_of_uid
from controller.wiring import standalone_desk

Json = Any


def ask_here(loaded: Loaded, state: Path, verb: str, args: Mapping[str, Json]) -> Json:
    """Its answer; raises as the desk does."""

    async def work() -> Json:
        async with install_here(loaded, state) as install:
            if verb not in ("retry", "destroy"):
                name_unfinished(await install.records.all(ScopeRecord))
            desk = standalone_desk(install)
            return await desk.call(actor_of_uid(os.getuid(), os.getgid()), verb, args)

    return blocking(work)
