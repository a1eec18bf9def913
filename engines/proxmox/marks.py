"""Ownership on a cluster: the tag `alma`, and one marker line in an object's notes beside what people wrote. Pure.

The marker is an HTML comment, so that the web interface, which shows notes as Markdown, does not show it. It names
install, scope, resource, the last op, the op that made the object (`born`), lifecycle, how a guest may be taken down
when its entry is gone, and the paths that were set; no value of a spec and no hash of one (I27). Secret paths stand
with the reference they were filled from, so that another reference is seen as a change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.blueprint.entry import OnDelete
from controller.plan.resource import Mark, MarkLifecycle, ResourceId

TAG = "alma"
_MARKER = re.compile(r"<!-- alma (\{[^\n]*\}) -->")
_LOOKS_LIKE_ONE = re.compile(r"<!--\s*alma\b", re.IGNORECASE)
_UNSAFE = re.compile(r"--|[\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Marker:
    """What one marker line says. `born` is empty on what was adopted."""

    mark: Mark
    born: str = ""
    refs: Mapping[str, str] = field(default_factory=dict)  # secret path → reference it was filled from
    cut_off_s: int = 0  # a shutdown may end in a stop after so many seconds; 0: never


def read(notes: str, install: str) -> Marker | None:
    """The marker in `notes`, or None when there is none, more than one, or one that is not whole or not of this
    install: then the object is foreign (I16)."""
    found = _MARKER.findall(notes)
    if len(found) != 1:
        return None
    try:
        said = json.loads(found[0])
        return _marker(said, install) if isinstance(said, dict) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _marker(said: Mapping[str, object], install: str) -> Marker | None:
    scope, resource, op = str(said["s"]), str(said["r"]), str(said["o"])
    if said["i"] != install or not op or ResourceId.parse(resource).scope != scope:
        return None
    paths, refs = said.get("f", []), said.get("x", {})
    if not isinstance(paths, list) or not isinstance(refs, dict):
        return None
    lifecycle = MarkLifecycle(said.get("p") == 1, OnDelete(str(said.get("d", OnDelete.DESTROY))))
    mark = Mark(install, scope, resource, op, lifecycle, frozenset(map(str, paths)), frozenset(map(str, refs)))
    cut_off_s = said.get("k", 0)
    known = {str(k): str(v) for k, v in refs.items()}
    return Marker(mark, str(said.get("b", "")), known, cut_off_s if type(cut_off_s) is int else 0)


def line(marker: Marker) -> str:
    """The marker line. Raises ValueError if a part of it could end the comment."""
    mark = marker.mark
    said: dict[str, object] = {"i": mark.install, "s": mark.scope, "r": mark.resource, "o": mark.op}
    if marker.born:
        said["b"] = marker.born
    if mark.lifecycle.protect:
        said["p"] = 1
    if mark.lifecycle.on_delete is not OnDelete.DESTROY:
        said["d"] = str(mark.lifecycle.on_delete)
    if mark.fields:
        said["f"] = sorted(mark.fields)
    if marker.refs:
        said["x"] = dict(sorted(marker.refs.items()))
    if marker.cut_off_s:
        said["k"] = marker.cut_off_s
    text = json.dumps(said, separators=(",", ":"))
    if _UNSAFE.search(text):
        # A name may hold two hyphens in a row, which would end an HTML comment: JSON has another way to write one.
        text = text.replace("--", "-\\u002d")
    return f"<!-- alma {text} -->"


def notes_of(notes: str) -> str:
    """What people wrote: the notes without the marker and the line break that was put before it."""
    return _MARKER.sub("", notes).strip("\n").rstrip()


def with_marker(notes: str, marker: Marker | None) -> str:
    """`notes` of people with this marker as the last line; None: without any."""
    own = notes_of(notes)
    if marker is None:
        return own
    return f"{own}\n\n{line(marker)}" if own else line(marker)


def forges(notes: str) -> bool:
    """True for text that would read as a marker: a blueprint may not write one (I16)."""
    return bool(_LOOKS_LIKE_ONE.search(notes))
