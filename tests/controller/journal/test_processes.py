"""A process that is killed, and a second one that wants the same journal (A1's ground, B17)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from controller.journal.journal import Journal
from controller.journal.lease import lock_state
from tests.controller.journal.clocks import noon
from tests.controller.journal.databases import on_a_file

ROOT = Path(__file__).parents[3]


class Zygote:
    """A process that forks children on command."""

    def __init__(self, process: subprocess.Popen[str], into: IO[str], out: IO[str]) -> None:
        self._process, self._in, self._out = process, into, out

    def start(self, command: str, argument: object) -> int:
        """The pid of the new child."""
        self._in.write(f"{command} {argument}\n")
        self._in.flush()
        return int(self._out.readline())

    def line(self) -> str:
        return self._out.readline().strip()

    def rest(self) -> list[str]:
        """What the child still says until its end."""
        lines: list[str] = []
        while (line := self.line()) != "end":
            assert line, "the helper process died"
            lines.append(line)
        return lines


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    command = [sys.executable, "-m", "tests.controller.journal.zygote"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Zygote(process, process.stdin, process.stdout)
        process.stdin.close()


@pytest.mark.crash
async def test_a_killed_process_loses_nothing_acknowledged(
    url: str, state: Path, zygote: Zygote, report_n: Callable[..., None]
) -> None:
    """I8: SIGKILL at some instant of an append; the next process finds all that was acknowledged, each append whole,
    and goes on."""
    chance, acknowledged, lost = random.Random(9), 0, 0
    kills = 120 if url.startswith("sqlite") else 25
    for _ in range(kills):
        pid = zygote.start("append", f"{state} {url}")
        for _ in range(chance.randrange(5)):
            acknowledged = int(zygote.line().removeprefix("acknowledged "))
        os.kill(pid, signal.SIGKILL)
        for line in zygote.rest():
            acknowledged = int(line.removeprefix("acknowledged "))
        lost += await lost_after(url, state, acknowledged)
    report_n("A1 journal kill -9", kills, lost)
    assert acknowledged > kills
    assert lost == 0


async def lost_after(url: str, state: Path, acknowledged: int) -> int:
    """1 if something acknowledged is gone or something is half there."""
    journal = await Journal.open(url, state, now=noon)
    try:
        records, report = await journal.read("run"), await journal.verify()
        document = await journal.document("last", "run")
        newest = records[-2].body["after"] if records else None
        whole = len(records) % 2 == 0 and (document or {}).get("head") == newest
        return int(journal.head < acknowledged or not whole or not report.intact)
    finally:
        await journal.close()


@on_a_file
@pytest.mark.crash
async def test_a_second_process_is_refused_and_told_who_has_it(
    url: str, state: Path, tmp_path: Path, zygote: Zygote, report_n: Callable[..., None]
) -> None:
    """B17: nothing waits, so the refusal takes no time worth a limit."""
    journal, lock = await Journal.open(url, state, now=noon), lock_state(tmp_path)
    refused = 0
    for _ in range(25):
        for command, argument in (("open", f"{state} {url}"), ("state", tmp_path)):
            zygote.start(command, argument)
            (told,) = zygote.rest()
            refused += told.startswith("LockHeld: ") and told.endswith(f"in use by process {os.getpid()}")
    report_n("B17 second process", 50, 50 - refused)
    assert refused == 50
    await journal.close()
    lock.release()
    for command, argument, word in (("open", f"{state} {url}", "opened"), ("state", tmp_path, "locked")):
        zygote.start(command, argument)
        assert zygote.rest() == [word]


@pytest.mark.crash
async def test_a_killed_process_leaves_no_lock_behind(state: Path, url: str, zygote: Zygote) -> None:
    pid = zygote.start("append", f"{state} {url}")
    zygote.line()
    os.kill(pid, signal.SIGKILL)
    zygote.rest()
    await (await Journal.open(url, state, now=noon)).close()
