"""The events of a run ⇄ the journal. Sealed priors lie beside the chain, so that they can be erased (I27)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.journal.journal import Journal
from controller.journal.projections import Document, Entry, OnlyWhile
from controller.plan.codec import from_json, to_json
from controller.runtime.run import EVENTS, KIND_OF, Event, Intended


def stream_of(run: str) -> str:
    """The journal stream that holds a run's events."""
    return f"run:{run}"


@dataclass(frozen=True, slots=True)
class RunLog:
    """Append and read the events of runs. `only_while`: the lease without which nothing is appended."""

    journal: Journal
    only_while: OnlyWhile | None = None

    async def append(
        self, run: str, events: Sequence[Event], documents: Sequence[Document] = (), about: Sequence[Entry] = ()
    ) -> range:
        """One durable commit (fsync done) of all `events` (I8), after the entries `about` the records among
        `documents`; the versions of the stream that they got."""
        sealed: dict[str, str] = {}
        entries = list(about)
        for event in events:
            entries.append(Entry(KIND_OF[type(event)], _stash(to_json(event), _stash_name(run, event), sealed)))
        rows = await self.journal.append(stream_of(run), entries, documents, sealed=sealed, only_while=self.only_while)
        return range(rows[0].version, rows[-1].version + 1)

    async def read(self, run: str) -> tuple[Event, ...]:
        """All events of `run`, sealed priors put back. Empty when it never began."""
        return (await self.since(run, 0))[0]

    async def since(self, run: str, version: int) -> tuple[tuple[Event, ...], int]:
        """The events of `run` after a version of its stream, and the version to ask after next."""
        rows = await self.journal.read(stream_of(run), version)
        events = tuple([await self._event(row.kind, row.body) for row in rows if row.kind in EVENTS])
        return events, rows[-1].version if rows else version

    async def forget_priors(self, run: str) -> None:
        """Erase the sealed priors of a run that no undo can need any more."""
        rows = await self.journal.read(stream_of(run))
        await self.journal.erase_sealed([name for row in rows for name in _stashes(row.body)])

    async def _event(self, kind: str, body: Mapping[str, Any]) -> Event:
        event: Event = from_json(EVENTS[kind], await self._unstash(body))
        return event

    async def _unstash(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            if set(data) == {"$sealed"} and "stash" in data["$sealed"]:
                return {"$sealed": {"blob": await self.journal.sealed(data["$sealed"]["stash"]) or ""}}
            return {k: await self._unstash(v) for k, v in data.items()}
        if isinstance(data, list):
            return [await self._unstash(v) for v in data]
        return data


def _stash_name(run: str, event: Event) -> str:
    """Where this event's sealed values lie; empty for an event that brings none of its own."""
    if not isinstance(event, Intended):
        return ""
    return f"{run}:{event.ref.work}.{event.ref.step}.{event.ref.undo}"


def _stash(data: Any, prefix: str, sealed: dict[str, str]) -> Any:
    if isinstance(data, Mapping):
        if prefix and set(data) == {"$sealed"}:
            name = f"{prefix}.{len(sealed)}"
            sealed[name] = data["$sealed"]["blob"]
            return {"$sealed": {"stash": name}}
        return {k: _stash(v, prefix, sealed) for k, v in data.items()}
    if isinstance(data, list):
        return [_stash(v, prefix, sealed) for v in data]
    return data


def _stashes(data: Any) -> Iterator[str]:
    """The names of all sealed values that lie beside this event."""
    if isinstance(data, Mapping):
        if set(data) == {"$sealed"} and "stash" in data["$sealed"]:
            yield data["$sealed"]["stash"]
        else:
            for value in data.values():
                yield from _stashes(value)
    elif isinstance(data, list):
        for value in data:
            yield from _stashes(value)
