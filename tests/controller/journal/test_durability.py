"""What is acknowledged is on the disk, whatever the disk does (A9, A11)."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.errors import AlmaError
from controller.journal.failure import JournalUnavailable, StaleStream
from controller.journal.journal import Document, Entry, Journal
from controller.journal.sqlite import SqliteDatabase
from tests.controller.journal.clocks import noon
from tests.controller.journal.databases import on_a_file
from tests.controller.journal.faulty_disk import FULL, READ_ONLY, SYNC_ERROR, WRITE_ERROR, Disk, faulty_disk


def unsynced(log: list[tuple[str, str]]) -> list[str]:
    """Files of the journal with a write after their last sync."""
    dirty: dict[str, bool] = {}
    for what, name in log:
        dirty[name] = what != "sync" and (dirty.get(name, False) or what in ("write", "truncate"))
    return [name for name, is_dirty in dirty.items() if is_dirty]


@on_a_file
async def test_every_intent_is_synced_before_the_call_leaves(
    url: str, state: Path, report_n: Callable[..., None]
) -> None:
    """I8, A9: the log's order is the order of the disk."""
    with faulty_disk() as disk:
        journal = await Journal.open(url, state, now=noon)
        late = 0
        for n in range(200):
            disk.log.clear()
            await journal.append(
                "run/1", [Entry("run.intent", {"n": n})], [Document("run", "1", {"n": n})], sealed={f"op{n}": "blob"}
            )
            disk.log.append(("call", "engine"))
            before_call = disk.log[: disk.log.index(("call", "engine"))]
            late += ("write", "alma.db-wal") not in before_call or "alma.db-wal" in unsynced(before_call)
        await journal.close()
    report_n("A9 fsync before call", 200, late)
    assert late == 0


@on_a_file
async def test_sealed_state_put_alone_is_synced_too(url: str, state: Path) -> None:
    with faulty_disk() as disk:
        journal = await Journal.open(url, state, now=noon)
        disk.log.clear()
        await journal.put_sealed("op", "blob")
        assert disk.log[-1] == ("sync", "alma.db-wal")
        await journal.close()


async def use(journal: Journal, acknowledged: list[str]) -> None:
    """Every kind of write, in turn; notes what was acknowledged."""
    for name in ("a", "b"):
        await journal.append(
            name, [Entry("x", {"n": 1}), Entry("y", {})], [Document("d", name, {})], sealed={name: "s"}
        )
        acknowledged.append(name)
    await journal.put_sealed("c", "s" * 5000)
    await journal.erase_sealed(["a", "c"])
    await journal.append("z", [], [Document("d", "a", None)])
    acknowledged.append("z")
    await journal.close()


async def survives(url: str, disk: Disk, at: int, code: int, *, lasting: bool) -> bool:
    """One fault at the `at`-th write site, from opening to closing. Checks that nothing acknowledged is lost and
    nothing is half there. False when the use ended before that site."""
    acknowledged: list[str] = []
    disk.arm(at, code, lasting=lasting)
    journal = None
    try:
        journal = await Journal.open(url, now=noon)
        await use(journal, acknowledged)
    except AlmaError as error:
        assert isinstance(error, JournalUnavailable), error
    disk.mend()
    if journal is not None and journal.writable:
        await journal.append("after", [Entry("x", {})])  # space returned: the same process goes on
        acknowledged.append("after")
        await journal.close()
    await all_or_nothing(url, acknowledged)
    return disk.failed > 0


async def all_or_nothing(url: str, acknowledged: list[str]) -> None:
    journal = await Journal.open(url, now=noon)
    for stream, size in {"a": 2, "b": 2, "z": 1, "after": 1}.items():
        found = len(await journal.read(stream))
        assert found == size or (found == 0 and stream not in acknowledged), (stream, found)
    if await journal.read("b"):
        assert await journal.sealed("b") == "s"
        assert await journal.document("d", "b") == {}
    assert (await journal.verify()).damages == ()
    await journal.close()


@pytest.mark.parametrize(
    ("code", "lasting"),
    [(FULL, False), (FULL, True), (WRITE_ERROR, False), (SYNC_ERROR, False), (READ_ONLY, True)],
)
async def test_a_fault_at_any_write_loses_nothing_acknowledged(
    tmp_path: Path, code: int, lasting: bool, report_n: Callable[..., None]
) -> None:
    """A11: sites are counted by failing the first, the second, … until a use ends unharmed."""
    with faulty_disk() as disk:
        site = 1
        while await survives(f"sqlite:///{tmp_path}/{site}/alma.db", disk, site, code, lasting=lasting):
            site += 1
    report_n("A11 disk faults", site - 1)
    assert site > 20


async def test_an_anchor_that_cannot_be_written_stops_the_next_append_only(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The anchor may be behind, so what was committed counts; but it never falls behind for long."""

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr("controller.journal.anchor.os.pwrite", broken)
        await journal.append("s", [Entry("a", {})])
        with pytest.raises(JournalUnavailable, match="anchor file: Input/output error"):
            await journal.append("s", [Entry("b", {})])
    await journal.append("s", [Entry("c", {})])
    assert [r.kind for r in await journal.read("s")] == ["a", "c"]


@on_a_file
async def test_a_commit_whose_answer_was_lost_is_found_before_the_next(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller heard of a failure, the disk has it all the same: the next append goes on after it."""
    whole = SqliteDatabase.write

    @asynccontextmanager
    async def lossy(database: SqliteDatabase) -> AsyncIterator[AsyncConnection]:
        async with whole(database) as connection:
            yield connection
        raise JournalUnavailable("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteDatabase, "write", lossy)
        with pytest.raises(JournalUnavailable, match="answer was lost"):
            await journal.append("s", [Entry("a", {})], [Document("d", "k", {"n": 1})])
    with pytest.raises(StaleStream, match="at version 1, not 0"):
        await journal.append("s", [Entry("b", {})], expect=0)
    await journal.append("s", [Entry("b", {})], expect=1)
    assert [r.kind for r in await journal.read("s")] == ["a", "b"]
    assert await journal.document("d", "k") == {"n": 1}
    assert (await journal.verify()).intact
