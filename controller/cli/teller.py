"""How the demonstration is told: rules, panels and ticks on a terminal, the same words as plain lines into a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from controller.review.inert import visible

_WIDTH_MAX = 110


class Teller:
    """Tells one story. Everything shown that others wrote goes through `visible` first (I45)."""

    def __init__(self) -> None:
        plain = Console(highlight=False)
        self.console = Console(highlight=False, width=min(plain.width, _WIDTH_MAX)) if plain.is_terminal else plain
        self.rich = self.console.is_terminal
        self._begun_s = time.monotonic()
        self._step_begun_s = self._begun_s
        self._checks = 0

    def title(self, text: str, below: str) -> None:
        if self.rich:
            self.console.print()
            self.console.print(Panel(Text(below), title=f"[bold]{text}[/]", box=box.ROUNDED, border_style="cyan"))
        else:
            self._line(f"{text}\n{below}")

    def step(self, number: int, of: int, heading: str) -> None:
        """A new chapter."""
        self._step_begun_s = time.monotonic()
        if self.rich:
            self.console.print()
            self.console.print(Rule(Text(f" {number}/{of}  {heading} ", "bold cyan"), align="left", style="cyan"))
        else:
            self._line(f"\n[{number}/{of}] {heading}")

    def say(self, text: str) -> None:
        if self.rich:
            self.console.print(Padding(Text(text), (0, 0, 0, 2)))
        else:
            self._line(f"  {text}")

    def command(self, text: str) -> None:
        """What a person would type for what happens next."""
        if self.rich:
            self.console.print(Text.assemble("  ", ("$ ", "green"), (text, "bold")))
        else:
            self._line(f"  $ {text}")

    def show(self, title: str, lines: Iterable[str | Text]) -> None:
        """What the program said, framed."""
        texts = [line if isinstance(line, Text) else Text(visible(line, 400)) for line in lines]
        if self.rich:
            inner = Text("\n").join(texts)
            framed = Panel(inner, title=Text(title, "dim"), title_align="left", box=box.ROUNDED, border_style="dim")
            self.console.print(Padding(framed, (0, 0, 0, 2)))
        else:
            self._line(f"  -- {title}")
            for text in texts:
                self._line(f"  | {text.plain}".rstrip())

    def checked(self, text: str) -> None:
        """A claim that was looked at and holds."""
        self._checks += 1
        if self.rich:
            self.console.print(Text.assemble("  ", ("✓ ", "bold green"), text))
        else:
            self._line(f"  ok: {text}")

    def step_over(self) -> None:
        took = f"{time.monotonic() - self._step_begun_s:.1f} s"
        if self.rich:
            self.console.print(Text(f"  {took}", "dim"))
        else:
            self._line(f"  ({took})")

    def end(self, below: str) -> None:
        text = f"{self._checks} checks held in {time.monotonic() - self._begun_s:.1f} s. {below}"
        if self.rich:
            self.console.print()
            self.console.print(Panel(Text(text), box=box.ROUNDED, border_style="green"))
        else:
            self._line(f"\n{text}")

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A spinner on a terminal; nothing into a pipe."""
        if self.rich:
            with self.console.status(Text(what, "dim")):
                yield
        else:
            yield

    def _line(self, text: str) -> None:
        # Not wrapped: lines of a pipe are read by programs.
        self.console.print(text, markup=False, soft_wrap=True)
