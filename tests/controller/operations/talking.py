"""Comments on a pull request of an estate, and what is answered to them."""

from __future__ import annotations

from collections.abc import Iterable

from controller.operations.access import Actor
from tests.controller.runtime.estate import Estate


async def said(home: Estate, number: int, body: str, actor: Actor | None = None) -> str:
    """Writes `body` as a comment and makes the passes that follow; the answer, without its marker."""
    [answer] = await said_all(home, number, [body], actor)
    return answer


async def said_all(home: Estate, number: int, bodies: Iterable[str], actor: Actor | None = None) -> list[str]:
    """As `said`, several comments at once."""
    written = [await home.ask("ipr.comment", actor, number=number, body=body) for body in bodies]
    await home.settle()
    comments = (await home.ask("ipr.show", number=number))["comments"]
    answers = []
    for one in written:
        marker = f"<!-- alma:home:answer:{one['comment']} -->"
        found = [c["body"] for c in comments if c["body"].startswith(marker)]
        assert len(found) == 1, comments
        answers.append(str(found[0].removeprefix(marker).strip()))
    return answers
