"""Files beside the blueprints that a resource names: YAML of other tools, read with the same limits. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from controller.blueprint.document import read_document
from controller.blueprint.limits import DEFAULT_LIMITS, Limits
from controller.blueprint.node import plain
from controller.blueprint.sops import is_sops
from controller.blueprint.value import Value
from controller.errors import InvalidInput, Place, Problem

_DOCUMENT = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_END = re.compile(r"^\.\.\.[ \t]*$", re.MULTILINE)
_MANIFEST = (re.compile(rb"^apiVersion:", re.MULTILINE), re.compile(rb"^kind:", re.MULTILINE))
# A folder that holds one of these belongs to another tool, with everything below it.
_FOREIGN_ROOTS = ("Chart.yaml", "kustomization.yaml", "kustomization.yml", "Kustomization")
_DOCUMENTS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Documents:
    """What one file holds: its documents in order, or the mistakes."""

    file: str
    values: tuple[Value, ...] = ()
    problems: tuple[Problem, ...] = ()


def own_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """`files` without what cannot be blueprints: charts, kustomizations, manifests (`apiVersion` and `kind` at the
    top), which a resource may name by `path`, `chart` or `kustomize`, and files of SOPS, which its secrets name."""
    roots = tuple(f"{p[: -len(name)]}" for p in files for name in _FOREIGN_ROOTS if p.rpartition("/")[2] == name)
    return {
        path: data
        for path, data in files.items()
        if not any(path.startswith(root) for root in roots) and not _is_manifest(path, data) and not is_sops(path, data)
    }


def _is_manifest(path: str, data: bytes) -> bool:
    if not path.endswith(".json"):
        return all(p.search(data) for p in _MANIFEST)
    if b'"apiVersion"' not in data:
        return False
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False  # whoever reads it as a blueprint says what is wrong
    return isinstance(found, dict) and {"apiVersion", "kind"} <= found.keys()


def parse_documents(file: str, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Documents:
    """Every document of a YAML stream; empty ones are left out. Never raises: what is wrong is in `problems`."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Documents(file, problems=(Problem(Place(file), "is no UTF-8 text"),))
    starts = [0, *(m.end() for m in _DOCUMENT.finditer(text))]
    ends = [*(m.start() for m in _DOCUMENT.finditer(text)), len(text)]
    if len(starts) > _DOCUMENTS_MAX:
        return Documents(file, problems=(Problem(Place(file), f"more than {_DOCUMENTS_MAX:,} documents; split it"),))
    values: list[Value] = []
    for start, end in zip(starts, ends, strict=True):
        part = _END.sub("", text[start:end])
        if not any(line.strip() and not line.lstrip().startswith("#") for line in part.splitlines()):
            continue
        # The lines before it stay, empty, so that a mistake is found where it stands.
        padded = "\n" * text.count("\n", 0, start) + part
        try:
            values.append(plain(read_document(padded.encode(), file, limits)))
        except InvalidInput as error:
            return Documents(file, problems=error.problems)
    return Documents(file, tuple(values))
