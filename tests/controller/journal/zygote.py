"""Runs as a process of its own: forks children that use a journal, so that tests may kill them.

Reads commands, one a line: `append STATE URL`: a child appends for ever and prints each acknowledged number; `open
STATE URL` and `state DIR`: a child tries to take what another process has, and prints what it was told. The first line
of each answer is the child's pid, the last is `end`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import controller.journal.postgres  # noqa: F401 - else each child would load the driver anew
from controller.errors import AlmaError
from controller.journal.journal import Document, Entry, Journal
from controller.journal.lease import lock_state
from tests.controller.journal.clocks import noon


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def append_for_ever(state: str, url: str) -> None:
    journal = await Journal.open(url, Path(state), now=noon)
    while True:
        last = journal.head
        documents = [Document("last", "run", {"head": last})]
        records = await journal.append(
            "run", [Entry("a", {"after": last}), Entry("b", {})], documents, sealed={"op": "x" * 99}
        )
        say(f"acknowledged {records[-1].seq}")


async def open_once(state: str, url: str) -> None:
    await (await Journal.open(url, Path(state), now=noon)).close()
    say("opened")


def child(command: str, argument: str) -> None:
    try:
        if command == "append":
            asyncio.run(append_for_ever(*argument.split()))
        elif command == "open":
            asyncio.run(open_once(*argument.split()))
        else:
            lock_state(Path(argument))
            say("locked")
    except AlmaError as error:
        say(f"{type(error).__name__}: {error}")


def main() -> None:
    """Until standard input ends."""
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        pid = os.fork()
        if pid == 0:
            say(str(os.getpid()))
            child(command, argument)
            os._exit(0)
        os.waitpid(pid, 0)
        say("end")


if __name__ == "__main__":
    main()
