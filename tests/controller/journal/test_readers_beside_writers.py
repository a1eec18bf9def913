"""A reader that meets a commit under way sees the state before it or after it, and never takes it for damage."""

from __future__ import annotations

import asyncio

from controller.journal.journal import Document, Entry, Journal

_ROUNDS = 60


async def test_documents_read_while_they_are_written_are_never_damage(journal: Journal) -> None:
    await journal.append("s", [Entry("n", {})], [Document("run", "1", {"n": 0})])

    async def write() -> None:
        for n in range(1, _ROUNDS + 1):
            await journal.append("s", [Entry("n", {})], [Document("run", "1", {"n": n})])

    async def read() -> list[int]:
        seen = []
        while not writer.done():
            one = await journal.document("run", "1")
            seen.append(one["n"] if one else -1)
            seen.append((await journal.documents("run"))["1"]["n"])
        return seen

    writer = asyncio.create_task(write())
    for seen in await asyncio.gather(*(read() for _ in range(4))):
        assert seen == sorted(seen)
    await writer
    assert journal.writable


async def test_a_document_that_is_deleted_while_it_is_read_is_never_damage(journal: Journal) -> None:
    async def write() -> None:
        for n in range(_ROUNDS):
            await journal.append("s", [Entry("n", {})], [Document("run", "1", {"n": n} if n % 2 else None)])

    writer = asyncio.create_task(write())
    while not writer.done():
        await asyncio.sleep(0)  # to read what is not there waits for nothing
        assert await journal.document("run", "1") in (None, *({"n": n} for n in range(1, _ROUNDS, 2)))
    await writer
    assert journal.writable


async def test_a_sealed_prior_that_is_erased_while_it_is_read_is_never_damage(journal: Journal) -> None:
    async def write() -> None:
        for _ in range(_ROUNDS // 4):
            await journal.put_sealed("op", "blob")
            await journal.erase_sealed(["op"])

    writer = asyncio.create_task(write())
    while not writer.done():
        await asyncio.sleep(0)
        assert await journal.sealed("op") in (None, "blob")
    await writer
    assert journal.writable
