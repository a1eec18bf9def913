"""What must be true of every seed, whatever happened in it (H1 … H10)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from controller.forges.marker import bears
from controller.runtime.run import RunWord
from tests.controller.runtime.estate import Estate
from tests.crash import judging
from tests.simulator.outside import Outside

_BOT = 1


async def unannounced(home: Estate) -> list[str]:
    """H6, asked right after a kill: everything the platform accepted had a durable intent before."""
    return await judging.unannounced(home)


async def wrongs(home: Estate, outside: Outside) -> list[str]:
    """Everything that is not as it must be, once all is calm."""
    parked = {f"run {run.run} is {run.word}: {run.reason}" for run in await home.runs() if run.word is RunWord.PARKED}
    found = [w for w in await judging.wrongs(home) if w not in parked]  # a person has seen to those
    found = [w for w in found if w not in await _left_to_people(home)]
    found += await judging.unannounced(home)
    found += _foreign(outside)
    found += _comments(outside)
    found += unreported(outside)
    found += [w async for w in _secrets(home, outside)]
    return found


async def _left_to_people(home: Estate) -> set[str]:
    """What a run that was parked kept and cannot put back: no sweep may end it, and the scope says who must."""
    if not any(run.word is RunWord.PARKED for run in await home.runs()):
        return set()
    said = (await home.scope()).message
    kept = {
        k: r for k, r in home.world.items() if r["part"] == "kept" and f"remove {k.partition(':')[2]} by hand" in said
    }
    twins = {f"{n} objects of {r['mark']['resource']}" for r in kept.values() for n in range(2, 2 + len(kept))}
    return twins | {f"{key} is kept, task None" for key in kept}


def _foreign(outside: Outside) -> Iterator[str]:
    """I16: what others have is as they left it."""
    objects = outside.world.read()["objects"]
    yield from (
        f"{key}, which is not ours, is {objects.get(key)}"
        for key, was in outside.foreign.items()
        if objects.get(key) != was
    )


def _comments(outside: Outside) -> Iterator[str]:
    """H4: at most one comment of ours under the marker, and it ends once."""
    for number in outside.server.pulls:
        ours = _ours(outside, number)
        if len(ours) > 1:
            yield f"{len(ours)} comments of ours on pull request {number}"
        if any(body.count("Final state:") > 1 for body in ours):
            yield f"the comment on pull request {number} ends more than once"


def unreported(outside: Outside) -> list[str]:
    """Merged pull requests of people whose comment has no final state yet."""
    merged = sorted(outside.to_report)
    silent = [n for n in merged if not any("Final state:" in body for body in _ours(outside, n))]
    return [f"pull request {n} has no final state" for n in silent]


def _ours(outside: Outside, number: int) -> list[str]:
    marker = f"<!-- alma:home:infra:{number} -->"
    return [body for body in outside.server.bodies(number, _BOT) if bears(marker, body)]


async def _secrets(home: Estate, outside: Outside) -> AsyncIterator[str]:
    """H10: the planted secret is nowhere but where the platform got its keyed hash."""
    canary = b"hunter2-canary"
    for file in sorted(home.state.rglob("*")):
        if file.is_file() and canary in file.read_bytes():
            yield f"the secret stands in {file.relative_to(home.state)}"
    if any(canary.decode() in c.body for c in outside.server.comments.values()):
        yield "the secret stands in a comment"
