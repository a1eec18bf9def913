"""The files of a scope at one revision → entries: names resolved, values put in, every part with its place.

`parse_blueprint` sees one file and nothing else, so its result may be kept per path and blob and may come from a worker
process. `load_scope` puts the files together; it recurses nowhere over what users wrote but inside one value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from controller.blueprint.cycles import cycles, shown_cycle
from controller.blueprint.document import read_counted, too_large
from controller.blueprint.entries import Written, entry_of, names_of
from controller.blueprint.entry import Entry
from controller.blueprint.limits import DEFAULT_LIMITS, Limits
from controller.blueprint.names import shown
from controller.blueprint.node import Items, Map, Node, plain, position
from controller.blueprint.reading import checked
from controller.blueprint.rendering import rendered
from controller.blueprint.repository import REPOSITORY_FILE, ScopeConfig
from controller.blueprint.schema import Blueprint, ConstraintSpec
from controller.blueprint.sops import SopsFile
from controller.blueprint.value import Value
from controller.errors import InvalidInput, Place, Problem

_AS_WRITTEN = ("version", "adopt")


@dataclass(frozen=True, slots=True)
class ParsedBlueprint:
    """One file, checked as far as one file can be. `blueprint` and `node` are None exactly when there are problems."""

    file: str
    blueprint: Blueprint | None
    node: Map | None
    problems: tuple[Problem, ...] = ()
    nodes: int = 0  # how many values it holds, counting what aliases repeat


@dataclass(frozen=True, slots=True)
class BlueprintInfo:
    """What a blueprint says beside its resources."""

    name: str
    place: Place
    description: str = ""
    constraints: ConstraintSpec = ConstraintSpec()
    metadata: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadedScope:
    """What a scope wants at one revision. `entries` are sorted by (blueprint, name), `files` by path."""

    scope: str
    entries: tuple[Entry, ...]
    files: tuple[str, ...]
    blueprints: tuple[BlueprintInfo, ...] = ()
    sops: Mapping[str, SopsFile] = field(default_factory=dict)  # by path: what `sops:` secrets of the entries name


def check_sizes(sizes_bytes: Mapping[str, int], limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse a scope by the sizes of its files alone, before any of them is read. Raises InvalidInput."""
    problems: list[Problem] = []
    if len(sizes_bytes) > limits.scope_files:
        text = f"{len(sizes_bytes):,} blueprint files; a scope may have {limits.scope_files:,}: split the scope"
        problems.append(Problem(None, text))
    total = sum(sizes_bytes.values())
    if total > limits.scope_bytes:
        text = f"{total:,} bytes of blueprints; a scope may have {limits.scope_bytes:,}: split the scope"
        problems.append(Problem(None, text))
    problems += [too_large(f, size, limits) for f, size in sizes_bytes.items() if size > limits.file_bytes]
    _raise(problems, limits)


def parse_blueprint(file: str, data: bytes, limits: Limits = DEFAULT_LIMITS) -> ParsedBlueprint:
    """`data` checked against the schema. Never raises: what is wrong is in `problems`."""
    if shown(file) != file:
        problem = Problem(Place(shown(file)), "the name of this file holds hidden characters; rename it")
        return ParsedBlueprint(file, None, None, (problem,))
    try:
        node, nodes = read_counted(data, file, limits)
    except InvalidInput as error:
        return ParsedBlueprint(file, None, None, error.problems)
    blueprint, problems = checked(Blueprint, _content(node), node, file, limits.problems)
    if blueprint is not None and blueprint.template is not None:
        blueprint, node, problems = rendered(blueprint, node, file, limits)
    if blueprint is not None and not problems:
        problems = tuple(_twins(blueprint, node, file))
    if problems:
        return ParsedBlueprint(file, None, None, problems)
    return ParsedBlueprint(file, blueprint, node, nodes=nodes)


def load_scope(
    files: Mapping[str, bytes],
    scope: ScopeConfig,
    limits: Limits = DEFAULT_LIMITS,
    parse: Callable[[str, bytes, Limits], ParsedBlueprint] = parse_blueprint,
) -> LoadedScope:
    """Everything `files` (path from the repository's root → content) want. `parse` is where a cache may stand. Raises
    InvalidInput with every mistake at its place."""
    check_sizes({file: len(data) for file, data in files.items()}, limits)
    parsed: list[ParsedBlueprint] = []
    left = limits.scope_nodes
    for file in sorted(files):
        parsed.append(parse(file, files[file], limits))
        left -= parsed[-1].nodes
        if left < 0:
            text = f"more than {limits.scope_nodes:,} values in the blueprints of one scope; split the scope"
            raise InvalidInput([Problem(Place(file), text)])
    return assemble(parsed, scope, limits)


