"""Parses what a pull request brings in a process of its own: no environment, bounded CPU time and memory (I5, I34).

A file that kills or exhausts the worker is refused like any other mistake, and the next one gets a fresh worker.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from controller.blueprint.attached import Documents, parse_documents
from controller.blueprint.limits import Limits
from controller.blueprint.loader import ParsedBlueprint, parse_blueprint
from controller.errors import Place, Problem

T = TypeVar("T")
_MEMORY_BYTES = 512 * 1024 * 1024
_CPU_S = 10
_WALL_S = 30.0  # a worker that neither computes nor ends


class _TooMuch(Exception):
    """A file took more than the worker has."""


class ParseWorker:
    """One worker process, started when the first untrusted file comes."""

    def __init__(self, cpu_s: int = _CPU_S, memory_bytes: int = _MEMORY_BYTES) -> None:
        self._cpu_s, self._memory_bytes = cpu_s, memory_bytes
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()

    async def parse(self, files: Mapping[str, bytes], limits: Limits) -> Mapping[str, ParsedBlueprint]:
        """Every file parsed, or with the problem that it took too much. Never raises for what a file holds."""
        async with self._turn:
            return {name: await self._one(name, data, limits) for name, data in files.items()}

    async def documents(self, files: Mapping[str, bytes], limits: Limits) -> Mapping[str, Documents]:
        """The YAML documents of files of other tools. Never raises for what a file holds."""
        async with self._turn:
            found = {}
            for name, data in files.items():
                try:
                    found[name] = await self._run(parse_documents, name, data, limits)
                except _TooMuch as error:
                    found[name] = Documents(name, problems=(Problem(Place(name), str(error)),))
            return found

    def close(self) -> None:
        """End the worker."""
        if self._pool is not None:
            _kill(self._pool)
            self._pool = None

    async def _one(self, name: str, data: bytes, limits: Limits) -> ParsedBlueprint:
        try:
            return await self._run(parse_blueprint, name, data, limits)
        except _TooMuch as error:
            return ParsedBlueprint(name, None, None, (Problem(Place(name), str(error)),))

    async def _run(self, read: Callable[[str, bytes, Limits], T], name: str, data: bytes, limits: Limits) -> T:
        """`read` in the worker. Raises _TooMuch."""
        if self._pool is None:
            self._pool = self._started()
        loop = asyncio.get_running_loop()
        try:
            job = loop.run_in_executor(self._pool, _bounded, read, name, data, limits, self._cpu_s)
            return await asyncio.wait_for(job, _WALL_S)
        except (BrokenProcessPool, TimeoutError, MemoryError):
            self.close()
            text = f"takes more than {self._cpu_s} s or {self._memory_bytes >> 20} MiB to read: make it simpler"
            raise _TooMuch(text) from None

    def _started(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        return ProcessPoolExecutor(1, context, initializer=_confine, initargs=(self._memory_bytes,))


def _confine(memory_bytes: int) -> None:
    """Runs in the worker: nothing to steal, nothing to dump, nothing to spawn."""
    os.environ.clear()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _bounded(read: Callable[[str, bytes, Limits], T], name: str, data: bytes, limits: Limits, cpu_s: int) -> T:
    """Runs in the worker: the kernel ends it `cpu_s` from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent_s = int(used.ru_utime + used.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (spent_s + cpu_s, hard))
    return read(name, data, limits)


def _kill(pool: ProcessPoolExecutor) -> None:
    """A worker in an endless loop does not hear a polite end."""
    workers = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for worker in workers:
        worker.kill()
