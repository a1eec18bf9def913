"""A commit whose answer was lost is found out about, not guessed (B14)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from controller.journal.failure import JournalUnavailable
from controller.journal.journal import Document, Entry, Journal
from tests.controller.journal.clocks import noon
from tests.controller.journal.databases import on_a_server
from tests.servers.cutting_proxy import CuttingProxy
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.postgres, on_a_server]


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[CuttingProxy]:
    made = CuttingProxy(postgres.port)
    await made.start()
    yield made
    await made.close()


async def test_an_append_whose_answer_is_lost_is_looked_up_and_counts_once(
    url: str, state: Path, proxy: CuttingProxy, postgres: PostgresServer, report_n: Callable[..., None], full: bool
) -> None:
    commits = 5000 if full else 30
    journal = await Journal.open(postgres.url(proxy.port), state, now=noon)
    beside = await Journal.open(url, state.parent, now=noon)
    for n in range(commits):
        if n % 3 == 2:
            await beside.append("other", [Entry("o", {"n": n})])
        proxy.cuts = 1
        (record,) = await journal.append("s", [Entry("a", {"n": n})], [Document("d", "k", {"n": n})], expect=n)
        assert record.version == n + 1
        if n % 3 == 1:
            await beside.append("other", [Entry("o", {"n": n})])
    proxy.cuts = 0
    told = [r.body["n"] for r in await journal.read("s")]
    report = await beside.verify()
    report_n("B14 lost commit answer", proxy.cut, abs(len(told) - commits))
    assert proxy.cut == commits
    assert told == list(range(commits))
    assert await beside.document("d", "k") == {"n": commits - 1}
    assert report.intact
    await journal.close()
    await beside.close()


async def test_while_the_database_is_away_appends_fail_and_afterwards_the_same_journal_goes_on(
    url: str, state: Path, postgres: PostgresServer, report_n: Callable[..., None]
) -> None:
    journal = await Journal.open(url, state, now=noon)
    acknowledged = 0
    for _ in range(3):
        going = asyncio.Event()
        appending = asyncio.create_task(_append_until_it_fails(journal, going))
        await going.wait()
        await asyncio.to_thread(postgres.kill)
        acknowledged = await appending
        with pytest.raises(JournalUnavailable):
            await journal.read("s")
        postgres.start()  # here: what a thread starts ends with that thread
        kept = await journal.read("s")
        # What was told to be there is there; of the last one, whose answer never came, nobody knew.
        assert len(kept) in (acknowledged, acknowledged + 1)
        acknowledged = len(kept)
        assert journal.head == acknowledged
    await journal.append("s", [Entry("a", {})])
    assert (await journal.verify()).intact
    report_n("B14 database killed", 3)
    await journal.close()


async def _append_until_it_fails(journal: Journal, going: asyncio.Event) -> int:
    """How many records the stream had at the last answer. `going` is set after the first."""
    version = 0
    while True:
        try:
            (record,) = await journal.append("s", [Entry("a", {})])
        except JournalUnavailable:
            return version
        version = record.version
        going.set()