def assemble(parsed: Sequence[ParsedBlueprint], scope: ScopeConfig, limits: Limits = DEFAULT_LIMITS) -> LoadedScope:
    """The parsed files of a scope as one. Raises InvalidInput; mistakes between files are looked for once no file has
    one of its own."""
    _raise([p for one in parsed for p in one.problems], limits)
    whole = [(one.file, one.blueprint, one.node) for one in parsed if one.blueprint and one.node]
    _raise([*_same_blueprint(whole), *_too_many_resources(whole, limits)], limits)
    names = names_of([blueprint for _, blueprint, _ in whole], scope)
    problems: list[Problem] = []
    entries: list[Entry] = []
    for file, blueprint, node in whole:
        for index, (spec, item) in enumerate(zip(blueprint.resources or (), _resources(node), strict=True)):
            written = Written(spec, index, blueprint, file, item)
            entries.append(entry_of(written, names[blueprint.name], scope, problems, limits.problems))
    _raise([*problems, *_undeclared(scope, {e.id for e in entries})], limits)
    entries.sort(key=lambda e: (e.blueprint, e.name))
    _raise(list(_too_many_edges(entries, limits)), limits)
    _raise([*_cycles(entries), *_renames(entries)], limits)
    return LoadedScope(
        scope.name,
        tuple(entries),
        tuple(sorted(file for file, _, _ in whole)),
        tuple(sorted((_info(*one) for one in whole), key=lambda info: info.name)),
    )


def _raise(problems: Sequence[Problem], limits: Limits) -> None:
    if problems:
        more = len(problems) - limits.problems
        raise InvalidInput(problems[: limits.problems], hint=f"{more} more mistakes are not shown" if more > 0 else "")


def _content(node: Map) -> object:
    """What the file holds, with versions and platform ids as they are written: `1.10` and `12e4` are no numbers."""
    content = plain(node)
    found = node.values.get("resources")
    listed = content.get("resources") if isinstance(content, dict) else None
    if isinstance(found, Items) and isinstance(listed, tuple):
        for item, values in zip(found.items, listed, strict=True):
            if isinstance(item, Map) and item.raw:
                values.update(_as_written(item))
    return content


def _as_written(item: Map) -> dict[str, str]:
    # A number that came through an alias is not written here; its value says the same in its own form.
    numbers = {key: item.values[key] for key in _AS_WRITTEN if type(item.values.get(key)) in (int, Decimal)}
    return {key: item.raw.get(key, str(number)) for key, number in numbers.items()}


def _resources(node: Map) -> list[Map]:
    """The maps below `resources`; all of it, once the schema has accepted the file."""
    found = node.values.get("resources")
    return [item for item in found.items if isinstance(item, Map)] if isinstance(found, Items) else []


def _twins(blueprint: Blueprint, node: Node, file: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for i, spec in enumerate(blueprint.resources or ()):
        if first.setdefault(spec.name, i) != i:
            line, col = position(node, ("resources", i, "name"))
            before = position(node, ("resources", first[spec.name], "name"))[0]
            text = f"resource {spec.name} is already written in line {before}; rename one"
            yield Problem(Place(file, line, col), text, f"resources.{i}.name")


Whole = Sequence[tuple[str, Blueprint, Map]]


def _same_blueprint(whole: Whole) -> Iterator[Problem]:
    first: dict[str, Place] = {}
    for file, blueprint, node in whole:
        place = Place(file, *position(node, ("name",)))
        before = first.setdefault(blueprint.name, place)
        if before != place:
            yield Problem(place, f"blueprint {blueprint.name} is already at {before}; rename one", "name")


def _too_many_resources(whole: Whole, limits: Limits) -> Iterator[Problem]:
    total = sum(len(blueprint.resources or ()) for _, blueprint, _ in whole)
    if total > limits.resources:
        text = f"{total:,} resources; a scope may have {limits.resources:,}: split the scope"
        yield Problem(Place(whole[-1][0]), text)


def _too_many_edges(entries: Sequence[Entry], limits: Limits) -> Iterator[Problem]:
    total = sum(len(e.dependencies) for e in entries)
    if total > limits.edges:
        text = f"{total:,} dependencies; a scope may have {limits.edges:,}: split the scope"
        yield Problem(entries[0].place, text)


def _cycles(entries: Sequence[Entry]) -> Iterator[Problem]:
    by_id = {e.id: e for e in entries}
    for ring in cycles({e.id: e.dependencies for e in entries}):
        short = tuple(full.partition("/")[2] for full in ring)
        yield by_id[ring[0]].problem("dependencies", f"resources wait for each other: {shown_cycle(short)}")


def _renames(entries: Sequence[Entry]) -> Iterator[Problem]:
    """A former name is free, and one resource takes it over."""
    wanted = {e.id for e in entries}
    taken: dict[str, Entry] = {}
    for one in entries:
        for i, full in enumerate(one.formerly):
            short = full.partition("/")[2]
            if full in wanted:
                yield one.problem(f"formerly.{i}", f"{short} is still a resource of this scope; remove one of the two")
            elif taken.setdefault(full, one) is not one:
                yield one.problem(
                    f"formerly.{i}", f"{short} is also taken over by {taken[full].id} ({taken[full].place})"
                )


def _undeclared(scope: ScopeConfig, ids: Iterable[str]) -> Iterator[Problem]:
    known = frozenset(ids)
    for key, output in scope.outputs.items():
        if output.resource not in known:
            short = output.resource.partition("/")[2]
            text = f"output {key} of scope {scope.name} names {short}, which is no resource of it"
            yield Problem(Place(REPOSITORY_FILE), text, "scopes")


def _info(file: str, blueprint: Blueprint, node: Map) -> BlueprintInfo:
    place = Place(file, *position(node, ("name",)))
    return BlueprintInfo(blueprint.name, place, blueprint.description or "", blueprint.constraints, blueprint.metadata)
