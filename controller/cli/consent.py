"""What the person at the terminal agreed to, on the command line or by an answer to a question."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass

import click

from controller.cli.show import interactive
from controller.errors import InvalidInput, RefusedByPolicy
from controller.review.plan_text import DIGEST_SHOWN

_TYPED = 8  # characters of a digest that a person types
_LINE_BYTES = 4096  # a terminal hands over at most one line of this length at once
_MEANS = {"y": True, "yes": True, "n": False, "no": False, "": False}


@dataclass(frozen=True, slots=True)
class Consent:
    """What the caller agreed to: on the command line, else by an answer at the terminal."""

    yes: bool
    digests: tuple[str, ...]

    def names(self, digest: str) -> bool:
        """True if `--confirm` was given for this digest, or its beginning."""
        return any(len(d) >= _TYPED and digest.startswith(d) for d in self.digests)

    async def plain(self, question: str) -> bool:
        """A yes or no. Raises InvalidInput where nobody can be asked, Abort at Ctrl-C or where the terminal ends."""
        if self.yes:
            return True
        if not interactive():
            raise InvalidInput("there is no terminal to ask at", hint="--yes goes on without asking")
        while (meant := _MEANS.get((await _answer(f"{question} [y/N]: ")).lower())) is None:
            click.echo("Answer y or n.")
        return meant

    async def typed(self, why: str, digest: str) -> bool:
        """Above the prune limits (I17): the digest itself, never a plain yes. Raises RefusedByPolicy where nobody can
        be asked, Abort at Ctrl-C or where the terminal ends."""
        if self.names(digest):
            return True
        if self.yes or not interactive():
            raise RefusedByPolicy(why, hint=f"look at the plan, then: --confirm {digest[:DIGEST_SHOWN]}")
        click.secho(why, fg="red")
        answer = await _answer(f"Type the first {_TYPED} characters of the digest to go on: ")
        return len(answer) >= _TYPED and digest.startswith(answer)


async def _answer(question: str) -> str:
    """One line from the terminal. The loop waits for it and for Ctrl-C at once: a read that has not begun yet would
    sleep through a Ctrl-C that comes before it."""
    loop = asyncio.get_running_loop()
    line_there = asyncio.Event()
    waiting = loop.create_task(line_there.wait())
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, waiting.cancel)
    loop.add_reader(sys.stdin, line_there.set)
    try:
        click.echo(question, nl=False)
        await waiting
        line = os.read(sys.stdin.fileno(), _LINE_BYTES)
    except (asyncio.CancelledError, OSError):
        line = b""
    finally:
        loop.remove_reader(sys.stdin)
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
    if not line:
        click.echo()
        raise click.Abort
    return line.decode("utf-8", "replace").strip()
