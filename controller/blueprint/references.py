"""`${…}` and `{secret: …}` in what a file says → markers, with every name checked.

References are dependencies: what they name must be there first. What a value of `alma.yaml` holds is put in as it is
and never read for references again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from controller.blueprint import sops
from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.scalar import resolved
from controller.blueprint.value import Output, Secret, Text, Value

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = r"[A-Za-z0-9_-]+"
_KEY = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_RESOURCE = re.compile(rf"resources\.({_NAME}(?:/{_NAME})?)\.outputs\.({_KEY})", re.ASCII)
_SCOPE = re.compile(rf"scopes\.({_NAME})\.outputs\.({_KEY})", re.ASCII)
_VALUE = re.compile(rf"values\.({_KEY})(?::-(.*))?", re.ASCII | re.DOTALL)
_ENV = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FILE = re.compile(r"file:/[!-~]+", re.ASCII)
_LATER = "vault:"
# How the journal writes markers; a map of a user that looks the same would come back as one.
_JOURNAL_TAGS = frozenset({"$secret", "$output", "$text", "$masked", "$sealed", "$decimal"})
_SECRETS = "env:NAME, file:/PATH or sops:PATH#KEY"
_FORMS = "${resources.NAME.outputs.KEY}, ${scopes.NAME.outputs.KEY}, ${values.KEY} or ${values.KEY:-default}"

Report = Callable[[str, str], None]


def secret(reference: str) -> Secret:
    """The reference `env:NAME`, `file:/PATH` or `sops:PATH#KEY`. Raises ValueError for any other form."""
    if _ENV.fullmatch(reference) or (_FILE.fullmatch(reference) and "/.." not in reference) or sops.parts(reference):
        return Secret(reference)
    if reference.startswith(_LATER):
        raise ValueError(f"vault: secrets are not available yet; use {_SECRETS}")
    # Not repeated in the message: it may be the secret itself (I26).
    raise ValueError(f"a secret is a reference, {_SECRETS}, never the value itself")


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`no resource dbb in …` with the nearest known name."""
    return f"no {what} {shown(name, 130)}{did_you_mean(name, known)}"


@dataclass(frozen=True, slots=True)
class Names:
    """What the references of one blueprint may name. `own` are its resources, `ids` all full ids of the scope,
    `outputs` what the scopes it depends on declare."""

    scope: str
    blueprint: str
    own: frozenset[str]
    ids: Mapping[str, object]
    values: Mapping[str, Value] = field(default_factory=dict)
    outputs: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def resource(self, name: str) -> str:
        """The full id of `name` or `blueprint/name`. Raises ValueError for one that is not there."""
        if "/" not in name:
            if name in self.own:
                return f"{self.scope}/{self.blueprint}/{name}"
            raise ValueError(self._missing(name))
        full = f"{self.scope}/{name}"
        if full in self.ids:
            return full
        raise ValueError(unknown("resource", name, self._others()))

    def _others(self) -> Iterable[str]:
        return (full.partition("/")[2] for full in self.ids)

    def _missing(self, name: str) -> str:
        elsewhere = sorted(other for other in self._others() if other.endswith(f"/{name}"))
        if elsewhere:
            more = f" or {len(elsewhere) - 2} more" if len(elsewhere) > 2 else ""
            return f"no resource {name} in blueprint {self.blueprint}; did you mean {' or '.join(elsewhere[:2])}{more}?"
        return unknown("resource", name, sorted(self.own)) + ("" if self.own else f" in blueprint {self.blueprint}")

    def output(self, scope: str, key: str) -> Output:
        """Raises ValueError unless this scope depends on `scope` and that one declares `key`."""
        if scope not in self.outputs:
            raise ValueError(
                f"scope {self.scope} does not depend on {shown(scope, 80)}; add it to depends_on in alma.yaml"
            )
        if key not in self.outputs[scope]:
            raise ValueError(unknown(f"output of scope {scope} named", key, sorted(self.outputs[scope])))
        return Output(f"scopes/{scope}", key)

    def value(self, key: str, default: str | None) -> Value:
        """What alma.yaml says for `key`, else `default` read as a plain scalar. Raises ValueError without either."""
        if key in self.values:
            return self.values[key]
        if default is not None:
            return resolved(default)
        raise ValueError(f"{unknown('value', key, self.values)}; add it to values of scope {self.scope} in alma.yaml")


def interpreted(value: Value, names: Names, path: str, report: Report) -> Value:
    """`value` (dicts, tuples, plain scalars) with references and secrets as markers. Mistakes go to
    `report(path, message)`. What holds no reference is returned as it is, not copied."""
    if isinstance(value, str):
        return value if "${" not in value else _guarded(lambda: _text(value, names), path, report)
    if isinstance(value, dict):
        return _map(value, names, path, report)
    if isinstance(value, tuple):
        items = tuple([interpreted(item, names, f"{path}.{i}", report) for i, item in enumerate(value)])
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def _guarded(read: Callable[[], Value], path: str, report: Report) -> Value:
    try:
        return read()
    except ValueError as error:
        report(path, str(error))
        return None


def _map(value: dict[str, Value], names: Names, path: str, report: Report) -> Value:
    if len(value) == 1:
        ((key, item),) = value.items()
        if key == "secret" and isinstance(item, str):
            reference = item
            return _guarded(lambda: secret(reference), path, report)
        if key in _JOURNAL_TAGS:
            report(path, f"a map with the one key {key} is reserved; add a second key or rename it")
    changed: dict[str, Value] = {}
    for key, item in value.items():
        if "${" in key:
            report(path, f"{shown(key, 80)}: references stand in values, not in keys")
        if type(item) is str and "${" not in item:
            continue
        new = interpreted(item, names, f"{path}.{key}", report)
        if new is not item:
            changed[key] = new
    return {**value, **changed} if changed else value


def _text(text: str, names: Names) -> Value:
    """Raises ValueError. One reference alone keeps its type; with text around it, it becomes text."""
    parts: list[str | Secret | Output] = []
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() > end:
            parts.append(text[end : token.start()])
        end = token.end()
        if token.group() == "$${":
            parts.append("${")
            continue
        if token.group(1) is None:
            raise ValueError("${ without its }; write $${ for a literal ${")
        value = _named(token.group(1), names)
        if token.span() == (0, len(text)):
            return value
        parts.extend(_embedded(value, token.group(1)))
    parts.append(text[end:])
    return _joined(parts)


def _named(inside: str, names: Names) -> Value:
    if found := _RESOURCE.fullmatch(inside):
        return Output(names.resource(found[1]), found[2])
    if found := _SCOPE.fullmatch(inside):
        return names.output(found[1], found[2])
    if found := _VALUE.fullmatch(inside):
        return names.value(found[1], found[2])
    raise ValueError(f"${{{shown(inside, 80)}}} is no reference; known: {_FORMS}; write $${{ for a literal ${{")


def _embedded(value: Value, inside: str) -> tuple[str | Secret | Output, ...]:
    if isinstance(value, Text):
        return value.parts
    if isinstance(value, Secret | Output | str):
        return (value,)
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, int | Decimal):
        return (str(value),)
    raise ValueError(f"${{{shown(inside, 80)}}} is no text and cannot stand inside text")


def _joined(parts: Iterable[str | Secret | Output]) -> Value:
    merged: list[str | Secret | Output] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    if all(isinstance(part, str) for part in merged):
        return "".join(str(part) for part in merged)
    return Text(tuple(merged))
