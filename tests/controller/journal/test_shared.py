"""One journal in PostgreSQL and several processes that write to it: one order, one chain, nothing overlooked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection

from controller.journal.database import database_at, migrate
from controller.journal.export import exported, verified
from controller.journal.failure import JournalDamaged, JournalTooNew, JournalUnavailable
from controller.journal.glance import documents_at
from controller.journal.journal import Document, Entry, Journal
from controller.journal.migrations.upgrade import config_of
from controller.journal.place import ServerPlace, place_of
from tests.controller.journal.clocks import noon
from tests.controller.journal.databases import on_a_server
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.postgres, on_a_server]


@pytest.fixture
async def two(url: str, tmp_path: Path) -> AsyncIterator[tuple[Journal, Journal]]:
    """Two openings, each with a folder of its own, as two machines have."""
    async with AsyncExitStack() as stack:
        opened = []
        for name in "ab":
            (tmp_path / name).mkdir()
            journal = await Journal.open(url, tmp_path / name, now=noon)
            stack.push_async_callback(journal.close)
            opened.append(journal)
        yield opened[0], opened[1]


async def test_what_one_wrote_the_other_reads_at_once(two: tuple[Journal, Journal]) -> None:
    one, other = two
    await one.append("s", [Entry("a", {})], [Document("d", "k", {"n": 1})], sealed={"op": "blob"})
    assert await other.document("d", "k") == {"n": 1}
    assert await other.sealed("op") == "blob"
    assert [r.kind for r in await other.read("s")] == ["a"]
    await other.append("s", [Entry("b", {})], [Document("d", "k", None), Document("d", "l", {})], expect=1)
    await other.erase_sealed(["op"])
    assert await one.documents("d") == {"l": {}}
    assert await one.sealed("op") is None
    assert [r.kind for r in await one.tail(kinds="b")] == ["b"]
    assert (await one.verify()).intact


async def test_writers_at_the_same_time_make_one_chain(
    two: tuple[Journal, Journal], report_n: Callable[..., None]
) -> None:
    """Each knows its own version only by what the other wrote: every expectation that held was true."""

    async def count_up(journal: Journal, name: str) -> int:
        lost = 0
        for n in range(40):
            mine = await journal.document("counter", "n") or {"n": 0}
            body = {"n": int(mine["n"]) + 1}
            try:
                await journal.append("counter", [Entry(name, body)], [Document("counter", "n", body)], expect=mine["n"])
            except Exception as stale:
                assert type(stale).__name__ == "StaleStream"
                lost += 1
            await journal.append(name, [Entry("own", {"n": n})])
        return lost

    lost = sum(await asyncio.gather(*(count_up(j, n) for j, n in zip(two, "ab", strict=True))))
    counted = await two[0].document("counter", "n")
    assert counted == {"n": 80 - lost}
    assert await two[1].document("counter", "n") == counted
    assert [r.body["n"] for r in await two[0].read("counter")] == list(range(1, 81 - lost))
    report = await two[1].verify()
    assert report.intact and report.records == 160 - lost
    report_n("E21 chain of two writers", report.records, len(report.damages))


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DELETE FROM records WHERE seq >= 4", "the newest records are gone: it ends at 3, and 4 was there"),
        ("UPDATE documents SET body = '{\"n\":7}' WHERE kind = 'd'", "the document d"),
        ("DELETE FROM touched; DELETE FROM documents WHERE kind = 'd'", "a document is missing"),
        ("UPDATE records SET body = '{}' WHERE seq = 5", "record 5: it does not follow"),
        ("UPDATE records SET prev_hash = hash WHERE seq = 5", "record 5: it does not follow"),
    ],
)
async def test_a_change_behind_our_back_stops_mutation(
    two: tuple[Journal, Journal], postgres: PostgresServer, statement: str, named: str
) -> None:
    """B15, I24: a failover that loses the last commits, and a hand in the tables."""
    one, other = two
    for n in range(4):
        await one.append("s", [Entry("a", {"n": n})], [Document("d", "k", {"n": n})])
    await other.tail()
    if "seq >= 4" not in statement:
        await one.append("s", [Entry("a", {"n": 4})], [Document("d", "l", {"n": 4})])
    postgres.sql(statement)
    with pytest.raises(JournalDamaged, match=named):
        await other.append("s", [Entry("b", {})])
    assert not other.writable


async def test_a_controller_that_starts_after_a_failover_notices_what_was_lost(
    url: str, state: Path, postgres: PostgresServer, report_n: Callable[..., None], full: bool
) -> None:
    """B15: the anchor of this machine knows of records that the new primary does not have."""
    most = 200 if full else 20
    journal = await Journal.open(url, state, now=noon)
    for n in range(most + 1):
        await journal.append("s", [Entry("a", {"n": n})], [Document("d", f"k{n}", {"n": n})])
    await journal.close()
    for lost in range(1, most + 1):
        postgres.sql(f"DELETE FROM records WHERE seq = {most + 2 - lost}")
        with pytest.raises(JournalDamaged):
            await Journal.open(url, state, now=noon)
    report_n("B15 commits that were lost", most)


async def test_a_server_that_would_lose_commits_is_refused(url: str, state: Path, postgres: PostgresServer) -> None:
    """I8, A9."""
    postgres.sql("ALTER SYSTEM SET fsync = off")
    postgres.sql("SELECT pg_reload_conf()")
    try:
        with pytest.raises(JournalUnavailable, match="fsync=off"):
            await Journal.open(url, state, now=noon)
    finally:
        postgres.sql("ALTER SYSTEM RESET fsync")
        postgres.sql("SELECT pg_reload_conf()")
    postgres.sql("ALTER DATABASE postgres SET synchronous_commit = off")
    try:
        journal = await Journal.open(url, state, now=noon)
        async with journal._database.write() as connection:
            assert (await connection.exec_driver_sql("SHOW synchronous_commit")).scalar() == "on"
        await journal.close()
    finally:
        postgres.sql("ALTER DATABASE postgres RESET synchronous_commit")


@pytest.mark.parametrize(
    ("part", "instead", "hint"),
    [
        (":canary", ":wrong-canary", "refuses the login"),
        ("/postgres", "/nowhere", "make the database first"),
        ("@127.0.0.1", "@127.0.0.1:1/x?was=", "is PostgreSQL running"),
    ],
)
async def test_a_database_that_cannot_be_used_is_told_with_the_next_step_and_without_its_password(
    url: str, state: Path, part: str, instead: str, hint: str
) -> None:
    """I26."""
    wrong = url.replace(part, instead)
    with pytest.raises(JournalUnavailable, match="the database reports") as refused:
        await Journal.open(wrong, state, now=noon)
    assert hint in refused.value.hint
    assert "canary" not in f"{refused.value} {refused.value.hint} {place_of(wrong)!r}"
    assert refused.value.__cause__ is None


async def test_the_step_to_the_newest_schema_goes_both_ways(url: str, state: Path, postgres: PostgresServer) -> None:
    """A version before several controllers reads what this one wrote, and the way back keeps it too (I25)."""
    journal = await Journal.open(url, state, now=noon)
    await journal.append("s", [Entry("a", {})], [Document("d", "k", {"n": 1})])
    await journal.close()
    database = database_at(place_of(url))

    def down(connection: Connection) -> None:
        command.downgrade(config_of(connection), "0001")

    async with database.write() as connection:
        await connection.run_sync(down)
    assert await database.schema() == "0001"
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "4"
    await migrate(database)
    await database.close()
    journal = await Journal.open(url, state, now=noon)
    assert await journal.document("d", "k") == {"n": 1}
    await journal.append("s", [Entry("b", {})], [Document("d", "k", None)])
    assert (await journal.verify()).intact
    await journal.close()


async def test_a_newer_schema_is_refused_and_left_alone(url: str, state: Path, postgres: PostgresServer) -> None:
    """I25."""
    await (await Journal.open(url, state, now=noon)).close()
    postgres.sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(JournalTooNew):
        await Journal.open(url, state, now=noon)
    with pytest.raises(JournalTooNew):
        await asyncio.to_thread(documents_at, place_of(url), "scope")


async def test_an_export_a_glance_and_an_inspection_need_no_journal_opened(
    two: tuple[Journal, Journal], url: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    place = place_of(url)
    await two[0].append("s", [Entry("a", {"n": n}) for n in range(1500)], [Document("scope", "prod", {"x": "ü"})])
    lines = await asyncio.to_thread(lambda: list(exported(place)))
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, 1501))
    assert verified(lines).intact
    assert await asyncio.to_thread(documents_at, place, "scope") == {"prod": {"x": "ü"}}
    assert (await Journal.inspect(url, tmp_path / "a")).intact
    postgres.sql("UPDATE documents SET body = '{}' WHERE kind = 'scope'")
    report = await Journal.inspect(url, tmp_path / "a")
    assert [str(d) for d in report.damages] == ["the document scope 'prod'"]
    with pytest.raises(JournalDamaged):
        await asyncio.to_thread(documents_at, place, "scope")


async def test_of_a_database_without_tables_nothing_is_told(url: str, state: Path) -> None:
    place = place_of(url)
    assert isinstance(place, ServerPlace)
    assert await asyncio.to_thread(documents_at, place, "scope") == {}
    with pytest.raises(JournalUnavailable, match="tables are not there"):
        await asyncio.to_thread(lambda: list(exported(place)))
    with pytest.raises(JournalUnavailable, match="tables are not there"):
        await Journal.inspect(url, state)
