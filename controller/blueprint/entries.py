"""One resource as written → one `Entry`: inherited, filled in, its names resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.blueprint.entry import Entry, Lifecycle, Probe, ProbeKind, Tolerated, Waived
from controller.blueprint.names import is_name, shown
from controller.blueprint.node import Map, Places, position
from controller.blueprint.references import Names, interpreted
from controller.blueprint.repository import ScopeConfig
from controller.blueprint.schema import HTTP_PATH, Blueprint, HealthSpec, LifecycleSpec, ResourceSpec
from controller.blueprint.units import size_bytes
from controller.blueprint.value import Output, Value, markers
from controller.errors import InvalidInput, Place, Problem


def names_of(blueprints: Sequence[Blueprint], scope: ScopeConfig) -> dict[str, Names]:
    """What the references of each blueprint may name."""
    ids = {f"{scope.name}/{b.name}/{r.name}": None for b in blueprints for r in b.resources or ()}
    own = {b.name: frozenset(r.name for r in b.resources or ()) for b in blueprints}
    return {b.name: Names(scope.name, b.name, own[b.name], ids, scope.values, scope.visible) for b in blueprints}


@dataclass(frozen=True, slots=True)
class Written:
    """One resource where it stands: number `index` of `blueprint` in `file`."""

    spec: ResourceSpec
    index: int
    blueprint: Blueprint
    file: str
    node: Map

    def place(self, *path: str | int) -> Place:
        """Where `path` of the resource stands."""
        return Place(self.file, *position(self.node, path))

    def problem(self, path: str, message: str) -> Problem:
        """A Problem at the dotted `path` of the resource, in the form of M02."""
        place = Places(self.file, self.node).get(path) or self.place("name")
        return Problem(place, message, f"resources.{self.index}.{path}")


def entry_of(written: Written, names: Names, scope: ScopeConfig, problems: list[Problem], problems_max: int) -> Entry:
    """Resource over blueprint over scope: what is written nearest wins. Mistakes are added to `problems`; raises
    InvalidInput once there are `problems_max`, because looking for what was meant takes time (I34)."""

    def report(path: str, message: str) -> None:
        problems.append(written.problem(path, message))
        if len(problems) >= problems_max:
            raise InvalidInput(problems, hint="there may be more mistakes")

    spec, blueprint = written.spec, written.blueprint
    specs = _map(spec.specs, names, "specs", report)
    network = _map(spec.network, names, "network", report)
    backup = _map(spec.backup, names, "backup", report)
    # What came back as it was holds no reference.
    filled = [
        new for new, old in ((specs, spec.specs), (network, spec.network), (backup, spec.backup)) if new is not old
    ]
    return Entry(
        scope=scope.name,
        blueprint=blueprint.name,
        name=spec.name,
        type=spec.type,
        place=written.place("name"),
        provider=spec.provider or blueprint.provider or scope.provider,
        product=spec.engine,
        version=_text(spec.version, names, "version", report),
        target=_text(spec.target, names, "target", report),
        specs=_one_disk(specs, report),
        network=network,
        backup=backup,
        metadata=_map(_over(spec.metadata, blueprint.metadata), names, "metadata", report),
        dependencies=_dependencies(spec, names, filled, report),
        health=_probe(spec.health, names, report) if spec.health else None,
        lifecycle=_lifecycle(spec.lifecycle),
        wave=spec.wave,
        formerly=_formerly(spec, names, report),
        adopt=spec.adopt,
        waivers=tuple(
            Waived(w.rule, w.reason, w.by, w.until, written.place("waivers", i)) for i, w in enumerate(spec.waivers)
        ),
        tolerate=tuple(
            Tolerated(t.field, t.reason, t.until, written.place("tolerate", i)) for i, t in enumerate(spec.tolerate)
        ),
        places=Places(written.file, written.node),
        index=written.index,
    )


Report = Callable[[str, str], None]


def _map(content: dict[str, Value], names: Names, path: str, report: Report) -> Mapping[str, Value]:
    value = interpreted(content, names, path, report)
    if isinstance(value, Mapping):
        return value
    report(path, "must be a map")
    return {}


def _over(nearer: dict[str, Value], farther: dict[str, Value]) -> dict[str, Value]:
    return {**farther, **nearer} if farther and nearer else nearer or farther


def _text(text: str | None, names: Names, path: str, report: Report) -> str | None:
    """Text that must be known before anything runs: values may stand in it, secrets and outputs not."""
    if text is None or "${" not in text:
        return text
    value = interpreted(text, names, path, report)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if value is not None:
        report(path, "only text and ${values.KEY} may stand here")
    return None


def _one_disk(specs: Mapping[str, Value], report: Report) -> Mapping[str, Value]:
    """`disk` and `storage` are one quantity; written twice and equal, it is kept once."""
    if "disk" not in specs or "storage" not in specs:
        return specs
    if _size(specs["disk"]) != _size(specs["storage"]):
        report("specs.storage", "disk and storage are one quantity and differ here; keep one of them")
    return {key: value for key, value in specs.items() if key != "storage"}


def _size(value: Value) -> object:
    try:
        return size_bytes(value)
    except ValueError:
        return value


def _dependencies(
    spec: ResourceSpec, names: Names, parts: Sequence[Mapping[str, Value]], report: Report
) -> tuple[str, ...]:
    """What is named and what is referred to, as full ids in order, each once."""
    found = {full for i, name in enumerate(spec.dependencies) if (full := _known(i, name, names, report))}
    for part in parts:
        found.update(_referred(part))
    return tuple(sorted(found))


def _known(index: int, name: str, names: Names, report: Report) -> str | None:
    try:
        return names.resource(name)
    except ValueError as error:
        report(f"dependencies.{index}", str(error))
        return None


def _referred(part: Mapping[str, Value]) -> Iterator[str]:
    """Resources of this scope whose outputs stand in `part`; other scopes are waited for as a whole."""
    for marker in markers(part):
        if isinstance(marker, Output) and not marker.resource.startswith("scopes/"):
            yield marker.resource


def _formerly(spec: ResourceSpec, names: Names, report: Report) -> tuple[str, ...]:
    """Full ids of what this resource was called; a bare name is one of the same blueprint."""
    found = []
    for i, name in enumerate(spec.formerly):
        parts = name.split("/") if "/" in name else [names.blueprint, name]
        if len(parts) != 2 or not all(is_name(part) for part in parts):
            report(f"formerly.{i}", f"{shown(name, 80)} is no former name; write it as blueprint/name")
            continue
        found.append(f"{names.scope}/{parts[0]}/{parts[1]}")
    return tuple(found)


def _probe(spec: HealthSpec, names: Names, report: Report) -> Probe:
    timeout_s = spec.timeout
    if spec.http is not None:
        path = _text(spec.http.path, names, "health.http.path", report) or "/"
        if not HTTP_PATH.fullmatch(path):
            report("health.http.path", f"{shown(path, 80)} is no path; write it as /healthz")
        return Probe(ProbeKind.HTTP, spec.http.port, path, timeout_s=timeout_s)
    if spec.tcp is not None:
        return Probe(ProbeKind.TCP, spec.tcp.port, timeout_s=timeout_s)
    if spec.exec is not None:
        words = (_text(word, names, f"health.exec.{i}", report) or "" for i, word in enumerate(spec.exec))
        return Probe(ProbeKind.EXEC, command=tuple(words), timeout_s=timeout_s)
    return Probe(ProbeKind.RUNNING if spec.running else ProbeKind.PLATFORM, timeout_s=timeout_s)


def _lifecycle(spec: LifecycleSpec) -> Lifecycle:
    return Lifecycle(spec.protect, spec.ignore, spec.on_delete, spec.max_disruption, spec.update)
