"""`alma.yaml`: the scopes of a repository and the rules they run under (design.md 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from controller.blueprint.cycles import cycles, shown_cycle
from controller.blueprint.document import read_document
from controller.blueprint.limits import DEFAULT_LIMITS, Limits
from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.node import Node, plain, position
from controller.blueprint.reading import checked
from controller.blueprint.repository_schema import Policy, RepositorySpec, ScopeSpec, output_of
from controller.blueprint.value import Output, Value
from controller.errors import InvalidInput, Place, Problem

REPOSITORY_FILE = "alma.yaml"
_SUFFIXES = (".yaml", ".yml", ".json")
_NOT_BLUEPRINTS = (REPOSITORY_FILE, "alma-server.yaml")


@dataclass(frozen=True, slots=True)
class ScopeConfig:
    """One scope: what one reconcile owns.

    `path` is `.` or a folder without a slash at its end. `targets`: engine → its targets, the first being the default;
    empty where the server decides. `outputs`: what other scopes may use, under their keys. `visible`: the keys that the
    scopes of `depends_on` declare."""

    name: str
    path: str = "."
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    provider: str | None = None
    depends_on: tuple[str, ...] = ()
    values: Mapping[str, Value] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    self_heal: bool = True
    visible: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def owns(self, path: str) -> bool:
        """True for a path of the repository at or below this scope's folder."""
        return _within(path, self.path)


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository says about itself on its tracked branch. `written` is False where there was no alma.yaml."""

    scopes: tuple[ScopeConfig, ...]
    policy: Policy = Policy()
    prices: str | None = None
    written: bool = True

    def scope(self, name: str) -> ScopeConfig | None:
        """The scope called `name`, if there is one."""
        return next((s for s in self.scopes if s.name == name), None)


def load_repository(
    text: bytes | None,
    file: str = REPOSITORY_FILE,
    *,
    default_scope: str = "default",
    limits: Limits = DEFAULT_LIMITS,
) -> Repository:
    """What `text` says; without one, a single scope over everything, called `default_scope`. Raises InvalidInput with
    every mistake at its place."""
    if text is None:
        return Repository((ScopeConfig(default_scope),), written=False)
    node = read_document(text, file, limits)
    spec, problems = checked(RepositorySpec, plain(node), node, file)
    if spec is not None:
        problems = tuple(islice(_scope_problems(spec.scopes, node, file), limits.problems))
    if spec is None or problems:
        raise InvalidInput(problems)
    return Repository(_scopes(spec.scopes), spec.policy, spec.prices)


def blueprint_files(paths: Iterable[str], scope: ScopeConfig, prices: str | None = None) -> tuple[str, ...]:
    """Those of a revision's `paths` that are blueprints of `scope`, sorted: YAML and JSON below its folder, nothing
    hidden (`.github/…`), not ALMA's own files."""
    return tuple(sorted(p for p in paths if p.endswith(_SUFFIXES) and p != prices and _is_blueprint(p, scope)))


def _is_blueprint(path: str, scope: ScopeConfig) -> bool:
    if path in _NOT_BLUEPRINTS or not scope.owns(path):
        return False
    return not any(part.startswith(".") for part in path.split("/"))


def _within(path: str, folder: str) -> bool:
    return folder == "." or path == folder or path.startswith(f"{folder}/")


def _scopes(specs: Sequence[ScopeSpec]) -> tuple[ScopeConfig, ...]:
    declared = {spec.name: frozenset(spec.outputs) for spec in specs}
    return tuple(
        ScopeConfig(
            name=spec.name,
            path=spec.path,
            targets=spec.targets,
            provider=spec.provider,
            depends_on=spec.depends_on,
            values=spec.values,
            outputs={key: _output(spec.name, reference) for key, reference in spec.outputs.items()},
            self_heal=spec.self_heal,
            visible={name: declared[name] for name in spec.depends_on},
        )
        for spec in specs
    )


def _output(scope: str, reference: str) -> Output:
    name, key = output_of(reference)
    return Output(f"{scope}/{name}", key)


def _scope_problems(specs: Sequence[ScopeSpec], node: Node, file: str) -> Iterable[Problem]:
    """What no single scope can know: twins, overlaps, unknown names and cycles."""

    def problem(index: int, key: str, message: str) -> Problem:
        return Problem(Place(file, *position(node, ("scopes", index, key))), message, f"scopes.{index}.{key}")

    def line(index: int, key: str) -> int:
        return position(node, ("scopes", index, key))[0]

    names = {spec.name: i for i, spec in reversed(list(enumerate(specs)))}
    for i, spec in enumerate(specs):
        if names[spec.name] != i:
            first = line(names[spec.name], "name")
            yield problem(i, "name", f"scope {spec.name} is already written in line {first}; rename one")
        for name in spec.depends_on:
            if name not in names:
                yield problem(i, "depends_on", f"no scope {shown(name, 80)}{did_you_mean(name, names)}")
    for first, second in _overlaps(specs):
        one, other = specs[first], specs[second]
        text = f"path {shown(other.path, 80)} overlaps {shown(one.path, 80)} of scope {one.name}"
        yield problem(second, "path", f"{text} in line {line(first, 'path')}; a file belongs to one scope")
    for ring in cycles({spec.name: spec.depends_on for spec in specs}):
        yield problem(names[ring[0]], "depends_on", f"scopes wait for each other: {shown_cycle(ring)}")


def _overlaps(specs: Sequence[ScopeSpec]) -> Iterator[tuple[int, int]]:
    """Pairs of scopes of which one's folder is, or lies in, the other's. Linear in the number of scopes."""
    owner: dict[str, int] = {}
    for i, spec in enumerate(specs):
        owner.setdefault(spec.path, i)
    for i, spec in enumerate(specs):
        parts = spec.path.split("/")
        above = {".", *("/".join(parts[:n]) for n in range(1, len(parts) + 1))}
        for path in sorted(above):
            other = owner.get(path, i)
            if other != i:
                yield min(i, other), max(i, other)
