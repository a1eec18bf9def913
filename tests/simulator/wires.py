"""Between the controller and what is outside of it: journal, target, Git remote and forge, each call of which may fail
before or after it acted, take its time, or be the last one of the process.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2

from controller.errors import Unreachable
from controller.git.repository import Mirror
from controller.journal.journal import Journal
from controller.journal.lock import FileLock
from controller.plan.resource import Gap, Snapshot
from engines.engine import Refused, Transient, Unclear
from engines.simulation.engine import SimulationEngine
from tests.controller.forges.fake_forge import Fault, Killed
from tests.controller.forges.fake_gitea import FakeGitea
from tests.simulator.fate import Fate
from tests.simulator.virtual_loop import VirtualLoop

Call = Callable[..., Awaitable[Any]]
_HANG_S = 700.0  # longer than any call is waited for
_HANG_LOOK_S = 5.0
_READS = ("prior", "find", "poll", "check", "observe")
_FORGE_FAULTS = (
    Fault.REFUSED,
    Fault.RESET_AFTER,
    Fault.TIMEOUT_BEFORE,
    Fault.TIMEOUT_AFTER,
    Fault.BAD_GATEWAY,
    Fault.BAD_GATEWAY_AFTER,
    Fault.SERVER_ERROR,
    Fault.CUT_JSON_AFTER,
    Fault.LIMIT_RETRY_AFTER,
    Fault.LIMIT_BARE,
    Fault.UNAVAILABLE_RETRY_AFTER,
)


class Wires:
    """Put in once per process; `fate` is that of the seed at hand."""

    fate: Fate

    def cut_in(self) -> None:
        """There is no way back: the process is a simulator's."""
        for name in ("append", "erase_sealed"):
            self._wrap(Journal, name, self._journal)
        for name in ("refs", "fetch", "push"):
            self._wrap(Mirror, name, self._git)
        for name in _READS:
            self._wrap(SimulationEngine, name, self._read)
        self._wrap(SimulationEngine, "do", self._do)
        self._note_locks()

    def _note_locks(self) -> None:
        """The kernel takes the locks of a dead process; here the loop does."""
        plain = FileLock.__init__

        def noted(lock: FileLock, path: Path, fd: int) -> None:
            plain(lock, path, fd)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.held.append(lock.release)

        setattr(FileLock, "__init__", noted)  # noqa: B010 - as every other wire is put in

    def _wrap(self, owner: type, name: str, around: Callable[..., Awaitable[Any]]) -> None:
        plain: Call = getattr(owner, name)

        @functools.wraps(plain)
        async def wrapped(this: Any, *args: Any, **options: Any) -> Any:
            return await around(name, functools.partial(plain, this, *args, **options), args)

        setattr(owner, name, wrapped)

    async def _journal(self, name: str, call: Call, args: tuple[Any, ...]) -> Any:
        about = f"{args[0]} {[e.kind for e in args[1]]}" if name == "append" else ""
        await self.fate.boundary(f"before journal.{name}", about)
        result = await call()
        await self.fate.boundary(f"after journal.{name}")
        return result

    async def _git(self, name: str, call: Call, args: tuple[Any, ...]) -> Any:
        fate = self.fate
        await fate.boundary(f"before git.{name}", str(args))
        if fate.strikes(fate.rates.git):
            fate.marks[f"git.{name} unreachable"] += 1
            raise Unreachable("the simulated remote does not answer")
        result = await call()
        await fate.boundary(f"after git.{name}")
        if name == "push" and fate.strikes(fate.rates.git):
            fate.marks["git.push lost its answer"] += 1
            raise Unreachable("the simulated remote's answer was lost")
        return result

    async def _read(self, name: str, call: Call, args: tuple[Any, ...]) -> Any:
        fate = self.fate
        await fate.boundary(f"engine.{name}")
        if not fate.strikes(fate.rates.read):
            return await call()
        how = fate.one_of(("transient", "unclear", "gap") if name == "observe" else ("transient", "unclear"))
        fate.marks[f"engine.{name} {how}"] += 1
        if how == "gap":
            seen: Snapshot = await call()
            return Snapshot((), (Gap("*", "simulated"),), seen.capacity)
        raise Transient("simulated") if how == "transient" else Unclear("simulated")

    async def _do(self, name: str, call: Call, args: tuple[Any, ...]) -> Any:
        fate, (op, step) = self.fate, args[:2]
        verb = str(step.request["call"])
        await fate.boundary(f"before engine.{verb}", f"{step.key} {op}")
        fault = self._fault()
        if fault:
            fate.marks[f"engine.{verb} {fault}"] += 1
        if fault in ("transient", "refused", "lost", "hang before"):
            await self._fail(fault)
        receipt = await call()
        await fate.boundary(f"after engine.{verb}", str(op))
        if fault:
            await self._fail(fault)
        return receipt

    def _fault(self) -> str:
        fate = self.fate
        if not fate.strikes(fate.rates.engine):
            return ""
        rare = fate.strikes(0.1)
        usual = ("transient", "lost", "answer lost", "answer lost", "refused")
        return fate.one_of(("hang before", "hang after") if rare else usual)

    async def _fail(self, fault: str) -> None:
        if fault.startswith("hang"):
            await self._hang()
        if fault == "transient":
            raise Transient("simulated")
        if fault == "refused":
            raise Refused("simulated")
        raise Unclear("simulated")

    async def _hang(self) -> None:
        """Nobody answers, until somebody resets the connection at the latest when all is calm."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _HANG_S
        while loop.time() < until_s and not self.fate.calm:  # noqa: ASYNC110 - an event would be of one process only
            await asyncio.sleep(_HANG_LOOK_S)


class ForgeWire(httpx2.AsyncBaseTransport):
    """One process's way to the forge."""

    def __init__(self, fate: Fate, server: FakeGitea) -> None:
        self._fate, self._server = fate, server

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        fate, name = self._fate, request.method.lower()
        body = hashlib.sha256(request.content).hexdigest()[:12]
        await fate.boundary(f"before forge.{name}", f"{request.url.path} {body}")
        answer = self._served(request)
        await fate.boundary(f"after forge.{name}", str(answer.status_code))
        return answer

    def _served(self, request: httpx2.Request) -> httpx2.Response:
        fate = self._fate
        fault = fate.one_of(_FORGE_FAULTS) if fate.strikes(fate.rates.forge) else None
        if fault is not None:
            fate.marks[f"forge {fault.value}"] += 1
        self._server.clock.now_s = asyncio.get_running_loop().time()
        self._server.fault = lambda method, path: fault
        try:
            return self._server.handle(request)
        except Killed as killed:  # none of ours kills
            raise AssertionError from killed
