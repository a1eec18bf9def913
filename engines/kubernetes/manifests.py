"""The specs of a `manifest` resource → objects: inline, in lists, inside Lists. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.blueprint.value import Value
from engines.kubernetes.objects import without_nulls

_LISTS_DEEP = 4


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object, and where in `specs` it stands."""

    body: Mapping[str, Value]
    path: str


class ManifestError(ValueError):
    """Something that is no object; `path` within `specs`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


def manifests(specs: Mapping[str, Value]) -> tuple[Manifest, ...]:
    """Every object of a resource, Lists taken apart. Raises ManifestError."""
    if "apiVersion" in specs:
        return tuple(_objects(specs, "", 0))
    found: list[Manifest] = []
    if "manifest" in specs:
        found += _objects(specs["manifest"], "manifest", 0)
    listed = specs.get("manifests", ())
    if not isinstance(listed, list | tuple):
        raise ManifestError("manifests", "must be a list of objects")
    for i, one in enumerate(listed):
        found += _objects(one, f"manifests.{i}", 0)
    return tuple(found)


def _objects(value: Value, path: str, depth: int) -> Iterator[Manifest]:
    if not isinstance(value, Mapping):
        raise ManifestError(path, "is no Kubernetes object: write a map with apiVersion, kind and metadata")
    for key in ("apiVersion", "kind"):
        if not isinstance(value.get(key), str) or not value[key]:
            raise ManifestError(path, f"is no Kubernetes object: {key} is missing")
    if not str(value["kind"]).endswith("List") or "items" not in value:
        body = without_nulls(value)
        assert isinstance(body, Mapping)
        yield Manifest(body, path)
        return
    items = value["items"]
    if depth >= _LISTS_DEEP or not isinstance(items, Sequence) or isinstance(items, str):
        raise ManifestError(path, "its items are no list of objects")
    for i, item in enumerate(items):
        kind = str(value["kind"]).removesuffix("List")
        # Elements of a typed list may leave out what the list says already.
        whole = (
            {"apiVersion": value["apiVersion"], "kind": kind, **item} if kind and isinstance(item, Mapping) else item
        )
        yield from _objects(whole, f"{path}.items.{i}".lstrip("."), depth + 1)
