"""Resources that stand in files beside their blueprint (manifests, charts, kustomizations) → resources with objects.

The files come from the same revision as the blueprint and lie within its scope, so that equal content ids want equal
things. A kind renders them in a confined process; the YAML that comes out is read in the parse worker like any other.
"""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.blueprint.attached import Documents, parse_documents
from controller.blueprint.entry import Entry
from controller.blueprint.limits import DEFAULT_LIMITS
from controller.blueprint.repository import ScopeConfig
from controller.errors import InvalidInput, Problem
from controller.plan.resource import Kind
from controller.runtime.parse_worker import ParseWorker
from engines.engine import Renders

Read = Callable[[str], Awaitable[Mapping[str, bytes]]]  # a file or folder of the revision → its files, by full path
Kinds = Mapping[str, Mapping[str, Kind]]


@dataclass(frozen=True, slots=True)
class Attaching:
    """Reads and renders for one install. Without a worker the YAML is read here: it is the caller's own."""

    kinds: Kinds
    worker: ParseWorker | None = None

    async def attached(self, entries: Sequence[Entry], scope: ScopeConfig, read: Read) -> tuple[Entry, ...]:
        """Every entry with its objects. Raises InvalidInput with every mistake at its place."""
        problems: list[Problem] = []
        found = [await self._entry(e, scope, read, problems) for e in entries]
        if problems:
            raise InvalidInput(problems)
        return tuple(found)

    async def _entry(self, entry: Entry, scope: ScopeConfig, read: Read, problems: list[Problem]) -> Entry:
        kind = self._kind(entry, scope)
        if kind is None or not (sources := kind.sources(entry)):
            return entry
        files: dict[str, bytes] = {}
        for key, written in sources.items():
            path = within(entry, written)
            if path is None or not scope.owns(path):
                text = f"{written} is not below the scope's folder {scope.path}"
                problems.append(entry.problem(f"specs.{key}", text))
                return entry
            below = await read(path)
            if not below:
                problems.append(entry.problem(f"specs.{key}", f"there is nothing at {path}"))
                return entry
            files |= below
        try:
            streams = await kind.render(entry, {k: str(within(entry, w)) for k, w in sources.items()}, files)
        except InvalidInput as error:
            problems += error.problems
            return entry
        read_out = await self.documents(streams)
        problems += [p for one in read_out.values() for p in one.problems]
        values = tuple(v for one in read_out.values() for v in one.values)
        rest = {k: v for k, v in entry.specs.items() if k not in sources}
        return replace(entry, specs={**kind.without_sources(rest), "manifests": values})

    def _kind(self, entry: Entry, scope: ScopeConfig) -> Renders | None:
        providers = [entry.provider] if entry.provider else list(scope.targets or self.kinds)
        found: list[object] = [self.kinds.get(p, {}).get(entry.type) for p in providers]
        return next((k for k in found if isinstance(k, Renders)), None)

    async def documents(self, streams: Mapping[str, bytes]) -> Mapping[str, Documents]:
        """What each YAML stream holds, by its name."""
        if self.worker is None:
            return {name: parse_documents(name, data) for name, data in streams.items()}
        return await self.worker.documents(streams, DEFAULT_LIMITS)


def within(entry: Entry, written: str) -> str | None:
    """The path from the repository's root: as written from the blueprint's folder, or with a leading `/` from the root.
    None where it leads out."""
    base = "" if written.startswith("/") else posixpath.dirname(entry.place.file)
    path = posixpath.normpath(posixpath.join(base, written.lstrip("/")))
    return None if path.startswith("..") else path
