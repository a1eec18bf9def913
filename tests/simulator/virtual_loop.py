"""An event loop of one thread in which time passes only when everybody sleeps, and which can be killed.

What would run in a thread runs at a moment of virtual time instead: jobs of an executor, and SQLite. So equal draws
give equal orders. Killed, it never runs another instruction of what lived in it: no `finally`, no destructor.
"""

from __future__ import annotations

import asyncio
import selectors
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

import aiosqlite

T = TypeVar("T")
_TURN_S = 1e-6  # so that who waits for a moment that has almost come does not wait for ever
_GRAVEYARD: list[object] = []  # what was killed is kept: collecting it would run its `finally` blocks


class Stalled(Exception):
    """Everybody waits and nobody sleeps: nothing would ever happen again."""


class _Timeless(selectors.SelectSelector):
    """Where a real loop waits for the kernel, this one moves its time on."""

    def __init__(self, now_s: float) -> None:
        super().__init__()
        self.now_s = now_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled("everybody waits for somebody else")
        self.now_s += max(0.0, timeout) + _TURN_S
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`latency_s` is drawn for each job that would run in a thread."""

    def __init__(self, now_s: float, latency_s: Callable[[], float]) -> None:
        self._timeless = _Timeless(now_s)
        super().__init__(self._timeless)
        self._latency_s = latency_s
        self.held: list[Callable[[], None]] = []  # gives back what the kernel takes from a dead process
        self.dead = False

    def time(self) -> float:
        return self._timeless.now_s

    def run_in_executor(  # type: ignore[override]  # the real one says less of its types
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """At a drawn moment from now, as a whole."""
        future: asyncio.Future[T] = self.create_future()

        def act() -> None:
            if not future.cancelled():
                _answer(future, lambda: func(*args))

        self.call_later(self._latency_s(), act)
        return future

    def kill(self) -> None:
        """Nothing in this loop runs any more; the caller must not go on either (`await nothing`)."""
        self.dead = True
        for handle in self._ready:  # type: ignore[attr-defined]  # of BaseEventLoop
            handle.cancel()
        self.stop()

    def live(self, main: Coroutine[Any, Any, T]) -> T | None:
        """Run `main` to its end; None if it was killed. What a dead process held is let go as the kernel does."""
        task = self.create_task(main)
        task.add_done_callback(lambda _: self.stop())
        self.run_forever()
        if not self.dead:
            self.close()
            return task.result()
        _GRAVEYARD.append((self, task, *asyncio.all_tasks(self)))
        for give_back in self.held:
            give_back()
        return None


class _Inline:
    """In the place of the queue of a connection's thread: the job is done at once, its answer comes a turn later."""

    def put_nowait(self, job: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, act = job
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        done: asyncio.Future[Any] = loop.create_future()
        _answer(done, act)
        if done.exception() is None and isinstance(done.result(), sqlite3.Connection):
            loop.held.append(done.result().close)
        if future is not None:
            loop.call_soon(_pass_on, done, future)


class _NoThread:
    daemon = True

    def start(self) -> None:
        """There is none."""


def sqlite_without_threads() -> None:
    """From now on every connection of this process works so. There is no way back: the process is a simulator's."""
    plain = aiosqlite.Connection.__init__

    def without(self: Any, *args: Any, **options: Any) -> None:
        plain(self, *args, **options)
        self._tx, self._thread = _Inline(), _NoThread()

    aiosqlite.Connection.__init__ = without  # type: ignore[method-assign]  # its thread is made there


def _answer(future: asyncio.Future[T], act: Callable[[], T]) -> None:
    try:
        future.set_result(act())
    except Exception as error:
        future.set_exception(error)


def _pass_on(done: asyncio.Future[Any], future: asyncio.Future[Any]) -> None:
    if future.done():
        return
    error = done.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
